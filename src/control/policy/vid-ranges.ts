// VLAN ids as people write them: one id, or a list of ids and ranges. Pure.
//
//   "10,20-30"   [[10, 10], [20, 30]]        ascending, none overlaps or touches the next: one set of ids has one form
//   "all"        [[1, 4094]]                 0 and 4095 are no VLANs (802.1Q, table 9-2)

import { VID_MAX, type VidRange } from "../../dataplane/bridge/policy.ts";

export const VID_MIN = 1;

/** Null where the text is no list of VLAN ids. */
export function parseVidRanges(text: string): VidRange[] | null {
  if (text === "all") return [[VID_MIN, VID_MAX]];
  const ranges: [number, number][] = [];
  for (const item of text.split(",")) {
    const match = /^\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*$/.exec(item);
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first < VID_MIN || last > VID_MAX || first > last) return null;
    ranges.push([first, last]);
  }
  return joined(ranges);
}

export function formatVidRanges(ranges: readonly VidRange[]): string {
  if (isAllVids(ranges)) return "all";
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

export function isAllVids(ranges: readonly VidRange[]): boolean {
  return ranges.length === 1 && ranges[0][0] === VID_MIN && ranges[0][1] === VID_MAX;
}

/** By halves: ranges ascend. */
export function hasVid(ranges: readonly VidRange[], vid: number): boolean {
  let from = 0;
  let end = ranges.length;
  while (from < end) {
    const middle = (from + end) >> 1;
    const [first, last] = ranges[middle];
    if (vid < first) end = middle;
    else if (vid > last) from = middle + 1;
    else return true;
  }
  return false;
}

function joined(ranges: [number, number][]): VidRange[] {
  ranges.sort(([a], [b]) => a - b);
  const found: [number, number][] = [];
  for (const [first, last] of ranges) {
    const before = found.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else found.push([first, last]);
  }
  return found;
}
