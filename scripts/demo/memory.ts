// The demo without containers: a switch in this process, and both ends of it too, as memory ports with the built-in
// driver. The path through the switch is the same; what is missing is a kernel at either end.

import { fdbTable } from "../../src/cli/fdb-view.ts";
import { portTable } from "../../src/cli/port-view.ts";
import type { SwitchLog } from "../../src/control/api.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type MemoryDriver, memoryDriver } from "../../src/ports/memory/driver.ts";
import type { Undo } from "./undo.ts";

const NAMES = ["blue", "red"] as const;
const ROUND_TRIPS = 1000;
const TRANSFER_MS = 2000;
const LOAD_SIZE = 1514;
/** Half of a memory port's ring. */
const WINDOW = 128;
/** Longer than any frame takes: a scheduler may take the CPU away for a while. */
const LOST_MS = 5000;
const ETHERTYPE = 0x88b5; // for local experiments, IEEE 802

export async function memoryDemo(undo: Undo): Promise<void> {
  console.log("  blue ---memory---[ ringyard ]---memory--- red\n");
  const log: SwitchLog = {
    info() {},
    warn: (_, message) => console.error(message),
    error: (_, message) => console.error(message),
  };
  const api = await createSwitch({}, log);
  undo.push(() => api.close());
  for (const name of NAMES) await api.addPort(parsePort(name, `memory:${name}`, kinds));
  const [blue, red] = NAMES.map(memoryDriver);
  const toRed = frame(2, 1, 60);
  const toBlue = frame(1, 2, 60);
  // The first frame of each is how the switch learns who is where.
  roundTrip(blue, red, toRed, toBlue);
  console.log(`latency     ${latency(blue, red, toRed, toBlue)}`);
  console.log(`throughput  ${throughput(blue, red, frame(2, 1, LOAD_SIZE))}`);
  console.log(`\n$ ringyard port list\n${portTable(api.ports())}`);
  console.log(`$ ringyard fdb show\n${fdbTable(await api.fdb()).trimEnd()}`);
}

/** An Ethernet frame between the locally administered addresses 02:...:to and 02:...:from. */
function frame(to: number, from: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, ETHERTYPE >> 8, ETHERTYPE & 255]);
  return bytes;
}

function roundTrip(blue: MemoryDriver, red: MemoryDriver, there: Uint8Array, back: Uint8Array): void {
  blue.send(there);
  waitFor(red);
  red.send(back);
  waitFor(blue);
}

function latency(blue: MemoryDriver, red: MemoryDriver, there: Uint8Array, back: Uint8Array): string {
  const times: number[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip++) {
    const startedMs = performance.now();
    roundTrip(blue, red, there, back);
    times.push((performance.now() - startedMs) * 1000);
  }
  times.sort((a, b) => a - b);
  const [median, worst] = [times[ROUND_TRIPS >> 1], times[Math.floor(ROUND_TRIPS * 0.99)]];
  return `${ROUND_TRIPS} round trips, none lost: median ${median.toFixed(0)} µs, 99 % within ${worst.toFixed(0)}`;
}

/** Sends and receives, all from this thread, with at most so many frames under way that no ring overflows. */
function throughput(from: MemoryDriver, to: MemoryDriver, load: Uint8Array): string {
  let count = 0;
  let sent = 0;
  const startedMs = performance.now();
  const endMs = startedMs + TRANSFER_MS;
  while (performance.now() < endMs) {
    while (sent - count < WINDOW && from.send(load)) sent++;
    while (to.receive() !== null) count++;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const [rateFps, rateBps] = [count / seconds, (count * LOAD_SIZE * 8) / seconds];
  return `${(rateFps / 1e6).toFixed(2)} million frames/s of ${LOAD_SIZE} bytes, ${(rateBps / 1e9).toFixed(1)} Gbit/s`;
}

function waitFor(driver: MemoryDriver): void {
  const endMs = performance.now() + LOST_MS;
  while (driver.receive() === null) {
    if (performance.now() > endMs) throw new Error(`no frame arrived at memory:${driver.name}`);
  }
}
