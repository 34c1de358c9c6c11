// HOT
// What matters to rules of frames of TCP or UDP in plain IPv4, as columns: two frames with the same columns meet the same rules.
//
//   0 1 2   addresses, as rules ask of them        3   protocol | in-port | length of source's prefix | of target's
//   4 5     source, target: ones behind the prefix     6   ports: ones where nothing matters       7   TCP flags, TOS
//   beside them: which bits of both ports matter
//
// Of source and target matters what the longest prefix of any rule has that they are in (compile-prefixes.ts), of ports what their own
// bits say (emit-matter.ts). An entry of the rules that matches one of two such frames asks for nothing else, so it matches the other. It
// is what Open vSwitch's megaflows are, found without a search. Ones, since with zeroes an address would look like the network
// that it is the first of.
//
// Each step is a loop of its own over the frames, with nothing to wait for. All of it is the thread's, for one burst at a time
// (mem/fields.ts says why).

import { BURST } from "../../mem/batch.ts";
import { fieldViews } from "../../mem/fields.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../uapi/in.ts";
import { PREFIX_END_WORDS, TABLES_CHECKED, TABLES_ENDS, TABLES_SOURCES, TABLES_TARGETS } from "./compile-layout.ts";
import { FLOW_MIXER } from "./flow-cache.ts";
import { FLOW_SIZE, flowFields, flowSeeds } from "./flow-words.ts";
import { slotStart } from "./header-arena.ts";
import { KEY_CLASS, KEY_DST, KEY_DST_SRC, KEY_FLAGS, KEY_IP_DST, KEY_IP_SRC, KEY_SRC, KEY_TYPE } from "./key.ts";
import type { RuleProgram } from "./program.ts";

// Places in a plain frame.
const SOURCE_AT = 26;
const TARGET_AT = 30;
const PORTS_AT = 34;
// Of a flow's word 3 (flow-words.ts). A fragment's bits but for don't-fragment.
const PROTOCOL_SHIFT = 24;
const FRAGMENT_BITS = 0xff3f;
// Of column 3.
const LENGTH_BITS = 6;
const LENGTH_MASK = 2 ** LENGTH_BITS - 1;
const PREFIX_END_SHIFT = Math.log2(PREFIX_END_WORDS);

const [flow0, flow1, flow2, flow3, , , , flow7] = flowFields;
/** FLOW_SIZE words for each frame that is asked about. */
export const columnFields = fieldViews(new Int32Array(BURST * FLOW_SIZE), FLOW_SIZE);
const [column0, column1, column2, column3, column4, column5, column6, column7] = columnFields;
export const columnHashes = new Int32Array(BURST);
/** Which bits of both ports matter. */
export const portsMatter = new Int32Array(BURST);
/** As column 3 has them. */
const lengths = new Int32Array(BURST);
/** By the length of a prefix. */
const prefixMasks = Int32Array.from({ length: 33 }, (_, length) => (length === 0 ? 0 : -1 << (32 - length)));

/** What rules ask of a flow's words 0 to 3 and 7; bits of source and target that matter for any frame. */
const asks = new Int32Array(7);
const [ASKED_7, CHECKED_SOURCE, CHECKED_TARGET] = [4, 5, 6];

/** Cold. Other rules are asked from now on. */
export function askColumnsOf({ functions, tables }: RuleProgram): void {
  const { asked } = functions;
  for (const [k, word] of [KEY_DST, KEY_DST_SRC, KEY_SRC].entries()) asks[k] = swapped(asked[word]);
  asks[3] = (0xff << PROTOCOL_SHIFT) | ((asked[KEY_CLASS] & 0xff) << 16);
  // TCP's flags are the lower 12 bits of bytes 46 and 47, which are the upper half of the frame's word.
  asks[ASKED_7] = (swapped(asked[KEY_FLAGS] >>> 16) & ~0xffff) | (asked[KEY_TYPE] & 0xff);
  asks[CHECKED_SOURCE] = tables[TABLES_CHECKED + KEY_IP_SRC];
  asks[CHECKED_TARGET] = tables[TABLES_CHECKED + KEY_IP_DST];
}

function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** Whether a plain frame, whose flow begins at word `flow`, has columns. */
export function hasColumns(flow: number): boolean {
  const word = flow3[flow];
  const protocol = word >>> PROTOCOL_SHIFT;
  return (protocol === IPPROTO_TCP || protocol === IPPROTO_UDP) && (word & FRAGMENT_BITS) === 0;
}

/** Makes the columns of `frames`, the first `count` of them, whose headers are in `view`. */
export function readColumns(program: RuleProgram, view: DataView, frames: Int32Array, count: number): void {
  readMatter(program, view, frames, count);
  let to = 0;
  for (let k = 0; k < count; k++, to += FLOW_SIZE) {
    const at = slotStart(frames[k]);
    const flow = frames[k] * FLOW_SIZE;
    const both = lengths[k];
    const matter = portsMatter[k];
    const c0 = flow0[flow] & asks[0];
    const c1 = flow1[flow] & asks[1];
    const c2 = flow2[flow] & asks[2];
    const c3 = (flow3[flow] & asks[3]) | both;
    const c4 = view.getInt32(at + SOURCE_AT) | ~(prefixMasks[both >>> LENGTH_BITS] | asks[CHECKED_SOURCE]);
    const c5 = view.getInt32(at + TARGET_AT) | ~(prefixMasks[both & LENGTH_MASK] | asks[CHECKED_TARGET]);
    const c6 = view.getInt32(at + PORTS_AT) | ~matter;
    const c7 = flow7[flow] & asks[ASKED_7];
    column0[to] = c0;
    column1[to] = c1;
    column2[to] = c2;
    column3[to] = c3;
    column4[to] = c4;
    column5[to] = c5;
    column6[to] = c6;
    column7[to] = c7;
    // Upper halves folded in first, as in emit-flow.ts.
    let sum = Math.imul(c0 ^ (c0 >>> 16), flowSeeds[0]);
    sum = (sum + Math.imul(c1 ^ (c1 >>> 16), flowSeeds[1])) | 0;
    sum = (sum + Math.imul(c2 ^ (c2 >>> 16), flowSeeds[2])) | 0;
    sum = (sum + Math.imul(c3 ^ (c3 >>> 16), flowSeeds[3])) | 0;
    sum = (sum + Math.imul(c4 ^ (c4 >>> 16), flowSeeds[4])) | 0;
    sum = (sum + Math.imul(c5 ^ (c5 >>> 16), flowSeeds[5])) | 0;
    sum = (sum + Math.imul(c6 ^ (c6 >>> 16), flowSeeds[6])) | 0;
    sum = (sum + Math.imul(c7 ^ (c7 >>> 16), flowSeeds[7])) | 0;
    // Ports in a range that ends with the last one have the same column as those of which nothing matters.
    sum = (sum + Math.imul(matter ^ (matter >>> 16), flowSeeds[8])) | 0;
    columnHashes[k] = Math.imul(sum ^ (sum >>> 15), FLOW_MIXER);
  }
}

function readMatter(program: RuleProgram, view: DataView, frames: Int32Array, count: number): void {
  const { functions, tables } = program;
  const sources = tables[TABLES_SOURCES];
  const targets = tables[TABLES_TARGETS];
  for (let k = 0; k < count; k++) {
    const at = slotStart(frames[k]);
    const source = prefixLength(tables, sources, view.getInt32(at + SOURCE_AT));
    const target = prefixLength(tables, targets, view.getInt32(at + TARGET_AT));
    lengths[k] = (source << LENGTH_BITS) | target;
    portsMatter[k] = functions.matterPorts(tables, view.getInt32(at + PORTS_AT));
  }
}

/** How many bits of an address matter: the way through a tree of prefixes. */
export function prefixLength(tables: Int32Array, root: number, address: number): number {
  let node = tables[root + (address >>> 24)];
  node = tables[node + ((address >>> 16) & 255)];
  node = tables[node + ((address >>> 12) & 15)];
  node = tables[node + ((address >>> 8) & 15)];
  node = tables[node + ((address >>> 4) & 15)];
  node = tables[node + (address & 15)];
  return (node - TABLES_ENDS) >> PREFIX_END_SHIFT;
}
