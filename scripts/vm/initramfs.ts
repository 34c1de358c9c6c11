// The first file system of a virtual machine: a map from paths to contents becomes a compressed cpio archive, kept in the cache
// under a hash of all that goes in. Two are made here: test/support/qemu has a guest's whole user space in it, scripts/vm only what
// finds the host's root (init.sh, busybox, modules).

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { $ } from "bun";
import { PROGRAM_PATH } from "../packages.ts";
import { cacheFolder, makeOnce } from "./cache.ts";
import type { Kernel } from "./kernels.ts";
import { NIC_DRIVERS, readModules, WANTED } from "./modules.ts";

/** Packs files, given by their absolute paths inside; returns the archive's path in the folder `cache`. */
export async function packInitramfs(cache: string, files: ReadonlyMap<string, Buffer>): Promise<string> {
  const hash = createHash("sha256");
  for (const [path, content] of files) hash.update(`${path} ${content.length}\n`).update(content);
  const image = join(cache, `initramfs-${hash.digest("hex").slice(0, 16)}.img`);
  if (existsSync(image)) return image;

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

/** What boots `kernel` into the host's root; `nics`: with drivers for a machine's NICs. */
export async function vmInitramfs(kernel: Kernel, nics = false): Promise<string> {
  const files = new Map<string, Buffer>();
  files.set("/init", await readFile(join(import.meta.dir, "init.sh")));
  files.set("/bin/busybox", await readFile(Bun.which("busybox", { PATH: PROGRAM_PATH })!));
  const modules = await readModules(join(kernel.folder, "modules"), nics ? [...WANTED, ...NIC_DRIVERS] : WANTED);
  for (const [name, content] of modules) files.set(`/modules/${name}.ko`, content);
  files.set("/modules/order", Buffer.from([...modules.keys()].map((name) => `${name}\n`).join("")));
  return await packInitramfs(cacheFolder("vm"), files);
}
