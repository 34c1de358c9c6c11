// What a test guest boots: Debian's own kernel, unpacked and never installed, and an initramfs of busybox, iperf3,
// ethtool and the modules of virtio-net. Both are made once and kept outside the tree:
//   the cache's folder qemu/ (scripts/vm/cache.ts says where that is)
//     linux-image-6.1.0-…/vmlinuz, *.ko      one folder per kernel; remove it to fetch a newer one
//     initramfs-HASH.img                     HASH of everything that goes in
// Run by itself this file makes the image: for tests that boot guests inside a virtual machine (`// VM: prepare …`).

import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "bun";
import { PROGRAM_PATH } from "../../../scripts/packages.ts";
import { PrivateApt } from "../../../scripts/vm/apt.ts";
import { cacheFolder, place, withWorkFolder } from "../../../scripts/vm/cache.ts";
import { packInitramfs } from "../../../scripts/vm/initramfs.ts";
import { newest } from "../../../scripts/vm/versions.ts";

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
  const cache = cacheFolder("qemu");
  const cached = newest(await readdir(cache), KERNEL_PACKAGE)?.name;
  const kernel = cached === undefined ? await fetchKernel(cache) : join(cache, cached);
  return { kernel: join(kernel, "vmlinuz"), initramfs: await packInitramfs(cache, await initramfsFiles(kernel)) };
}

function which(program: string): string | null {
  return Bun.which(program, { PATH: PROGRAM_PATH });
}

async function fetchKernel(cache: string): Promise<string> {
  return await withWorkFolder(cache, async (work) => {
    const apt = await PrivateApt.open(work, ["bookworm", "bookworm-security"]);
    const { name } = newest(await apt.names(KERNEL_PACKAGE), KERNEL_PACKAGE)!;
    const unpacked = join(work, "unpacked");
    await apt.unpack([name], unpacked);
    const made = join(work, "kernel");
    await mkdir(made);
    for (const path of await readdir(unpacked, { recursive: true })) {
      const file = basename(path).replace(/^vmlinuz-.*/, "vmlinuz");
      const wanted = file === "vmlinuz" || MODULES.some((module) => file === `${module}.ko`);
      if (wanted) await rename(join(unpacked, path), join(made, file));
    }
    await place(made, join(cache, name));
    return join(cache, name);
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

if (import.meta.main) await guestImage();
