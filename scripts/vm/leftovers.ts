// What virtual machines leave behind: consoles of those that failed, kept in the cache for some time, and folders of those whose
// process was killed before it could remove them.

import { existsSync, readdirSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./cache.ts";

const CONSOLES_KEPT = 20;
const FOLDER = /^ringyard-vm-(\d+)-/;

/** Keeps a console under the present time and `label`; returns its path. The oldest goes where there are too many. */
export async function keepText(text: string, label: string): Promise<string> {
  const folder = cacheFolder("vm-consoles");
  const old = readdirSync(folder).sort().slice(0, -CONSOLES_KEPT);
  for (const name of old) rmSync(join(folder, name), { force: true });
  const path = join(folder, `${new Date().toISOString().replaceAll(":", "-")}-${label}.log`);
  await writeFile(path, text);
  return path;
}

/** Removes folders of machines whose process is gone; the machines went with it. */
export function sweepFolders(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = FOLDER.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}
