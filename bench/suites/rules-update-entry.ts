// The client of rules-update.ts, on CPU 1: sends numbered frames from port 0, as fast as they are taken or paced, and has one rule
// added and removed, again and again, that forwards all of them to port 2 instead of port 1. Prints UpdateTimes as JSON.
//
//   numbers at port 1:  0 … 41         at port 2:  42 … 99        at port 1:  100 …
//                            ^ rule.add, some ms before     ^ rule.del
//
// Every number has to arrive once, in order, and none at the port of before behind the first at the port of now: a frame that is lost or
// misjudged ends this with an error. What is timed is the request to the first frame at the other port.
//
//   bun bench/suites/rules-update-entry.ts CONTROL COUNT full|paced SOCKET SOCKET SOCKET

import { ControlClient } from "../../src/control/client.ts";
import { ControlServer } from "../../src/control/server.ts";
import { CLIENT_TARGET, flowFrame, macOf, setFlow } from "../flow-frames.ts";
import { RING, VhostPort } from "../peers/vhost-port.ts";
import type { UpdateTimes } from "./rules-update.ts";

/** Rules of several shapes: one that the list has, some that it has not, and one that asks for bits that no other rule asks for. */
const MATCHES = [
  `ip dst ${CLIENT_TARGET} udp dport 9`,
  "in p0 ip src 198.18.0.0/15",
  "eth dst 02:11:00:00:00:02 ip dscp 0 frag none",
  "ip dst 198.18.0.0/23 udp sport 1024-65535",
  "in p0",
];
const PRIORITY = 65_000;
const MACS = ["02:11:00:00:00:01", "02:11:00:00:00:02", "02:11:00:00:00:03"].map(macOf);
const SIZE = 64;
/** Of the number in a frame, in words from the header's start: behind 12 + 14 + 20 + 8 bytes. */
const NUMBER_AT = 44;
const FLOWS = 256;
/** A receive ring has room for them all, so that none is dropped for want of a buffer while this process does something else. */
const IN_FLIGHT = RING;
/** Of turns between two looks at the control socket. */
const TURNS = 16;
const WARM_UP_MS = 1_000;
const WARM_UP_REQUESTS = 50;
/** Between two changes, at most: they meet the switch at any time of its period. */
const PAUSE_MS = 20;
const LIMIT_MS = 5_000;

const [control, count, pace, ...paths] = process.argv.slice(2);
const [sender, first, second] = await Promise.all(
  paths.map((path, index) => VhostPort.connect(path, flowFrame(SIZE, MACS[index], MACS[index === 0 ? 1 : 0]))),
);
const client = await ControlClient.connect(control);

/** Frames sent so far: the number of the next. And the one that is due at the port where frames arrive now. */
let next = 0;
let due = 0;

/** Fills the transmit ring, as far as what has not arrived leaves room for. */
function send(): void {
  const { halves, words, transmit } = sender;
  transmit.poll();
  const room = Math.min(transmit.room, IN_FLIGHT - (next - due));
  for (let k = 0; k < room; k++, next++) {
    const at = transmit.frameAt(transmit.shown + k);
    setFlow(halves, at >> 1, next % FLOWS);
    words[(at + NUMBER_AT) >> 2] = next;
  }
  if (room > 0) transmit.show(room);
}

/** Takes what arrived at `port`, whose next number has to be `wanted`; returns what it has to be then. */
function take(port: VhostPort, wanted: number): number {
  const { words, receive } = port;
  const arrived = port.arrived();
  for (let k = 0; k < arrived; k++) {
    const number = words[(receive.frameAt(port.taken + k) + NUMBER_AT) >> 2];
    if (number !== wanted + k) throw new Error(`frame ${number} where ${wanted + k} was due: lost or misjudged`);
  }
  if (arrived > 0) port.giveBack(arrived);
  return wanted + arrived;
}

/** The number of the frame that arrived first at `port`, or -1. */
function firstAt(port: VhostPort): number {
  if (port.arrived() === 0) return -1;
  return port.words[(port.receive.frameAt(port.taken) + NUMBER_AT) >> 2];
}

/** Lets the control socket have its turn; paced, a full ring a millisecond is the most that is sent. */
const breath = () => (pace === "full" ? new Promise((resolve) => setImmediate(resolve)) : Bun.sleep(1));

async function load(port: VhostPort, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    for (let n = 0; n < TURNS; n++) {
      send();
      due = take(port, due);
    }
    await breath();
  }
}

/** Sends a request that makes frames go to `to` instead of `from`. Returns ms until the first did, and until the answer. */
async function change(from: VhostPort, to: VhostPort, request: () => Promise<unknown>): Promise<[number, number]> {
  const start = performance.now();
  let answer = 0;
  let failure: unknown;
  const answered = request().then(
    () => {
      answer = performance.now() - start;
    },
    (error) => {
      failure = error;
    },
  );
  let found = -1;
  while (found < 0) {
    for (let n = 0; n < TURNS && found < 0; n++) {
      send();
      due = take(from, due);
      found = firstAt(to);
    }
    if (failure !== undefined) throw failure;
    if (performance.now() - start > LIMIT_MS) throw new Error("no frame met the change");
    await breath();
  }
  const arrived = performance.now() - start;
  // All that met the rules of before were delivered before this one was.
  due = take(from, due);
  if (found !== due) throw new Error(`frame ${found} met the change, but of those before only ${due} arrived`);
  await Promise.all([answered, load(to, Math.random() * PAUSE_MS)]);
  if (failure !== undefined) throw failure;
  if (from.arrived() > 0) throw new Error(`frame ${firstAt(from)} met the rules of before`);
  return [arrived, answer];
}

/**
 * This process's own way to a control socket and back takes 20 ms the first time, which is not the switch's. So it is gone at a socket of
 * our own; the switch's has served nothing but the list of rules when the first change comes.
 */
async function warmUp(): Promise<void> {
  const log = { error: (fields: object) => console.error(fields) };
  const server = await ControlServer.listen(`${control}.warm-up`, async () => ({ meters: [] }), log);
  const own = await ControlClient.connect(server.path);
  for (let n = 0; n < WARM_UP_REQUESTS; n++) await Promise.all([own.request("meter.list", {}), load(first, 1)]);
  own.close();
  server.close();
}

// The switch learns where the others are, and floods what they send, since it does not know the sender yet.
for (const port of [first, second]) port.transmit.show(1);
while (sender.arrived() < 2 || first.arrived() < 1 || second.arrived() < 1) await breath();
for (const port of [sender, first, second]) port.giveBack(port.arrived());
await load(first, WARM_UP_MS);
await warmUp();

const toFirstFrame: number[] = [];
const toAnswer: number[] = [];
const began = { at: performance.now(), frames: next };
for (let k = 0; k < Number(count); k += 2) {
  const rule = `prio ${PRIORITY} ${MATCHES[(k / 2) % MATCHES.length]} forward p2`;
  let id = 0;
  const add = async () => {
    id = (await client.request("rule.add", { rule })).rule.id;
  };
  const del = () => client.request("rule.del", { ids: [id] });
  for (const [from, to, request] of [
    [first, second, add],
    [second, first, del],
  ] as const) {
    const [frame, answer] = await change(from, to, request);
    toFirstFrame.push(frame);
    toAnswer.push(answer);
  }
}
const mpps = (next - began.frames) / (performance.now() - began.at) / 1000;
for (const port of [sender, first, second]) port.check();
client.close();
const times: UpdateTimes = { toFirstFrame, toAnswer, mpps };
console.log(JSON.stringify(times));
process.exit(0);
