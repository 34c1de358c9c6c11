// Many stations on a worker's ports: half of them send, from port 0, to the other half, which the other ports share.
//
//   station n: 02:22 and 32 bits of n        frame k: from and to stations that k scatters over their halves
//
// Neighbouring frames have other addresses, so nothing is remembered from one to the next: what is measured is the table.

import { fdbLearn } from "../src/dataplane/fdb.ts";
import { FDB_LEARNED, type Fdb } from "../src/dataplane/fdb-layout.ts";

/** 02:22 as a little-endian half word. */
const PREFIX = 0x2202;
const SCATTER_FROM = 0x9e3779b1;
const SCATTER_TO = 0x85ebca6b;

/** Makes an fdb know `count` stations on `ports` ports, as if a frame of each had come in. */
export function learnStations(fdb: Fdb, count: number, ports: number): void {
  const half = count >> 1;
  for (let n = 0; n < count; n++) {
    const port = n < half ? 0 : 1 + ((n - half) % (ports - 1));
    const outcome = fdbLearn(fdb, PREFIX | (bigEndian(n >>> 16) << 16), bigEndian(n & 0xffff), port, 1);
    if (outcome !== FDB_LEARNED) throw new Error(`station ${n} was not learned: ${outcome}`);
  }
}

/** Addresses the frame that begins at half word `at`, number k, from one of the sending stations to one of the others. */
export function setStations(halves: Uint16Array, at: number, k: number, count: number): void {
  const half = count >> 1;
  setStation(halves, at, half + ((Math.imul(k, SCATTER_TO) >>> 0) % half));
  setStation(halves, at + 3, (Math.imul(k, SCATTER_FROM) >>> 0) % half);
}

function setStation(halves: Uint16Array, at: number, n: number): void {
  halves[at] = PREFIX;
  halves[at + 1] = bigEndian(n >>> 16);
  halves[at + 2] = bigEndian(n & 0xffff);
}

function bigEndian(half: number): number {
  return ((half & 0xff) << 8) | (half >>> 8);
}
