// The program that gc.test.ts runs with BUN_JSC_logGC=1: workers forward frames between memory ports, and marks in the
// same stream divide the time into windows.      bun gc-load.ts WORKER_ENTRY WORKERS WINDOWS SECONDS_EACH
//
//   stderr:  MARK 0  [GC<heap>: START …] …  MARK FRAMES  …  MARK FRAMES  …  [GC<heap>: shutdown …]
//
// The load goes through every path of the loop: unicast short and long, flood, checksum and segmentation in software,
// frames that are dropped, a receiver whose ring is full, the lock of a shared lane where there are several workers.

import { writeSync } from "node:fs";
import { DmaRegistry } from "../../src/control/dma.ts";
import { RunningPort } from "../../src/control/running-port.ts";
import { parsePort } from "../../src/control/uri.ts";
import { Dispatcher } from "../../src/dataplane/dispatch.ts";
import { allocateFdb } from "../../src/dataplane/fdb-layout.ts";
import { memoryDriver } from "../../src/ports/memory/driver.ts";
import { memory } from "../../src/ports/memory/kind.ts";
import { Reactor } from "../../src/sys/reactor.ts";
import { pattern, spec4, spec6 } from "../dataplane/offload/reference.ts";
import { BROADCAST, frame, mac, offloaded } from "../support/frames.ts";
import { quiet } from "../support/memory-switch.ts";

const [entry, workers, windows, seconds] = process.argv.slice(2);
const PORTS = { a: "offload=csum,tso4,tso6,uso", b: "", full: "size=16" };

const reactor = new Reactor();
const cpus = new Array(Number(workers)).fill(-1);
const dispatcher = new Dispatcher(cpus, allocateFdb(), entry, (error) => {
  throw error;
});
const dma = new DmaRegistry(dispatcher);
const ports: RunningPort[] = [];
for (const [index, [name, query]] of Object.entries(PORTS).entries()) {
  const spec = parsePort(name, `memory:${name}?${query}`, { memory });
  const port = new RunningPort(spec, index, dispatcher, dma, reactor, quiet);
  await port.open(memory);
  ports.push(port);
}
const [a, b] = ["a", "b"].map(memoryDriver);
const payload = pattern(9000);
const offloads = [
  offloaded(mac(2), mac(1), spec4({ payload: payload.slice(0, 1000) }), 0),
  offloaded(mac(2), mac(1), spec4({ payload }), 1400),
  offloaded(mac(2), mac(1), spec6({ payload }), 1400),
  offloaded(mac(2), mac(1), spec4({ payload, transport: "udp" }), 1400),
  offloaded(mac(2), mac(1), spec6({ payload, transport: "udp" }), 1400),
];
const fromA = [frame(mac(2), mac(1)), frame(mac(2), mac(1), 1514), frame(BROADCAST, mac(1)), frame(mac(2), BROADCAST)];
const fromB = [frame(mac(1), mac(2)), frame(mac(1), mac(2), 1514), frame(mac(2), mac(2))];

/** Sends and receives `count` times, as fast as this thread can. */
function load(count: number): void {
  for (let turn = 0; turn < count; turn++) {
    // Five of them: every sixteenth turn comes to all in turn.
    const { bytes, header } = offloads[turn % offloads.length];
    if (turn % 16 === 0) a.send(bytes, header);
    else a.send(fromA[turn % 4]);
    b.send(fromB[turn % 3]);
    while (a.receive() !== null);
    while (b.receive() !== null);
  }
  // The switch's clock, as its housekeeping turns it.
  dispatcher.tick();
}

const RX_FRAMES = 0;
const frames = () => dispatcher.counters(0, 0)[RX_FRAMES] + dispatcher.counters(1, 0)[RX_FRAMES];
writeSync(2, "MARK 0\n");
for (let window = 0; window < Number(windows); window++) {
  const before = frames();
  const end = performance.now() + Number(seconds) * 1000;
  while (performance.now() < end) load(1000);
  writeSync(2, `MARK ${frames() - before}\n`);
}
for (const port of ports) await port.close();
await dispatcher.stop();
process.exit(0);
