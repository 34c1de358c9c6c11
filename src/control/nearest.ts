// "Did you mean": the known word nearest to a mistyped one, for messages about options, keys, kinds and ports.
// Pure. Words are a few dozen letters at most, so the plain quadratic edit distance is enough.

import { listed } from "./listed.ts";

/** The nearest of `known`, or undefined where none is near enough to be a typing mistake. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  // A third of the letters may be wrong: `mtuu` finds `mtu`, `web` does not find `tap`.
  let best = Math.max(1, Math.floor(word.length / 3)) + 1;
  let found: string | undefined;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

/** Names listed in a message; ports can be many. */
const SHOWN_COUNT = 16;

/** `did you mean mtu? LABEL mac, mtu, queues`, the next step of an "unknown ..." error. */
export function suggest(word: string, label: string, known: Iterable<string>): string {
  const names = [...known].sort();
  const near = nearest(word, names);
  const list = `${label} ${listed(names, SHOWN_COUNT) || "none"}`;
  return near === undefined ? list : `did you mean ${near}? ${list}`;
}

/** Levenshtein's distance, where two swapped neighbours count once; over words of up to 64 letters. */
function editDistance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length];
}
