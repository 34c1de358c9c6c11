// The control queue of a virtio-net device, from its driver's side (virtio 1.2, 5.1.6.5): one command at a time, waited for.
//
//   desc 0  class u8 | command u8 | data ...     the device reads     -> desc 1  ack u8     the device writes
//
// The wait is on the spot and short (the device's answer takes microseconds; Linux's driver spins too); a device that does not
// answer in time is not asked again. src/virtio/net-ctrl.ts is the other end. Control thread, cold.

import { RingyardError } from "../../../core/errors.ts";
import { acquire16 } from "../../../mem/access.ts";
import { viewOf } from "../../../sys/memory.ts";
import { VIRTIO_NET_OK } from "../../../uapi/virtio_net.ts";
import { VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../../../uapi/virtio_ring.ts";
import { publishAvail, silenceCalls } from "../../../virtio/driver-notify.ts";
import { type Doorbell, DriverQueue, type DriverQueueConfig } from "../../../virtio/driver-queue.ts";

/** Two descriptors are in use at a time. */
export const CONTROL_SIZE = 2;
export const CONTROL_CHUNK = 64;
const ANSWER_LIMIT_MS = 2000;
/** And so many looks, a fraction of that time: where the whole machine stood still, the device did, too. */
const ANSWER_LOOKS = 100;
/** The first moments are spent looking, not sleeping. */
const SPIN_MS = 1;
const UNANSWERED = 0xff;

export class NetControl {
  private readonly queue: DriverQueue;
  private readonly bytes: Uint8Array;
  private next = 0;
  /** A command is still with the device: its buffers are not ours. */
  private stuck = false;

  constructor(
    private readonly address: string,
    config: DriverQueueConfig,
    private readonly doorbell: Doorbell,
    eventIdx: boolean,
  ) {
    this.queue = new DriverQueue(config, eventIdx);
    this.bytes = new Uint8Array(viewOf(this.queue.buffersAddress, 0, CONTROL_SIZE * CONTROL_CHUNK));
    silenceCalls(this.queue.ring, 0);
  }

  /** Carries a command out. Throws RingyardError: UNSUPPORTED where the device refuses it, SYSTEM where it does not answer. */
  command(what: string, kind: number, command: number, data: readonly number[]): void {
    const { bytes, queue } = this;
    const { ring } = queue;
    if (this.stuck) throw this.silent(what);
    bytes.set([kind, command, ...data], 0);
    bytes[CONTROL_CHUNK] = UNANSWERED;
    queue.describe(0, 2 + data.length, VRING_DESC_F_NEXT | (1 << 16));
    queue.describe(1, 1, VRING_DESC_F_WRITE);
    ring.avail[2 + (this.next & ring.mask)] = 0;
    const previous = this.next;
    this.next = (previous + 1) & 0xffff;
    if (publishAvail(ring, previous, this.next)) this.doorbell.write16(queue.notifyOffset, queue.index);
    const start = performance.now();
    let looks = 0;
    while (acquire16(ring.used, 1) !== this.next) {
      const waited = performance.now() - start;
      if (waited > ANSWER_LIMIT_MS && looks >= ANSWER_LOOKS) {
        this.stuck = true;
        throw this.silent(what);
      }
      if (waited <= SPIN_MS) continue;
      Bun.sleepSync(1);
      looks++;
    }
    if (bytes[CONTROL_CHUNK] !== VIRTIO_NET_OK) {
      throw new RingyardError(
        "UNSUPPORTED",
        `NIC ${this.address} refuses ${what} (control queue answer ${bytes[CONTROL_CHUNK]})`,
      );
    }
  }

  private silent(what: string): RingyardError {
    const next = "give it back and take it again: ringyard nic give, ringyard nic take";
    return new RingyardError("SYSTEM", `NIC ${this.address} does not answer ${what} on its control queue`, next);
  }
}
