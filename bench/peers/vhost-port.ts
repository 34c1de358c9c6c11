// A vhost-user port's driver for clients of our own: the front end of the tests, with rings that are written once (steady-ring.ts), so that
// sending and receiving frames costs the client a few nanoseconds each, less than any switch needs for one.
//
//   memory of the front end:  its own rings' places | receive buffers | transmit buffers, each with the frame to be sent
//
// Main thread of a client's process.

import { signal } from "../../src/sys/fd.ts";
import { VHOST_USER_PROTOCOL_F_MQ } from "../../src/uapi/vhost_user.ts";
import { NET_HEADER_SIZE } from "../../src/virtio/net-header.ts";
import { FrontEnd } from "../../test/support/frontend.ts";
import { BUFFER_STRIDE, SteadyRing } from "../steady-ring.ts";

export const RING = 1024;
const BUFFER_SIZE = 2048;
/** Both rings with the front end's own buffers, and ours. */
const MEMORY_SIZE = 16 << 20;
const GUEST_BASE = 2 ** 32;

export class VhostPort {
  readonly receive: SteadyRing;
  readonly transmit: SteadyRing;
  /** The memory that both rings' buffers lie in. */
  readonly halves: Uint16Array;
  readonly words: Int32Array;
  /** Frames that were taken out of the receive ring. */
  taken = 0;

  private constructor(
    private readonly front: FrontEnd,
    frame: Uint8Array,
  ) {
    const [receive, transmit] = front.rings;
    const memory = front.ram.regions[0].bytes;
    this.halves = new Uint16Array(memory.buffer);
    this.words = new Int32Array(memory.buffer);
    const ring = (at: typeof receive, length: number, writable: boolean) => {
      const first = front.ram.alloc(RING * BUFFER_STRIDE);
      const [desc, avail, used] = [at.desc, at.avail, at.used].map((guest) => guest - GUEST_BASE);
      const buffers = { at: first - GUEST_BASE, address: (i: number) => first + i * BUFFER_STRIDE, length };
      return new SteadyRing(memory.buffer, { size: RING, desc, avail, used }, buffers, writable);
    };
    for (const { desc, used } of front.rings) memory.fill(0, desc - GUEST_BASE, used + 6 + RING * 8 - GUEST_BASE);
    this.receive = ring(receive, BUFFER_SIZE, true);
    this.transmit = ring(transmit, NET_HEADER_SIZE + frame.length, false);
    for (let n = 0; n < RING; n++) memory.set(frame, this.transmit.frameAt(n));
    this.receive.show(RING);
  }

  /** Connects to a switch that listens; it may forward at once. Every frame that is sent begins as `frame`. */
  static async connect(path: string, frame: Uint8Array): Promise<VhostPort> {
    const regions = [{ guest: GUEST_BASE, size: MEMORY_SIZE }];
    const front = new FrontEnd(path, { size: RING, regions, protocol: [VHOST_USER_PROTOCOL_F_MQ] });
    const port = new VhostPort(front, frame);
    await front.connect();
    await front.start();
    return port;
  }

  /** How many frames have arrived; each is at `receive.frameAt(taken)`, the next at `taken + 1`, … until `giveBack`. */
  arrived(): number {
    return this.receive.poll() - this.taken;
  }

  /** Shows the next `count` frames to the switch, and wakes it where it asks for that. */
  send(count: number): void {
    this.transmit.show(count);
    if (this.transmit.wantsKick) signal(this.front.transmitRing().kickFd);
  }

  /** The `count` frames that arrived first have been looked at. */
  giveBack(count: number): void {
    this.taken += count;
    this.receive.show(count);
  }

  /** Throws where the switch does not complete buffers in order: what was counted is not what arrived. */
  check(): void {
    if (!this.receive.inOrder() || !this.transmit.inOrder())
      throw new Error("the switch completes buffers out of order");
  }
}
