// What the one-worker benches time is forwarding: what arrives is what was sent, and the look at it finds what is not.

import { afterEach, expect, test } from "bun:test";
import { OneWorker, TURNS } from "../../bench/one-worker.ts";
import { learnStations, setStations } from "../../bench/stations.ts";
import { allocateFdb } from "../../src/dataplane/fdb-layout.ts";

const SIZE = 100;
const ADDRESSES = 100;
const open: OneWorker[] = [];
afterEach(() => {
  for (const worker of open.splice(0)) worker.close();
});

function worker(ports: number): OneWorker {
  const made = new OneWorker(SIZE, { ports, fdb: allocateFdb(ADDRESSES + 16) });
  learnStations(made.fdb, ADDRESSES, ports);
  open.push(made);
  return made;
}

/** Sends as many frames as fit, from station to station. */
function forward(made: OneWorker): void {
  made.fillWith((halves, at, k) => setStations(halves, at, k, ADDRESSES));
  for (let n = 0; n < TURNS; n++) made.turn();
}

test.each([2, 8])("what %d ports receive is what was sent, in order", (ports) => {
  const made = worker(ports);
  for (let n = 0; n < 3; n++) {
    forward(made);
    made.checkArrived();
  }
});

test("a frame that did not arrive is seen", () => {
  const made = worker(2);
  made.fillWith((halves, at, k) => setStations(halves, at, k, ADDRESSES));
  for (let n = 1; n < TURNS; n++) made.turn();
  expect(() => made.checkArrived()).toThrow("did not arrive");
});

test("a byte that is another is seen", () => {
  const made = worker(2);
  let last: { halves: Uint16Array; at: number } | undefined;
  made.fillWith((halves, at, k) => {
    setStations(halves, at, k, ADDRESSES);
    last = { halves, at };
  });
  for (let n = 0; n < TURNS; n++) made.turn();
  made.checkArrived();
  if (last !== undefined) last.halves[last.at + SIZE / 2 - 1] ^= 1;
  expect(() => made.checkArrived()).toThrow("did not arrive as it was sent");
});
