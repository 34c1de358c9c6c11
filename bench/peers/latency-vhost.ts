// A round trip between two vhost-user ports, with a driver of our own at either end (vhost-port.ts). What it includes: the driver's write
// to its ring, a kick where the switch asks for one, the switch, and the driver's look at its ring; no call, since drivers poll.

import { macOf } from "../flow-frames.ts";
import { FRAME_SIZE, LIMIT, NUMBER_AT, type Trip, tripFrame } from "./latency-trip.ts";
import { CLIENT_MACS } from "./system.ts";
import { VhostPort } from "./vhost-port.ts";

/** Of a frame's words, which are the number, and which bits of others the source's address: bytes 6 to 11. */
const NUMBER_BITS = new Map([[NUMBER_AT >> 2, -1]]);
const SOURCE_BITS = new Map([
  [1, 0xffff0000 | 0],
  [2, -1],
]);

/** Throws where the frame that arrived last at `to` is not one of those that `from` sends, but for the `changed` bits of its words. */
function checkTrip(from: VhostPort, to: VhostPort, changed: ReadonlyMap<number, number>): void {
  const words = FRAME_SIZE >> 2;
  const [sent, arrived] = [from.transmit.frameAt(0), to.receive.frameAt(to.taken - 1)].map((at) => at >> 2);
  for (let k = 0; k < words; k++) {
    const differs = (from.words[sent + k] ^ to.words[arrived + k]) & ~(changed.get(k) ?? 0);
    if (differs !== 0) throw new Error(`a frame did not arrive as it was sent: byte ${k << 2}`);
  }
}

export class VhostTrip implements Trip {
  readonly home = new Int32Array(LIMIT);
  private unseen = 0;

  private constructor(
    private readonly first: VhostPort,
    private readonly second: VhostPort,
    private readonly changed: ReadonlyMap<number, number>,
  ) {}

  /** `writesSource`: the switch writes addresses of its own as sources. */
  static async connect([first, second]: readonly string[], writesSource: boolean): Promise<VhostTrip> {
    const [a, b] = CLIENT_MACS.map(macOf);
    return new VhostTrip(
      await VhostPort.connect(first, tripFrame(a, b)),
      await VhostPort.connect(second, tripFrame(b, a)),
      writesSource ? new Map([...NUMBER_BITS, ...SOURCE_BITS]) : NUMBER_BITS,
    );
  }

  send(n: number): void {
    const { transmit, words } = this.first;
    words[(transmit.frameAt(transmit.shown + this.unseen++) + NUMBER_AT) >> 2] = n;
  }

  flush(): void {
    this.first.transmit.poll();
    this.first.send(this.unseen);
    this.unseen = 0;
  }

  turn(): number {
    const { first, second } = this;
    const back = second.arrived();
    if (back > 0) {
      second.transmit.poll();
      for (let k = 0; k < back; k++) {
        const number = second.words[(second.receive.frameAt(second.taken + k) + NUMBER_AT) >> 2];
        second.words[(second.transmit.frameAt(second.transmit.shown + k) + NUMBER_AT) >> 2] = number;
      }
      second.send(back);
      second.giveBack(back);
    }
    const home = Math.min(first.arrived(), LIMIT);
    for (let k = 0; k < home; k++) {
      this.home[k] = first.words[(first.receive.frameAt(first.taken + k) + NUMBER_AT) >> 2];
    }
    if (home > 0) first.giveBack(home);
    return home;
  }

  check(): void {
    for (const port of [this.first, this.second]) port.check();
    checkTrip(this.second, this.first, this.changed);
    checkTrip(this.first, this.second, this.changed);
  }
}
