// A copy of the source with a mistake planted in it, to show that a fuzzer finds such a mistake: the tree's `src` in a
// temporary folder, one text replaced in one file. Modules are imported from there by path; what they import among
// themselves is the copy too, worker threads included.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

export interface Mistake {
  name: string;
  file: string;
  /** Text that stands in the file exactly once. */
  from: string;
  to: string;
}

/** Makes the copy; returns its root. The caller removes it. */
export function plant({ file, from, to }: Mistake): string {
  const root = mkdtempSync(join(tmpdir(), "ringyard-mutant-"));
  cpSync(join(ROOT, "src"), join(root, "src"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(root, "package.json"));
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  const text = readFileSync(join(root, file), "utf8");
  if (text.split(from).length !== 2) throw new Error(`"${from}" does not stand once in ${file}: adapt the mistake`);
  writeFileSync(join(root, file), text.replace(from, to));
  return root;
}

export function uproot(root: string): void {
  rmSync(root, { recursive: true });
}
