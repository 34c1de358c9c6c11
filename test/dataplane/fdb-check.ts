// What the fdb tests share: addresses by number, and a check of every invariant of a table at rest.

import { expect } from "bun:test";
import { formatMac, type Mac } from "../../src/core/mac.ts";
import { nextNode, oldestNode } from "../../src/dataplane/fdb-entry.ts";
import { fdbFind, hitAt, vidOf } from "../../src/dataplane/fdb-find.ts";
import {
  ENTRY_TAG,
  FDB_COUNT,
  FDB_LIMIT,
  FDB_LOCK,
  FDB_PORT_COUNT,
  FDB_PORT_LIMIT,
  FDB_PORTS_MAX,
  FDB_SLOTS,
  type Fdb,
  type FdbSeed,
  TAG_STATIC,
} from "../../src/dataplane/fdb-layout.ts";

/** The address 02:00:00:00:00:00 plus `index`, counted as people count: in the last byte first. */
export function macAt(index: number): Mac {
  const byte = (place: number) => Math.floor(index / 256 ** place) & 0xff;
  const lo = (0x02 + (byte(4) << 8)) | (byte(3) << 16) | (byte(2) << 24);
  return { lo, hi: byte(1) | (byte(0) << 8) };
}

/** Multipliers that differ from number to number, and not from run to run. */
export function seedAt(index: number): FdbSeed {
  const n = index + 1;
  return { a: Math.imul(n, 0x2545f491), b: Math.imul(n, 0x9e3779b1), c: Math.imul(n, 0x85ebca77) };
}

export function macText(mac: Mac): string {
  return formatMac(mac.lo, mac.hi);
}

/** Walks slots and rings: each entry findable where it lies, each learned one once in its port's ring, counts right. */
export function checkFdb(fdb: Fdb): void {
  const { words } = fdb;
  const learned = new Map<number, Set<number>>();
  let count = 0;
  for (let slot = 0; slot < fdb.slotCount; slot++) {
    const at = FDB_SLOTS + slot * 4;
    const tag = words[at + ENTRY_TAG];
    if (tag === 0) continue;
    count++;
    // A double, an entry outside its two buckets or a wrong seal would each be found elsewhere or not at all.
    expect(hitAt(fdbFind(fdb, words[at], tag & 0xffff, vidOf(fdb, at)))).toBe(at);
    const port = (tag >>> 16) & 0xff;
    if ((tag & TAG_STATIC) === 0) learned.set(port, (learned.get(port) ?? new Set()).add(slot));
  }
  expect(words[FDB_COUNT]).toBe(count);
  expect(count).toBeLessThanOrEqual(words[FDB_LIMIT]);
  for (let port = 0; port < FDB_PORTS_MAX; port++) {
    const slots = learned.get(port) ?? new Set();
    const ring = new Set<number>();
    for (let node = oldestNode(fdb, port); node < fdb.slotCount && !ring.has(node); node = nextNode(fdb, node)) {
      ring.add(node);
    }
    expect(ring).toEqual(slots);
    expect(words[FDB_PORT_COUNT + port]).toBe(slots.size);
    expect(slots.size).toBeLessThanOrEqual(words[FDB_PORT_LIMIT + port]);
  }
  expect(words[FDB_LOCK]).toBe(0);
}
