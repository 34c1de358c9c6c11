// The client of ever new flows (flow-client.ts), on a processor of its own: two vhost-user ports that send to one another as fast as their
// rings allow, every frame of a flow that was never there before, and count what arrives.
//
//   bun bench/peers/flow-client-entry.ts SOCKET SOCKET SIZE        says "ready", sends after a line of input, then prints each second how
//                                                                  many frames arrived, both ports together

import { flowFrame, macOf, setFlow } from "../flow-frames.ts";
import { CLIENT_MACS } from "./system.ts";
import { VhostPort } from "./vhost-port.ts";

/** Of turns between two looks at the clock and at the input. */
const TURNS = 256;
/** From the driver's start until every switch has its queues set up. */
const SETTLE_MS = 2_000;

let flow = 0;

/** Fills the transmit ring with new flows and empties the receive ring. Returns how many frames arrived. */
function turn(port: VhostPort): number {
  const { halves, transmit } = port;
  transmit.poll();
  const room = transmit.room;
  for (let k = 0; k < room; k++) setFlow(halves, transmit.frameAt(transmit.shown + k) >> 1, flow++);
  if (room > 0) transmit.show(room);
  const arrived = port.arrived();
  if (arrived > 0) port.giveBack(arrived);
  return arrived;
}

const [, , first, second, size] = process.argv;
const [a, b] = CLIENT_MACS.map(macOf);
const ports = [
  await VhostPort.connect(first, flowFrame(Number(size), a, b)),
  await VhostPort.connect(second, flowFrame(Number(size), b, a)),
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
  for (let n = 0; n < TURNS; n++) for (const port of ports) arrived += turn(port);
  const now = performance.now();
  if (now - since >= 1000) {
    for (const port of ports) port.check();
    console.log(`frames/s ${Math.round((arrived * 1000) / (now - since))}`);
    [arrived, since] = [0, now];
  }
  // Input and output have their turn.
  await new Promise(setImmediate);
}
