// What no file of the tree may say, code or not: where it was written. Paths of the machine of whoever wrote it, hosts that
// their packages came from, and links that lead nowhere.

import { posix } from "node:path";
import { type Finding, lineAt } from "./parse.ts";

export interface Place {
  /** Absolute paths of this checkout and of this user's home. */
  readonly paths: readonly string[];
  /** Whether a path from the tree's root exists. */
  readonly exists: (path: string) => boolean;
}

/** Home folders, as they stand on Linux and macOS. The character before keeps `src/home/…` out of it. */
const HOME = /(?<![\w.-])\/(?:home|Users)\/[a-z_][\w.-]*|(?<![\w.-])\/root\//g;
const REGISTRY = /\bregistry\.[a-z0-9-]+\.[a-z]{2,}/gi;
const LINK = /\]\(([^)#\s]+)(?:#[^)]*)?\)/g;

function matches(text: string, pattern: RegExp): { offset: number; found: string }[] {
  return [...text.matchAll(pattern)].map((match) => ({ offset: match.index, found: match[1] ?? match[0] }));
}

function machinePattern(path: string): RegExp {
  return new RegExp(`(?<![\\w.}-])${RegExp.escape(path)}(?![\\w-])`, "g");
}

/** `/app` alone would be found in half of all relative paths. */
function isTelling(path: string): boolean {
  return path.split("/").filter(Boolean).length >= 2;
}

export function checkText(files: ReadonlyMap<string, string>, place: Place): Finding[] {
  const findings: Finding[] = [];
  const here = place.paths.filter(isTelling).map(machinePattern);
  for (const [path, text] of files) {
    const found = (offset: number, message: string) => findings.push({ path, line: lineAt(text, offset), message });
    for (const pattern of [HOME, ...here]) {
      for (const match of matches(text, pattern)) found(match.offset, `a path of one machine: ${match.found}`);
    }
    for (const match of matches(text, REGISTRY)) found(match.offset, `a package registry's host: ${match.found}`);
    if (!path.endsWith(".md")) continue;
    for (const { offset, found: target } of matches(text, LINK)) {
      if (/^[a-z]+:/.test(target)) continue;
      const resolved = posix.normalize(posix.join(posix.dirname(path), target));
      if (resolved.startsWith("..") || !place.exists(resolved)) found(offset, `a link that leads nowhere: ${target}`);
    }
  }
  return findings;
}
