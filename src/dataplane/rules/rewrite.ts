// HOT
// Changing a frame's header where it lies in the arena (header-arena.ts): tags, addresses, DSCP. A frame that does not have
// what would be changed stays as it is.
//
//   push   | .... | dst src | type ...   ->   | dst src | 8100 TCI | type ...      the frame begins 4 bytes earlier
//   strip  the other way round
//
// What is behind the addresses never moves, so an IP header stays where it was found. Length and the offsets of offloads go
// with the tag. A frame in the arena begins at a multiple of 4, before and after.

import { MAX_FRAME } from "../../mem/batch.ts";
import { DROP_OFFLOAD, DROP_OVERSIZED } from "../../mem/counters.ts";
import { type HeaderArena, slotStart } from "./header-arena.ts";
import { CLASS_INNER, CLASS_IP4, CLASS_IP6, CLASS_VLAN } from "./key.ts";

const TAG_SIZE = 4;
const ETHERNET_SIZE = 14;
/** Addresses, tag and the type behind it: what a tag must have around it to be one. */
export const TAGGED_SIZE = 18;
const TPID_AT = 12;
const TCI_AT = 14;
const TPID_8021Q = 0x8100;
const TPID_8021AD = 0x88a8;
const ECN_BITS = 3;
/** Receivers are told in 16 bits where a checksum begins. */
const CSUM_START_MAX = 0xffff;

function hasTag(arena: HeaderArena, at: number, length: number): boolean {
  if (length < TAGGED_SIZE) return false;
  const type = arena.view.getUint16(at + TPID_AT);
  return type === TPID_8021Q || type === TPID_8021AD;
}

/** Sets the bits of `mask` in the outer tag to `value`, or adds a tag. Returns 0, or a DROP_* counter, as `pushTag`. */
export function setVlan(arena: HeaderArena, i: number, mask: number, value: number): number {
  const { judged, view } = arena;
  const { pool } = judged;
  const s = judged.first[i];
  const at = pool.offset[s];
  if (hasTag(arena, at, pool.length[s])) {
    view.setUint16(at + TCI_AT, (view.getUint16(at + TCI_AT) & ~mask) | value);
    return 0;
  }
  return pushTag(arena, i, (TPID_8021Q << 16) | value);
}

/** Takes the outer tag off, if there is one. Returns 0, or a DROP_* counter, as `popTag`. */
export function stripVlan(arena: HeaderArena, i: number): number {
  const { judged } = arena;
  const { pool } = judged;
  const s = judged.first[i];
  return hasTag(arena, pool.offset[s], pool.length[s]) ? popTag(arena, i) : 0;
}

/**
 * Adds a tag, TPID << 16 | TCI. Returns 0, or a DROP_* counter: no room for it, or the checksum to be completed would begin where no
 * net header can say, as no stack asks for.
 */
export function pushTag(arena: HeaderArena, i: number, tag: number): number {
  const { judged, words } = arena;
  if (judged.length[i] + TAG_SIZE > MAX_FRAME) return DROP_OVERSIZED;
  if (judged.needs[i] !== 0 && judged.csumStart[i] + TAG_SIZE > CSUM_START_MAX) return DROP_OFFLOAD;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  words[word - 1] = words[word];
  words[word] = words[word + 1];
  words[word + 1] = words[word + 2];
  grow(arena, i, TAG_SIZE);
  setTag(arena, i, tag);
  return 0;
}

/** Takes the outer tag off. Returns 0, or a DROP_* counter: the checksum to be completed begins within what would go, as no stack asks for. */
export function popTag(arena: HeaderArena, i: number): number {
  const { judged, words } = arena;
  if (judged.needs[i] !== 0 && judged.csumStart[i] < TAGGED_SIZE) return DROP_OFFLOAD;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  words[word + 3] = words[word + 2];
  words[word + 2] = words[word + 1];
  words[word + 1] = words[word];
  grow(arena, i, -TAG_SIZE);
  return 0;
}

/** Replaces the outer tag by another one, TPID << 16 | TCI. */
export function setTag(arena: HeaderArena, i: number, tag: number): void {
  const { judged, view } = arena;
  view.setInt32(judged.pool.offset[judged.first[i]] + TPID_AT, tag);
}

/** The frame begins `by` bytes earlier. */
function grow(arena: HeaderArena, i: number, by: number): void {
  const { judged } = arena;
  arena.moved = 1;
  const { pool } = judged;
  const s = judged.first[i];
  pool.offset[s] -= by;
  pool.length[s] += by;
  judged.length[i] += by;
  judged.csumStart[i] += by;
}

/** Operands as in plan-layout.ts. */
export function setDestination(arena: HeaderArena, i: number, first: number, last: number): void {
  const { judged, words } = arena;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  words[word] = first;
  words[word + 1] = (words[word + 1] & ~0xffff) | last;
}

export function setSource(arena: HeaderArena, i: number, first: number, last: number): void {
  const { judged, words } = arena;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  words[word + 1] = (words[word + 1] & 0xffff) | (first << 16);
  words[word + 2] = (first >>> 16) | (last << 16);
}

/** Sets the six bits of an IPv4 or IPv6 header; `classes` are those of the frame as it was received (key.ts). */
export function setDscp(arena: HeaderArena, i: number, classes: number, dscp: number): void {
  const { view } = arena;
  const tags = ((classes & CLASS_VLAN) !== 0 ? 1 : 0) + ((classes & CLASS_INNER) !== 0 ? 1 : 0);
  const l3 = slotStart(i) + ETHERNET_SIZE + tags * TAG_SIZE;
  if ((classes & CLASS_IP4) !== 0) {
    const before = view.getUint16(l3);
    const after = (before & (0xff00 | ECN_BITS)) | dscp;
    view.setUint16(l3, after);
    // RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
    const sum = (~view.getUint16(l3 + 10) & 0xffff) + (~before & 0xffff) + after;
    const folded = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(l3 + 10, ~(folded + (folded >>> 16)));
  } else if ((classes & CLASS_IP6) !== 0) {
    // Version (4 bits), traffic class (8), flow label: DSCP is in the first six of those eight.
    view.setUint16(l3, (view.getUint16(l3) & 0xf03f) | (dscp << 4));
  }
}
