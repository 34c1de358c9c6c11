// The client of ever new flows (flow-client.ts), on a processor of its own: two vhost-user ports that send to one another as fast as their
// rings allow, every frame of a flow that was never there before, and count what arrives. Once a second the frames of a turn are looked at:
// each has to be one that was sent, byte for byte, and with the word "ordered" to come in its turn.
//
//   bun bench/peers/flow-client-entry.ts SOCKET SOCKET SIZE [ordered]      says "ready", sends after a line of input, then prints each second how
//                                                                  many frames arrived, both ports together

import { flowAt, flowFrame, macOf, setFlow } from "../flow-frames.ts";
import { CLIENT_MACS } from "./system.ts";
import { VhostPort } from "./vhost-port.ts";

/** Of turns between two looks at the clock and at the input. */
const TURNS = 256;
/** From the driver's start until every switch has its queues set up. */
const SETTLE_MS = 2_000;

let flow = 0;

/** A port, and what arrives there. */
interface End {
  readonly port: VhostPort;
  /** A frame of the other port's; its flow is set to compare. */
  readonly expected: Uint16Array;
  /** What arrives next is looked at. */
  inspects: boolean;
}

/** Throws where one of the next `count` frames is none that the other port sent, or, if that is asked, comes after one that was sent later. */
function inspect({ port: { halves, receive, taken }, expected }: End, count: number): void {
  let before = -1;
  for (let k = 0; k < count; k++) {
    const at = receive.frameAt(taken + k) >> 1;
    const n = flowAt(halves, at);
    setFlow(expected, 0, n);
    const isWhole =
      receive.lengthAt(taken + k) === expected.byteLength && expected.every((half, i) => halves[at + i] === half);
    if (!isWhole || n >= flow) throw new Error(`frame ${n} did not arrive as it was sent`);
    if (order !== undefined && n <= before) throw new Error(`frame ${n} arrived behind ${before}`);
    before = n;
  }
}

/** Fills the transmit ring with new flows and empties the receive ring. Returns how many frames arrived. */
function turn(end: End): number {
  const { port } = end;
  const { halves, transmit } = port;
  transmit.poll();
  const room = transmit.room;
  for (let k = 0; k < room; k++) setFlow(halves, transmit.frameAt(transmit.shown + k) >> 1, flow++);
  if (room > 0) transmit.show(room);
  const arrived = port.arrived();
  if (arrived === 0) return 0;
  if (end.inspects) inspect(end, arrived);
  end.inspects = false;
  port.giveBack(arrived);
  return arrived;
}

const [, , first, second, size, order] = process.argv;
const [a, b] = CLIENT_MACS.map(macOf);
const [fromFirst, fromSecond] = [flowFrame(Number(size), a, b), flowFrame(Number(size), b, a)];
const halvesOf = (frame: Uint8Array) => new Uint16Array(frame.buffer.slice(0));
const ends: End[] = [
  { port: await VhostPort.connect(first, fromFirst), expected: halvesOf(fromSecond), inspects: false },
  { port: await VhostPort.connect(second, fromSecond), expected: halvesOf(fromFirst), inspects: false },
];
await Bun.sleep(SETTLE_MS);
console.log("ready");
let started = false;
process.stdin.on("data", () => {
  started = true;
});
process.stdin.on("end", () => process.exit(0));
while (!started) await Bun.sleep(1);

let arrived = 0;
let since = performance.now();
for (;;) {
  for (let n = 0; n < TURNS; n++) for (const end of ends) arrived += turn(end);
  const now = performance.now();
  if (now - since >= 1000) {
    for (const end of ends) {
      end.port.check();
      end.inspects = true;
    }
    console.log(`frames/s ${Math.round((arrived * 1000) / (now - since))}`);
    [arrived, since] = [0, now];
  }
  // Input and output have their turn.
  await new Promise(setImmediate);
}
