// HOT
// Which queue pair of a multi-queue receiver a frame goes to: a hash of its flow, so that one flow stays in order on one
// queue (virtio 1.2, 5.1.6.5.5 wants packets of a flow steered alike). Addresses and ports for TCP and UDP over IPv4 and
// IPv6 without options; addresses alone for the rest of IP; MACs for anything else. Behind up to two VLAN tags, too. Reads the first
// segment only.

import type { Batch } from "../mem/batch.ts";
import type { WindowTable } from "../mem/window.ts";

const ETHERTYPE_IPV4 = 0x0008; // 0x0800 read little-endian
const ETHERTYPE_IPV6 = 0xdd86;
const ETHERTYPE_VLAN = 0x0081;
const ETHERTYPE_SVLAN = 0xa888;
const FRAGMENT_MASK = 0xff3f; // MF and offset, read little-endian
const TAG_SIZE = 4;
const TAGS_MAX = 2;
/** With which the header behind a tag has a type. */
const TAGGED_SIZE = 18;

/** lowbias32's first (Wellons 2018). */
const MIXER = 0x21f0aaad;

/** Which of `lanes` frame `i` goes to, by the upper half of its flow's hash: only there each bit of a flow counts. */
export function flowLane(windows: WindowTable, batch: Batch, i: number, lanes: number): number {
  const hash = flowHash(windows, batch, i);
  return Math.imul(Math.imul(hash ^ (hash >>> 16), MIXER) >>> 16, lanes) >>> 16;
}

function flowHash(windows: WindowTable, batch: Batch, i: number): number {
  const s = batch.first[i];
  const view = windows.view[batch.pool.window[s]];
  const start = batch.pool.offset[s];
  let at = start;
  let size = batch.pool.length[s];
  let type = view.getUint16(at + 12, true);
  for (let tag = 0; tag < TAGS_MAX; tag++) {
    if ((type !== ETHERTYPE_VLAN && type !== ETHERTYPE_SVLAN) || size < TAGGED_SIZE) break;
    at += TAG_SIZE;
    size -= TAG_SIZE;
    type = view.getUint16(at + 12, true);
  }
  let hash = 0;
  if (type === ETHERTYPE_IPV4 && size >= 38) {
    // One after the other: pairs of hosts with the same numbers in two networks would all cancel out.
    hash = mix(mix(view.getInt32(at + 26, true)) ^ view.getInt32(at + 30, true));
    const protocol = view.getUint8(at + 23);
    const plain = view.getUint8(at + 14) === 0x45 && (view.getUint16(at + 20, true) & FRAGMENT_MASK) === 0;
    if (plain && (protocol === 6 || protocol === 17)) hash = mix(hash ^ view.getInt32(at + 34, true));
  } else if (type === ETHERTYPE_IPV6 && size >= 58) {
    for (let word = 22; word < 54; word += 4) hash = mix(hash ^ view.getInt32(at + word, true));
    const next = view.getUint8(at + 20);
    if (next === 6 || next === 17) hash = mix(hash ^ view.getInt32(at + 54, true));
  } else {
    hash = mix(mix(view.getInt32(start, true) ^ view.getInt32(start + 4, true)) ^ view.getInt32(start + 8, true));
  }
  return hash;
}

function mix(value: number): number {
  const product = Math.imul(value, 0x9e3779b1);
  return product ^ (product >>> 15);
}
