// A Debian trixie in a folder of the cache, with packages of its own: programs newer than the machine's, run by chroot. Made by
// debootstrap from the mirror that the machine's apt is set to; needs root. A virtual machine finds it at the same path.
//
//   const root = await trixieRoot(["dpdk-dev", "librte-net-vhost25"]);           on the host, before the boot
//   await vm.run(insideRoot(root, ["dpdk-testpmd", "--version"]), …)              or in a test that runs inside
//
// One folder for each set of packages, named by a hash of it; remove it to fetch newer ones.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "bun";
import { RingyardError } from "../../src/core/errors.ts";
import { PROGRAM_PATH } from "../packages.ts";
import { debianKeyring, machineMirror, sourceLine } from "./apt.ts";
import { cacheFolder, place, withWorkFolder } from "./cache.ts";

const SUITE = "trixie";
/** Packages without what is only read by people: it is a third of the folder. */
const DPKG_OPTIONS = ["doc", "man", "locale"].map((folder) => `path-exclude=/usr/share/${folder}/*\n`).join("");

export interface TrixieOptions {
  /** trixie-backports too, and the packages from there where they are: newer QEMU. */
  backports?: boolean;
  say?: (line: string) => void;
}

/** The folder for a set of packages, whether or not it is there. */
function trixiePath(packages: readonly string[], { backports = false }: TrixieOptions = {}): string {
  const content = `${SUITE} ${backports} ${[...packages].sort().join(" ")}`;
  return join(cacheFolder("debian"), `${SUITE}-${createHash("sha256").update(content).digest("hex").slice(0, 12)}`);
}

/** Finds or makes it: about a minute. Inside a virtual machine it must be there already. */
export async function trixieRoot(packages: readonly string[], options: TrixieOptions = {}): Promise<string> {
  const target = trixiePath(packages, options);
  if (existsSync(target)) return target;
  if (process.env.RINGYARD_VM !== undefined) {
    throw new RingyardError("MISSING", `no folder ${target}`, "prepare it before the boot (scripts/vm/needs.ts)");
  }
  if (process.getuid?.() !== 0) throw new RingyardError("PERMISSION", "debootstrap needs root", "run this as root");
  if (Bun.which("debootstrap", { PATH: PROGRAM_PATH }) === null) {
    throw new RingyardError("MISSING", "debootstrap is not installed", "npm run setup");
  }
  const say = options.say ?? ((line: string) => console.error(`vm: ${line}`));
  say(`making a folder of Debian ${SUITE} with ${packages.join(", ")}`);
  await withWorkFolder(cacheFolder("debian"), async (work) => {
    const root = join(work, "root");
    await make(root, packages, options.backports === true);
    await place(root, target);
  });
  return target;
}

async function make(root: string, packages: readonly string[], backports: boolean): Promise<void> {
  const mirror = await machineMirror();
  const env = { ...process.env, PATH: PROGRAM_PATH, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive", TMPDIR: "/tmp" };
  const keyring = debianKeyring();
  const trust = keyring === undefined ? [] : [`--keyring=${keyring}`];
  await succeed($`debootstrap --variant=minbase ${trust} ${SUITE} ${root} ${mirror.archive}`.env(env));
  await writeFile(join(root, "etc/dpkg/dpkg.cfg.d/ringyard"), DPKG_OPTIONS);
  // debootstrap leaves no service behind that must not start: policy-rc.d keeps packages from starting theirs.
  await writeFile(join(root, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const suites = backports ? [SUITE, `${SUITE}-backports`] : [SUITE];
  const lines = suites.map((suite) => `${sourceLine(mirror, suite, keyring)}\n`);
  await writeFile(join(root, "etc/apt/sources.list"), lines.join(""));
  // The machine's apt may need a proxy or certificates to reach its mirror: so it fetches, with the folder as its world.
  const apt = [
    "-o",
    `Dir=${root}`,
    "-o",
    `Dir::State::status=${root}/var/lib/dpkg/status`,
    "-o",
    `DPkg::Chroot-Directory=${root}`,
  ];
  const wanted = ["-y", "-q", "--no-install-recommends", ...(backports ? ["-t", `${SUITE}-backports`] : [])];
  await succeed($`apt-get ${apt} update -q`.env(env));
  await succeed($`apt-get ${apt} install ${wanted} ${packages}`.env(env));
  await $`rm -rf ${root}/var/cache/apt ${root}/var/lib/apt/lists`.quiet();
}

async function succeed(command: $.ShellPromise): Promise<void> {
  const { exitCode, stdout, stderr } = await command.nothrow().quiet();
  if (exitCode === 0) return;
  const output = `${stdout}${stderr}`.trim().slice(-2_000);
  throw new RingyardError("UNREACHABLE", `a folder of Debian ${SUITE} cannot be made`, output);
}

/** The words that run a program in the folder, with the machine's /dev, /proc and /sys and a /run and /tmp of its own. */
export function insideRoot(root: string, argv: readonly string[]): string[] {
  return ["bash", join(import.meta.dir, "chroot.sh"), root, ...argv];
}
