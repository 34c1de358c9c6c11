// A reader that comes by in the middle of a write: every state that a rewritten entry can show, one by one, and then
// real threads that write while this one reads.

import { afterEach, expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbFind, fdbHash, hitAt } from "../../src/dataplane/fdb-find.ts";
import { allocateFdb, FDB_LEARNED, FDB_LOCK, FDB_SLOTS, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../src/dataplane/fdb-show.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";
import { checkFdb, macAt } from "./fdb-check.ts";
import { CHANGES, OWN_PORTS, STOP, STRANGER_PORT, type StressTask } from "./fdb-stress-task.ts";

/** The four words that `mac` on `port` has in an otherwise empty table with fdb's seed. */
function entryWords(fdb: Fdb, index: number, port: number): Int32Array {
  const { lo, hi } = macAt(index);
  const other = allocateFdb(32, { a: fdb.mulA, b: fdb.mulB });
  expect(fdbLearn(other, lo, hi, port, 0)).toBe(FDB_LEARNED);
  const at = hitAt(fdbFind(other, lo, hi));
  return other.words.slice(at, at + 4);
}

test("no mixture of two writes of an entry is believed, unless it is one of the two", () => {
  // 0x1000000 shares hi with 0 and differs in lo; 1 shares lo; 0x1000001 shares neither; 0 itself may move.
  for (const otherIndex of [0, 1, 0x1000000, 0x1000001]) {
    for (let seed = 0; seed < 50; seed++) {
      const fdb = allocateFdb(32, { a: Math.imul(seed + 1, 0x2545f491), b: Math.imul(seed + 1, 0x9e3779b1) });
      const first = entryWords(fdb, 0, 1);
      const second = entryWords(fdb, otherIndex, 2);
      const keys = [macAt(0), macAt(otherIndex)];
      for (const [turn, { lo, hi }] of keys.entries()) {
        const bucket = fdbHash(fdb, lo, hi) >>> fdb.shift;
        const at = FDB_SLOTS + bucket * 16;
        for (let mixture = 0; mixture < 8; mixture++) {
          for (let word = 0; word < 3; word++)
            fdb.words[at + word] = (mixture >> word) & 1 ? second[word] : first[word];
          const shown = fdb.words.slice(at, at + 3);
          const isFirst = shown.every((word, index) => word === first[index]);
          const isSecond = shown.every((word, index) => word === second[index]);
          let expected = -1;
          if (isFirst && (turn === 0 || otherIndex === 0)) expected = 1;
          if (isSecond && (turn === 1 || otherIndex === 0)) expected = 2;
          expect(fdbLookup(fdb, lo, hi, 0)).toBe(expected);
          expect([...fdbEntries(fdb, 0)].length).toBe(isFirst || isSecond ? 1 : 0);
        }
        fdb.words.fill(0, at, at + 4);
      }
    }
  }
});

const workers: Worker[] = [];
afterEach(() => {
  for (const worker of workers.splice(0)) worker.terminate();
});

/** Starts a thread; the promise ends when the thread has. */
function start(task: StressTask): Promise<void> {
  const worker = new Worker(new URL("./fdb-stress-worker.ts", import.meta.url));
  workers.push(worker);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  worker.onmessage = () => resolve();
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage(task);
  return promise;
}

/** Addresses that share hi and the first bucket with address 0, so that they take and leave the same slots. */
function neighbours(fdb: Fdb, count: number): number[] {
  const home = (index: number) => fdbHash(fdb, macAt(index).lo, macAt(index).hi) >>> fdb.shift;
  const found: number[] = [];
  for (let index = 1 << 16; found.length < count; index += 1 << 16) if (home(index) === home(0)) found.push(index);
  return found;
}

test("while two threads rewrite its bucket, an address is on one of its ports or unknown, never on another's", async () => {
  const fdb = allocateFdb(32);
  const { lo, hi } = macAt(0);
  const state = new Int32Array(new SharedArrayBuffer(12));
  const ended = Promise.all([
    start({ buffer: fdb.buffer, state, thread: 0, indices: [0], ports: OWN_PORTS }),
    start({ buffer: fdb.buffer, state, thread: 1, indices: neighbours(fdb, 8), ports: [STRANGER_PORT] }),
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
}, 60_000);
