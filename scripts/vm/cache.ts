// Where kernels, initramfs images and Debian folders are kept, outside the tree:
//   $RINGYARD_CACHE (or $XDG_CACHE_HOME, or ~/.cache)/ringyard/NAME/
// Each entry is built under a temporary name beside its place and renamed, so that a run that is cut short, or a second run beside
// it, leaves nothing half made. To fetch something newer, remove its folder.

import { mkdirSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The folder that holds all of them. */
export function cacheRoot(): string {
  return process.env.RINGYARD_CACHE ?? process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
}

/** A folder of the cache, made where it is missing (inside a virtual machine the cache is read-only, and complete). */
export function cacheFolder(name: string): string {
  const folder = join(cacheRoot(), "ringyard", name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Lets `work` use a temporary folder in `cache`, on the same file system as what it will `place`. */
export async function withWorkFolder<T>(cache: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(cache, ".making-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Gives something complete its name. Where another run was first, its result stays. */
export async function place(made: string, target: string): Promise<void> {
  await rename(made, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
  });
}

/** Makes `target`: the path that `make` returns, in the temporary folder that it is given, takes its place. */
export async function makeOnce(target: string, make: (folder: string) => Promise<string>): Promise<string> {
  await withWorkFolder(dirname(target), async (folder) => place(await make(folder), target));
  return target;
}
