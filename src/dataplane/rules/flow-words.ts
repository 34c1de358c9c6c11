// HOT
// What tells the flows of plain IPv4 apart: eight words of each frame's headers, which is all that rules may ask of it, and their hash.
//
//   flow       0 1 2 addresses   3 protocol, in-port, fragment   4 5 addresses, a port   6 addresses, a port   7 TCP flags, TOS
//
// For all frames of a burst before any is looked for (plain-flows.ts): in a loop of its own, with nothing to wait for, the hashes of
// several frames are made at the same time. What plain is, and which bits count: plain-header.ts. All of it is the thread's, for one
// burst at a time (mem/fields.ts says why).

import { BURST } from "../../mem/batch.ts";
import { fieldViews } from "../../mem/fields.ts";
import { FLOW_MIXER } from "./flow-cache.ts";
import { headerFields, SLOT_WORDS, slotStart } from "./header-arena.ts";
import { FRAGMENT_PROTOCOL_BITS, flagBits, HIGH_HALF, isPlain, LOW_HALF } from "./plain-header.ts";

/** Words of a flow. */
export const FLOW_SIZE = 8;

const [word0, word1, word2, word3, word4, word5, word6, word7, word8, word9, , word11] = headerFields;
/** FLOW_SIZE words for each frame of the burst; of no meaning where it is not plain. */
export const flowFields = fieldViews(new Int32Array(BURST * FLOW_SIZE), FLOW_SIZE);
const [flow0, flow1, flow2, flow3, flow4, flow5, flow6, flow7] = flowFields;
/** 1 where the frame is plain, else 0. */
export const plains = new Int32Array(BURST);
export const hashes = new Int32Array(BURST);
/** Multipliers of hashes, one for each word and one more for plain-columns.ts: no guest knows where flows are kept. */
export const flowSeeds = crypto.getRandomValues(new Int32Array(FLOW_SIZE + 1)).map((seed) => seed | 1);

/** Reads the headers of the first `count` frames of the arena, of these lengths, which came in on `port`. */
export function readFlows(length: Int32Array, port: number, count: number): void {
  const inPort = port << 16;
  let at = slotStart(0) >> 2;
  let to = 0;
  for (let i = 0; i < count; i++, at += SLOT_WORDS, to += FLOW_SIZE) {
    const type = word3[at];
    const protocol = word5[at];
    plains[i] = isPlain(type, word4[at], length[i]) ? 1 : 0;
    const f0 = word0[at];
    const f1 = word1[at];
    const f2 = word2[at];
    const f3 = (protocol & FRAGMENT_PROTOCOL_BITS) | inPort;
    const f4 = word7[at];
    const f5 = word8[at];
    const f6 = (word6[at] & HIGH_HALF) | (word9[at] & LOW_HALF);
    const f7 = (word11[at] & flagBits(protocol)) | (type >>> 24);
    flow0[to] = f0;
    flow1[to] = f1;
    flow2[to] = f2;
    flow3[to] = f3;
    flow4[to] = f4;
    flow5[to] = f5;
    flow6[to] = f6;
    flow7[to] = f7;
    // Upper halves folded in first: of whole words the highest bit's product is the same under any seed, and two of them would cancel out. Two
    // flows that differ in bits 31 and 15 of two words still collide: then one of them is answered as a new flow is.
    let sum = Math.imul(f0 ^ (f0 >>> 16), flowSeeds[0]);
    sum = (sum + Math.imul(f1 ^ (f1 >>> 16), flowSeeds[1])) | 0;
    sum = (sum + Math.imul(f2 ^ (f2 >>> 16), flowSeeds[2])) | 0;
    sum = (sum + Math.imul(f3 ^ (f3 >>> 16), flowSeeds[3])) | 0;
    sum = (sum + Math.imul(f4 ^ (f4 >>> 16), flowSeeds[4])) | 0;
    sum = (sum + Math.imul(f5 ^ (f5 >>> 16), flowSeeds[5])) | 0;
    sum = (sum + Math.imul(f6 ^ (f6 >>> 16), flowSeeds[6])) | 0;
    sum = (sum + Math.imul(f7 ^ (f7 >>> 16), flowSeeds[7])) | 0;
    hashes[i] = Math.imul(sum ^ (sum >>> 15), FLOW_MIXER);
  }
}
