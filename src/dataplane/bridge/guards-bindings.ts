// HOT
// The stations that source guard lets in, by port and address, and the prefixes that each may send from. Made cold from the policy;
// looked up once for each run of frames. A thousand stations at a port cost what one does: a hash table, at most half full.
//
//   slots    per station 8 words: port << 16 | MAC bytes 0-1, MAC bytes 2-5, first and end in prefixes4, first and end in prefixes6, state, 0
//   prefixes4   value, mask      prefixes6   4 words of value, 4 of mask        numbers as in the flow key: first byte on top
//
// A station that is listed several times has all of its prefixes; one that is listed once without any may use every address. Who may send
// from any IPv6 prefix may also use the link-local address made of its MAC (RFC 4291, 2.5.6 and appendix A), without which it could not speak
// IPv6 at all; other link-local addresses have to be listed. Contents are the operator's, so the hash needs no secret.

import { stationsOf } from "./guards-stations.ts";
import type { BridgePolicy } from "./policy.ts";

const SLOT_WORDS = 8;
const ADDRESS = 1;
const FIRST4 = 2;
const END4 = 3;
const FIRST6 = 4;
const END6 = 5;
const STATE = 6;
const STATE_BOUND = 1;
/** It may use every address. */
const STATE_ANY = 2;

export class Bindings {
  readonly mask: number;
  readonly slots: Int32Array;
  readonly prefixes4: Int32Array;
  readonly prefixes6: Int32Array;

  constructor(policy: BridgePolicy) {
    const stations = stationsOf(policy);
    let capacity = 2;
    while (capacity < 2 * stations.length) capacity *= 2;
    this.mask = capacity - 1;
    this.slots = new Int32Array(capacity * SLOT_WORDS);
    const all4: number[] = [];
    const all6: number[] = [];
    for (let k = 0; k < stations.length; k++) {
      const { port, high, low, any, prefixes4, prefixes6 } = stations[k];
      const first = (port << 16) | high;
      let slot = slotOf(first, low) & this.mask;
      while (this.slots[slot * SLOT_WORDS + STATE] !== 0) slot = (slot + 1) & this.mask;
      const start6 = all6.length;
      for (let p = 0; p < prefixes6.length; p++) all6.push(prefixes6[p]);
      const start4 = all4.length;
      for (let p = 0; p < prefixes4.length; p++) all4.push(prefixes4[p]);
      const state = any ? STATE_ANY : STATE_BOUND;
      this.slots.set([first, low, start4, all4.length, start6, all6.length, state], slot * SLOT_WORDS);
    }
    this.prefixes4 = Int32Array.from(all4);
    this.prefixes6 = Int32Array.from(all6);
  }
}

function slotOf(first: number, address: number): number {
  const sum = (Math.imul(first, 0x9e3779b1) + address) | 0;
  const mixed = Math.imul(sum ^ (sum >>> 16), 0x21f0aaad);
  return Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97) >>> 8;
}

/** Where in `slots` a station of a port is, whose address is bytes 0-1 and 2-5; -1: it is not listed there. */
export function findStation(bindings: Bindings, port: number, high: number, low: number): number {
  const { mask, slots } = bindings;
  const first = (port << 16) | high;
  // At least half of the slots are empty, so this ends.
  for (let slot = slotOf(first, low) & mask; ; slot = (slot + 1) & mask) {
    const at = slot * SLOT_WORDS;
    if (slots[at + STATE] === 0) return -1;
    if (slots[at] === first && slots[at + ADDRESS] === low) return at;
  }
}

export function mayUseAny(bindings: Bindings, station: number): boolean {
  return bindings.slots[station + STATE] === STATE_ANY;
}

/** Whether a station may use an IPv4 address. */
export function mayUse4(bindings: Bindings, station: number, address: number): boolean {
  const { prefixes4, slots } = bindings;
  const end = slots[station + END4];
  for (let p = slots[station + FIRST4]; p < end; p += 2) {
    if ((address & prefixes4[p + 1]) === prefixes4[p]) return true;
  }
  return false;
}

/** Whether a station may use any IPv6 address. */
export function mayUseSome6(bindings: Bindings, station: number): boolean {
  return bindings.slots[station + END6] > bindings.slots[station + FIRST6];
}

/** Whether it may use this one. */
export function mayUse6(bindings: Bindings, station: number, a: number, b: number, c: number, d: number): boolean {
  const { prefixes6, slots } = bindings;
  const end = slots[station + END6];
  for (let p = slots[station + FIRST6]; p < end; p += 8) {
    const differs =
      ((a & prefixes6[p + 4]) ^ prefixes6[p]) |
      ((b & prefixes6[p + 5]) ^ prefixes6[p + 1]) |
      ((c & prefixes6[p + 6]) ^ prefixes6[p + 2]) |
      ((d & prefixes6[p + 7]) ^ prefixes6[p + 3]);
    if (differs === 0) return true;
  }
  return false;
}
