// The house rules, checked: `npm run tidy`, and as a test in every test run (test/tidy.test.ts, which also shows that each
// rule bites). The rules themselves stand in scripts/tidy/: floors, hot, shape, text.
//
//   tree -> texts -> syntax trees -> findings, one line each: path:line: message

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { checkFloors } from "./tidy/floors.ts";
import { checkHot } from "./tidy/hot.ts";
import { type Finding, parseAll } from "./tidy/parse.ts";
import { checkShape } from "./tidy/shape.ts";
import { checkText, type Place } from "./tidy/text.ts";

const ROOT = resolve(import.meta.dir, "..");
const CODE = "{src,scripts,bench,test}/**/*.ts";
const TEXTS = ["*", ".ci/*", ".github/**/*", "docs/**/*", "{src,scripts,bench,test}/**/*"];
/** Not of the project: what git does not track either. */
const LEFT_OUT = /^(node_modules|bench\/results)\/|\.log$|^\.git\//;

/** Reads the files that the globs name; a file with a NUL byte is no text. */
function readTree(globs: readonly string[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const glob of globs) {
    for (const path of new Bun.Glob(glob).scanSync({ cwd: ROOT, dot: true })) {
      if (LEFT_OUT.test(path)) continue;
      const text = readFileSync(join(ROOT, path), "utf8");
      if (!text.includes("\0")) files.set(path, text);
    }
  }
  return files;
}

/** Applies the rules about code to files given as path -> text. */
export async function checkCode(files: ReadonlyMap<string, string>): Promise<Finding[]> {
  const sources = await parseAll(files);
  return [...checkFloors(sources), ...checkHot(sources), ...checkShape(sources)];
}

/** Applies every rule to the tree that this file is in. */
export async function checkTree(): Promise<Finding[]> {
  const place: Place = { paths: [ROOT, homedir()], exists: (path) => existsSync(join(ROOT, path)) };
  return [...(await checkCode(readTree([CODE]))), ...checkText(readTree(TEXTS), place)];
}

export function lineFor({ path, line, message, warning }: Finding): string {
  return `${path}:${line}: ${message}${warning ? " (warning)" : ""}`;
}

if (import.meta.main) {
  const findings = await checkTree();
  for (const finding of findings) console.log(lineFor(finding));
  const failures = findings.filter(({ warning }) => !warning).length;
  console.log(failures === 0 ? "tidy" : `${failures} to tidy`);
  process.exit(failures === 0 ? 0 : 1);
}
