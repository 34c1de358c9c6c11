// The kernels that a virtual machine can boot, by the names that `--kernel` takes, and how each is had:
//   6.12    Debian bookworm's, VDUSE API version 0
//   sid     Debian sid's, 7.x, API version 1
//   build   built here from sid's source with kernel.config: everything built in, IOMMUFD too (build.ts; minutes)
// A kernel is a folder of the cache, NAME@VERSION, with `vmlinuz` and the package's modules as they come (modules.ts).

import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { RingyardError } from "../../src/core/errors.ts";
import { PrivateApt } from "./apt.ts";
import { buildKernel, isCurrent } from "./build.ts";
import { cacheFolder, place, withWorkFolder } from "./cache.ts";
import { newest } from "./versions.ts";

export interface Kernel {
  /** As `--kernel` takes it. */
  readonly name: string;
  /** The kernel's own: `6.12.117+deb12-amd64`. */
  readonly version: string;
  readonly folder: string;
}

interface PackagedKernel {
  readonly suites: readonly string[];
  /** Names of the package with the image; what matches first is the version. */
  readonly image: RegExp;
  /** All packages of a version, the image's among them. */
  readonly packages: (version: string) => string[];
}

const PACKAGED: Readonly<Record<string, PackagedKernel>> = {
  "6.12": {
    suites: ["bookworm-security", "bookworm-backports"],
    image: /^linux-image-(6\.12\.[0-9.]+\+deb12-amd64)-unsigned$/,
    packages: (version) => [`linux-image-${version}-unsigned`],
  },
  sid: {
    suites: ["sid"],
    image: /^linux-binary-unsigned-([0-9]+\.[0-9.]+\+deb[0-9]+-amd64)$/,
    packages: (version) => [`linux-binary-unsigned-${version}`, `linux-modules-${version}`, `linux-base-${version}`],
  },
};

export const KERNEL_NAMES: readonly string[] = [...Object.keys(PACKAGED), "build"];
export const DEFAULT_KERNEL = "6.12";

/** Folders of modules that no virtual machine of ours will load; they are most of the package. */
const LEFT_OUT =
  /\/kernel\/(sound|drivers\/(gpu|media|net\/wireless|infiniband|scsi|staging|usb|hid|iio|hwmon|input))\//;

/** Finds a kernel in the cache, or fetches or builds it; `say` is told what takes time. */
export async function findKernel(name: string, say: (line: string) => void): Promise<Kernel> {
  if (!KERNEL_NAMES.includes(name)) {
    throw new RingyardError("BAD_OPTION", `no kernel "${name}"`, `known are ${KERNEL_NAMES.join(", ")}`);
  }
  const cache = cacheFolder("vm");
  const cached = newest(await readdir(cache), new RegExp(`^${RegExp.escape(name)}@(.+)$`));
  const packaged = PACKAGED[name];
  if (cached !== undefined) {
    const folder = join(cache, cached.name);
    if (packaged !== undefined || (await isCurrent(folder))) return { name, version: cached.version, folder };
  }
  return packaged === undefined ? await buildKernel(cache, say) : await fetchKernel(cache, name, packaged, say);
}

/** Of a suite's packages, the newest kernel NAME and all packages that it is made of; undefined where there is none. */
export function choosePackages(
  name: string,
  names: readonly string[],
): { version: string; packages: string[] } | undefined {
  const { image, packages } = PACKAGED[name];
  const found = newest(names, image);
  return found === undefined ? undefined : { version: found.version, packages: packages(found.version) };
}

async function fetchKernel(
  cache: string,
  name: string,
  { suites, image }: PackagedKernel,
  say: (line: string) => void,
): Promise<Kernel> {
  say(`looking for Debian's kernel "${name}"`);
  return await withWorkFolder(cache, async (work) => {
    const apt = await PrivateApt.open(work, suites);
    const { version, packages } = choosePackages(name, await apt.names(image))!;
    say(`fetching ${version}`);
    const unpacked = join(work, "unpacked");
    await apt.unpack(packages, unpacked);
    const made = join(work, "kernel");
    await mkdir(join(made, "modules"), { recursive: true });
    for (const path of await readdir(unpacked, { recursive: true })) {
      const file = basename(path);
      const from = join(unpacked, path);
      if (/^vmlinuz(-|\.unsigned$)/.test(file)) await rename(from, join(made, "vmlinuz"));
      if (/^config(-|$)/.test(file)) await rename(from, join(made, "config"));
      if (/\.ko(\.[a-z]+)?$/.test(file) && !LEFT_OUT.test(path)) await rename(from, join(made, "modules", file));
    }
    const folder = join(cache, `${name}@${version}`);
    await place(made, folder);
    return { name, version, folder };
  });
}
