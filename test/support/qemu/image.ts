// What a test guest boots: Debian's own kernel, unpacked and never installed, and an initramfs of busybox, iperf3,
// ethtool and the modules of virtio-net. Both are made once and kept outside the tree:
//   $RINGYARD_CACHE (or $XDG_CACHE_HOME, or ~/.cache)/ringyard/qemu/
//     linux-image-6.1.0-…/vmlinuz, *.ko      one folder per kernel; remove it to fetch a newer one
//     initramfs-HASH.img                     HASH of everything that goes in
// Each is built under a temporary name and renamed, so that a run that is cut short, or a second run beside it, leaves
// nothing half made.

import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { $ } from "bun";
import { PROGRAM_PATH } from "../../../scripts/packages.ts";

/** Bookworm's kernel for clouds: the virtio drivers and little else, so that it boots quickly without hardware help. */
const KERNEL_PACKAGE = /^linux-image-6\.1\.0-([0-9]+)-cloud-amd64-unsigned$/;

/** In the order of their dependencies; insmod does not resolve them. */
const MODULES = [
  "failover",
  "net_failover",
  "virtio_ring",
  "virtio",
  "virtio_pci_modern_dev",
  "virtio_pci_legacy_dev",
  "virtio_pci",
  "virtio_net",
] as const;

/** Copied into the guest with their libraries, from the packages that scripts/packages.ts lists. */
const PROGRAMS = ["busybox", "iperf3", "ethtool"] as const;

export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
}

/** Finds or makes the image. Where a package or the network is missing the error says what to install. */
export async function guestImage(): Promise<GuestImage> {
  const missing = ["qemu-system-x86_64", "cpio", ...PROGRAMS].filter((tool) => which(tool) === null);
  if (missing.length > 0) throw new Error(`${missing.join(", ")} not installed: npm run setup test`);
  const cache = join(
    process.env.RINGYARD_CACHE ?? process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"),
    "ringyard/qemu",
  );
  await mkdir(cache, { recursive: true });
  const kernel = (await cachedKernel(cache)) ?? (await fetchKernel(cache));
  return { kernel: join(kernel, "vmlinuz"), initramfs: await buildInitramfs(cache, kernel) };
}

function which(program: string): string | null {
  return Bun.which(program, { PATH: PROGRAM_PATH });
}

async function cachedKernel(cache: string): Promise<string | undefined> {
  const newest = newestKernel(await readdir(cache));
  return newest === undefined ? undefined : join(cache, newest);
}

function newestKernel(names: readonly string[]): string | undefined {
  const number = (name: string) => Number(KERNEL_PACKAGE.exec(name)![1]);
  return names.filter((name) => KERNEL_PACKAGE.test(name)).sort((a, b) => number(b) - number(a))[0];
}

async function fetchKernel(cache: string): Promise<string> {
  const found = await $`apt-cache search --names-only ${KERNEL_PACKAGE.source}`.nothrow().quiet();
  const names = found.stdout
    .toString()
    .split("\n")
    .map((line) => line.split(" ")[0]);
  const name = newestKernel(names);
  if (name === undefined) throw new Error("no package linux-image-6.1.0-*-cloud-amd64-unsigned known: apt-get update");

  return await makeOnce(join(cache, name), async (folder) => {
    const download = await $`apt-get download -q ${name} && dpkg -x *.deb unpacked`.cwd(folder).nothrow().quiet();
    if (download.exitCode !== 0) throw new Error(`cannot fetch ${name}: ${download.stderr.toString().trim()}`);
    await mkdir(join(folder, "kernel"));
    for (const path of await readdir(join(folder, "unpacked"), { recursive: true })) {
      const file = basename(path);
      const name = file.startsWith("vmlinuz-") ? "vmlinuz" : file;
      const wanted = name === "vmlinuz" || MODULES.some((module) => name === `${module}.ko`);
      if (wanted) await cp(join(folder, "unpacked", path), join(folder, "kernel", name));
    }
    return join(folder, "kernel");
  });
}

async function buildInitramfs(cache: string, kernel: string): Promise<string> {
  const files = await initramfsFiles(kernel);
  const hash = createHash("sha256");
  for (const [path, content] of files) hash.update(`${path} ${content.length}\n`).update(content);
  const image = join(cache, `initramfs-${hash.digest("hex").slice(0, 16)}.img`);
  if (await Bun.file(image).exists()) return image;

  return await makeOnce(image, async (folder) => {
    const root = join(folder, "root");
    for (const [path, content] of files) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await writeFile(join(root, path), content, { mode: 0o755 });
    }
    await $`find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -1 -n > ../image`.cwd(root).quiet();
    return join(folder, "image");
  });
}

/** Everything in the initramfs, by its path in the guest. */
async function initramfsFiles(kernel: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  files.set("/init", await readFile(join(import.meta.dir, "init.sh")));
  const modules = MODULES.map((module) => `/lib/${module}.ko`);
  for (const path of modules) files.set(path, await readFile(join(kernel, basename(path))));
  files.set("/lib/guest-modules", Buffer.from(`${modules.join("\n")}\n`));
  for (const program of PROGRAMS) {
    const path = which(program)!;
    files.set(`/bin/${program}`, await readFile(path));
    for (const library of await sharedLibraries(path)) files.set(library, await readFile(library));
  }
  return files;
}

/** The loader and what it will look for: `ldd` prints `NAME => PATH (…)` or `PATH (…)`, and fails where all is static. */
async function sharedLibraries(program: string): Promise<string[]> {
  const listing = (await $`ldd ${program}`.nothrow().quiet()).stdout.toString();
  return [...listing.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]);
}

/** Makes `target` in a temporary folder beside it and renames it. Where another run was first, its result is used. */
async function makeOnce(target: string, make: (folder: string) => Promise<string>): Promise<string> {
  const folder = await mkdtemp(join(dirname(target), ".making-"));
  try {
    const made = await make(folder);
    await rename(made, target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
    });
    return target;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
