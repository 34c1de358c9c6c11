// A virtio NIC with both of its ends in this process: ringyard's driver above, its own device side below, and a worker's
// tables for each. What the device delivers is what comes from the wire; what it fetches goes to the wire.
//
//   send(frames)       lane.deliver -> transmitq -> device.fetch -> frames on the wire          toWire()
//   fromWire(frames)   device.deliver -> receiveq -> lane.fetch -> frames for the switch        take()
//
// `useNic` closes everything with its test and checks rx + copies = tx + drops at the driver's lane, as well as that the
// device was left silent and nothing is held.

import { afterEach, expect } from "bun:test";
import { OFFLOAD_ALL } from "../../../../src/mem/batch.ts";
import * as counter from "../../../../src/mem/counters.ts";
import { Transmitters, type ZeroCopy } from "../../../../src/mem/held.ts";
import type { LaneContext } from "../../../../src/ports/port.ts";
import type { Nic, NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import { openVirtioNicLane, type VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import type { VirtioNicPair } from "../../../../src/ports/vfio/virtio/pair.ts";
import { readNetHeader } from "../../../../src/virtio/net-header.ts";
import type { VirtqueueLane } from "../../../../src/virtio/virtqueue-lane.ts";
import { openVirtqueueLane } from "../../../../src/virtio/virtqueue-open.ts";
import { LaneBench } from "../../lane-bench.ts";
import { BAR, type FakeOptions, FakeVirtioNet } from "./fake-device.ts";

export const ARENA_SIZE = 16 << 20;
/** Where the device has the memory of frames that are sent, where it may read them there (`NicRig.reach`). */
const ARENA_IOVA = 2 ** 36 + 4096;
/** What the lane calls itself in `Batch.heldBy`. */
export const SELF = 7;

/** One frame, in as many pieces as a test likes, perhaps with a virtio-net header that asks for offloads. */
export interface TestFrame {
  pieces: Uint8Array[];
  header?: Uint8Array;
}

export function whole(...frames: Uint8Array[]): TestFrame[] {
  return frames.map((bytes) => ({ pieces: [bytes] }));
}

/** A worker's tables, and memory that frames are put into, which a NIC may reach. */
export class End extends LaneBench {
  readonly zeroCopy: ZeroCopy = {
    self: SELF,
    iova: this.windows.iova,
    transmitters: new Transmitters(new Int32Array(0)),
  };

  constructor() {
    super(ARENA_SIZE);
  }

  override context(changes: Partial<LaneContext> = {}): LaneContext {
    return super.context({ zeroCopy: this.zeroCopy, ...changes });
  }

  /** Fills the batch anew, behind the frames of before, which may still be read; returns its list of indices. */
  fill(frames: readonly TestFrame[]): Int32Array {
    const { batch, window, windows } = this;
    batch.reset();
    for (const { pieces, header } of frames) {
      const i = this.put(...pieces);
      if (header === undefined) continue;
      const sound = readNetHeader(windows.view[window], this.place(header), batch, i, OFFLOAD_ALL, true);
      if (!sound) throw new Error("an unsound header");
    }
    return this.all;
  }
}

export const OPTIONS: NicOptions = {
  queues: 1,
  rxDescriptors: 256,
  txDescriptors: 256,
  promisc: true,
  offload: OFFLOAD_ALL,
};

export class NicRig {
  readonly host = new End();
  readonly wire = new End();
  lane!: VirtioNicPair;
  device!: VirtqueueLane;
  /** Frames that the switch would have received and sent on: for the law. */
  received = 0;
  asked = 0;

  constructor(
    readonly fake: FakeVirtioNet,
    readonly nic: Nic,
  ) {
    this.openLane();
    nic.start();
    this.openDevice();
  }

  openLane(shared = false): void {
    const config = this.nic.lane(0) as VirtioNicLaneConfig;
    this.lane = openVirtioNicLane(config, this.host.context({ shared }), this.fake.bar(BAR));
    this.lane.disarm();
  }

  private openDevice(): void {
    const { lo, hi } = this.fake.driverFeatures;
    this.device = openVirtqueueLane(
      {
        featuresLo: lo,
        featuresHi: hi,
        regions: [...this.fake.memory, { iova: ARENA_IOVA, size: ARENA_SIZE, address: this.host.address }].map(
          ({ iova, size, address }) => ({ guest: iova, size, address }),
        ),
        deliver: this.fake.ring(0),
        fetch: this.fake.ring(1),
      },
      this.wire.context(),
    );
  }

  /** Whether the device may read frames where they lie, from now on. */
  reach(on: boolean): void {
    const { address, memorySize: size, windows } = this.host;
    if (on) windows.mapDma({ address, size, iova: ARENA_IOVA });
    else windows.unmapDma(address);
  }

  /** The switch sends frames. Returns how many the lane took. */
  send(frames: readonly TestFrame[]): number {
    const list = this.host.fill(frames);
    this.asked += frames.length;
    return this.lane.deliver(this.host.batch, list, frames.length);
  }

  /** What the device puts on the wire: one burst. `release` false: it keeps the buffers. */
  toWire(release = true): Uint8Array[] {
    const { batch } = this.wire;
    batch.reset();
    const count = this.device.fetch(batch);
    const frames = Array.from({ length: count }, (_, i) => this.wire.frame(i));
    if (release) this.device.release(batch);
    return frames;
  }

  /** Frames come from the wire. Returns how many found buffers. */
  fromWire(frames: readonly TestFrame[]): number {
    return this.device.deliver(this.wire.batch, this.wire.fill(frames), frames.length);
  }

  /** The switch takes a burst. `release` false: its buffers are still read. */
  take(release = true): Uint8Array[] {
    const { batch } = this.host;
    batch.reset();
    const count = this.lane.fetch(batch);
    this.received += count;
    const frames = Array.from({ length: count }, (_, i) => this.host.frame(i));
    if (release) this.lane.release(batch);
    return frames;
  }

  /** Everything that waits. */
  takeAll(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let before = -1; before !== this.host.counters[counter.RX_FRAMES]; ) {
      before = this.host.counters[counter.RX_FRAMES];
      frames.push(...this.take());
    }
    return frames;
  }

  /** What came in went into a batch or was dropped with a reason; what was to go out was sent or dropped. */
  checkLaw(): void {
    const { counters } = this.host;
    let drops = 0;
    for (let index = counter.FIRST_DROP; index < counter.FIRST_FAULT; index++) drops += counters[index];
    expect(counters[counter.RX_FRAMES] + this.asked).toBe(this.received + counters[counter.TX_FRAMES] + drops);
  }

  close(): void {
    try {
      this.checkLaw();
    } finally {
      this.lane.close();
      this.device.close();
      this.nic.stop();
      expect([this.fake.status, this.fake.busMaster]).toEqual([0, false]);
      this.host.give();
      this.wire.give();
      this.fake.close();
    }
  }
}

/** Returns a function that opens a NIC on a fake device; it is checked and closed with its test. */
export function useNic(): (fake?: FakeOptions, options?: Partial<NicOptions>) => Promise<NicRig> {
  const open: NicRig[] = [];
  afterEach(() => {
    for (const rig of open.splice(0)) rig.close();
  });
  return async (fake = {}, options = {}) => {
    const device = new FakeVirtioNet(fake);
    const nic = await virtioNetDriver.open(device, { ...OPTIONS, ...options });
    const rig = new NicRig(device, nic);
    open.push(rig);
    return rig;
  };
}
