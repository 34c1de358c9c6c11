// Kernel modules: which ones a virtual machine loads, and in which order. insmod resolves no dependencies, so they are read from
// the modules themselves: the section .modinfo of a module holds `depends=a,b` and other words, each ended by a NUL.
// What a kernel has no module for is built in, or is missed by the first test that needs it.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "bun";

/** What ringyard's kernel tests need, and what they need to look at it. Their dependencies come by themselves. */
export const WANTED = [
  "9p",
  "9pnet_virtio",
  "virtio_net",
  "virtio_console",
  "vdpa",
  "vduse",
  "virtio_vdpa",
  "vhost_vdpa",
  "vhost_net",
  "tun",
  "veth",
  "bridge",
  "dummy",
  "vfio_iommu_type1",
  "vfio_pci",
  // Of the processor that the machine emulates: for virtual machines inside.
  "kvm_amd",
] as const;

/** And the drivers of NICs that a machine with such devices has. */
export const NIC_DRIVERS = ["e1000e", "igb", "e1000"] as const;

/** Files spell the same module with dashes or underscores. */
export function moduleName(file: string): string {
  return file.replace(/\.ko(\.[a-z]+)?$/, "").replaceAll("-", "_");
}

/** The names in `depends=` of a module's bytes. */
export function dependencies(module: Buffer): string[] {
  const at = module.indexOf("\0depends=", 0, "latin1");
  if (at < 0) return [];
  const start = at + "\0depends=".length;
  const names = module.toString("latin1", start, module.indexOf(0, start));
  return names.split(",").filter(Boolean).map(moduleName);
}

/** Each module after those that it depends on, none twice. Names that `read` does not know are left out. */
export async function loadOrder(
  wanted: readonly string[],
  read: (name: string) => Promise<Buffer | undefined>,
): Promise<Map<string, Buffer>> {
  const ordered = new Map<string, Buffer>();
  const begun = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (begun.has(name)) return;
    begun.add(name);
    const content = await read(name);
    if (content === undefined) return;
    for (const needed of dependencies(content)) await visit(needed);
    ordered.set(name, content);
  };
  for (const name of wanted) await visit(moduleName(name));
  return ordered;
}

/** The modules of a folder, unpacked, in the order in which they load. */
export async function readModules(folder: string, wanted: readonly string[]): Promise<Map<string, Buffer>> {
  const files = new Map((await readdir(folder)).map((file) => [moduleName(file), join(folder, file)]));
  return await loadOrder(wanted, async (name) => {
    const path = files.get(name);
    return path === undefined ? undefined : await readModule(path);
  });
}

async function readModule(path: string): Promise<Buffer> {
  if (path.endsWith(".xz")) return (await $`xz -dc ${path}`.quiet()).stdout;
  if (path.endsWith(".zst")) return Buffer.from(Bun.zstdDecompressSync(await Bun.file(path).bytes()));
  if (path.endsWith(".gz")) return Buffer.from(Bun.gunzipSync(await Bun.file(path).bytes()));
  return Buffer.from(await Bun.file(path).arrayBuffer());
}
