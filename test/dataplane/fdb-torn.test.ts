// A reader that comes by in the middle of a write: every state that a rewritten entry can show, one by one, and then
// real threads that write while this one reads.

import { expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbPortAt } from "../../src/dataplane/fdb-burst.ts";
import { fdbFind, fdbHash, fdbPreferred, fdbSalted, fdbStep, hitAt } from "../../src/dataplane/fdb-find.ts";
import { allocateFdb, FDB_LEARNED, FDB_LOCK, FDB_SLOTS, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../src/dataplane/fdb-show.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";
import { checkFdb, macAt, macText, seedAt } from "./fdb-check.ts";
import { neighbours, startStress } from "./fdb-stress.ts";
import { CHANGES, OWN_PORTS, STOP, STRANGER_PORT } from "./fdb-stress-task.ts";

interface Key {
  index: number;
  vid: number;
}

/** The four words that an address of a VLAN has on `port` in an otherwise empty table with fdb's seed. */
function entryWords(fdb: Fdb, { index, vid }: Key, port: number): Int32Array {
  const { lo, hi } = macAt(index);
  const other = allocateFdb(32, { a: fdb.mulA, b: fdb.mulB, c: fdb.mulC });
  expect(fdbLearn(other, lo, hi, port, 0, vid)).toBe(FDB_LEARNED);
  const at = hitAt(fdbFind(other, lo, hi, vid));
  return other.words.slice(at, at + 4);
}

/**
 * Puts every mixture of the words of both writes where a reader that wants `key` looks, and asks what it then believes. `turn` 0: in the
 * slot that it looks at first; 1, 2, 3: in another one of that bucket.
 */
function believedMixtures(fdb: Fdb, writes: readonly Key[], key: Key, turn: number): void {
  const [first, second] = writes.map((write, turn) => entryWords(fdb, write, turn + 1));
  const { lo, hi } = macAt(key.index);
  const at = fdbPreferred(fdb, fdbHash(fdb, fdbSalted(fdb, lo, key.vid), hi)) ^ (turn << 2);
  for (let mixture = 0; mixture < 8; mixture++) {
    for (let word = 0; word < 3; word++) fdb.words[at + word] = (mixture >> word) & 1 ? second[word] : first[word];
    const shown = fdb.words.slice(at, at + 3);
    const whole = [first, second].findIndex((words) => shown.every((word, index) => word === words[index]));
    const isKey = whole >= 0 && writes[whole].index === key.index && writes[whole].vid === key.vid;
    expect(fdbLookup(fdb, lo, hi, 0, key.vid)).toBe(isKey ? whole + 1 : -1);
    if (key.vid === 0) expect(fdbPortAt(fdb, at, lo, hi, 0)).toBe(isKey ? whole + 1 : -1);
    // The list shows whatever is whole and lies where it belongs.
    const [entry, ...more] = [...fdbEntries(fdb, 0)].flat();
    expect(more).toEqual([]);
    if (isKey) expect(entry).toMatchObject({ vid: key.vid, port: whole + 1, mac: macText({ lo, hi }) });
    else if (entry !== undefined) expect([entry.vid, entry.port]).toEqual([writes[whole]?.vid, whole + 1]);
  }
  fdb.words.fill(0, at, at + 4);
}

// 0x1000000 shares hi with 0 and differs in lo; 1 shares lo; 0x1000001 shares neither; 0 itself may move.
const OTHERS = [0, 1, 0x1000000, 0x1000001];
const VLANS = [
  [0, 0],
  [7, 7],
  [0, 1],
  [10, 20],
  [0, 2048],
  [2047, 4095],
];

test.each(VLANS)(
  "no mixture of two writes of an entry, in VLANs %i and %i, is believed, unless it is one of the two",
  (a, b) => {
    for (const index of OTHERS) {
      for (let seed = 0; seed < 50; seed++) {
        const fdb = allocateFdb(32, seedAt(seed));
        const writes = [
          { index: 0, vid: a },
          { index, vid: b },
        ];
        for (const key of writes) {
          for (const vid of [a, b, 99]) believedMixtures(fdb, writes, { index: key.index, vid }, seed % 4);
        }
      }
    }
  },
);

test("what passes for an entry and lies in the wrong bucket is not shown", () => {
  const fdb = allocateFdb(32, seedAt(1));
  const key = { index: 0, vid: 7 };
  const words = entryWords(fdb, key, 1);
  const { lo, hi } = macAt(key.index);
  const hash = fdbHash(fdb, fdbSalted(fdb, lo, key.vid), hi);
  const home = hash >>> fdb.shift;
  const homes = [home, home ^ fdbStep(fdb, hash)];
  for (let bucket = 0; bucket < fdb.slotCount / 4; bucket++) {
    const at = FDB_SLOTS + bucket * 16;
    fdb.words.set(words, at);
    expect([...fdbEntries(fdb, 0)].flat()).toHaveLength(homes.includes(bucket) ? 1 : 0);
    fdb.words.fill(0, at, at + 4);
  }
});

test.each([0, 2048])(
  "while two threads, one of them in VLAN %i, rewrite its bucket, an address is on one of its ports or unknown, never on another's",
  async (vid) => {
    const fdb = allocateFdb(32);
    const { lo, hi } = macAt(0);
    const state = new Int32Array(new SharedArrayBuffer(12));
    const ended = Promise.all([
      startStress({ buffer: fdb.buffer, state, thread: 0, vid: 0, indices: [0], ports: OWN_PORTS }),
      startStress({
        buffer: fdb.buffer,
        state,
        thread: 1,
        vid,
        indices: neighbours(fdb, 8, vid),
        ports: [STRANGER_PORT],
      }),
    ]);
    const seen = new Map<number, number>();
    const allowed = [-1, ...OWN_PORTS];
    const changesWanted = sized(200_000, 5_000_000);
    await until(
      "both threads to change the table often, and every state to be seen",
      () => {
        for (let burst = 0; burst < 50_000; burst++) {
          Atomics.load(fdb.words, FDB_LOCK); // as the engine does: what follows is read from memory again
          const port = fdbLookup(fdb, lo, hi, 0);
          seen.set(port, (seen.get(port) ?? 0) + 1);
        }
        const busy = [0, 1].every((thread) => Atomics.load(state, CHANGES + thread) >= changesWanted);
        return busy && allowed.every((port) => seen.has(port));
      },
      { timeoutMs: 50_000, everyMs: 0, context: () => `seen ${[...seen]}, changes ${state.subarray(CHANGES)}` },
    ).finally(() => Atomics.store(state, STOP, 1));
    await ended;
    expect([...seen.keys()].sort()).toEqual(allowed.sort());
    checkFdb(fdb);
  },
  60_000,
);
