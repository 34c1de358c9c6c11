// A virtio NIC with both of its ends in this process: ringyard's driver above, its own device side below, and a worker's
// tables for each. What the device delivers is what comes from the wire; what it fetches goes to the wire.
//
//   send(frames)   lane.deliver -> transmitq -> device.fetch -> frames on the wire
//   receive(...)   device.deliver -> receiveq -> lane.fetch -> frames for the switch -> release
//
// `useNic` closes everything with its test and checks rx + copies = tx + drops at the driver's lane, as well as that the
// device was left silent and nothing is held.

import { afterEach, expect } from "bun:test";
import { Batch, OFFLOAD_ALL } from "../../../../src/mem/batch.ts";
import * as counter from "../../../../src/mem/counters.ts";
import { Transmitters, type ZeroCopy } from "../../../../src/mem/held.ts";
import { LANE_STATE_LENGTH } from "../../../../src/mem/lane-state.ts";
import { WindowTable } from "../../../../src/mem/window.ts";
import type { Nic, NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import { openVirtioNicLane, type VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import type { VirtioNicPair } from "../../../../src/ports/vfio/virtio/pair.ts";
import { mapAnonymous, unmap } from "../../../../src/sys/memory.ts";
import { plainNetHeader, readNetHeader } from "../../../../src/virtio/net-header.ts";
import type { VirtqueueLane } from "../../../../src/virtio/virtqueue-lane.ts";
import { openVirtqueueLane } from "../../../../src/virtio/virtqueue-open.ts";
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

/** A worker's tables: a batch, windows, counters, and memory that frames are put into. */
export class End {
  readonly batch = new Batch();
  readonly windows = new WindowTable();
  readonly counters = new Float64Array(counter.COUNTER_COUNT);
  readonly state = new Int32Array(new SharedArrayBuffer(LANE_STATE_LENGTH * 4));
  readonly address = mapAnonymous(ARENA_SIZE);
  readonly window = this.windows.add(this.address, ARENA_SIZE);
  readonly zeroCopy: ZeroCopy = {
    self: SELF,
    iova: new Float64Array(16).fill(-1),
    transmitters: new Transmitters(new Int32Array(0)),
  };
  private filled = 0;

  context(shared = false, owner = true) {
    const { windows, state, counters, zeroCopy } = this;
    return { windows, state, counters, shared, owner, zeroCopy };
  }

  /** Fills the batch anew, behind the frames of before, which may still be read; returns its list of indices. */
  fill(frames: readonly TestFrame[]): Int32Array {
    const { batch, window, windows } = this;
    batch.reset();
    const size = frames.reduce((sum, { pieces }) => sum + 16 + pieces.reduce((all, { length }) => all + length, 0), 0);
    let at = this.filled + size > ARENA_SIZE ? 0 : this.filled;
    for (const { pieces, header } of frames) {
      const i = batch.count++;
      batch.first[i] = batch.pool.count;
      batch.segments[i] = pieces.length;
      batch.length[i] = pieces.reduce((sum, piece) => sum + piece.length, 0);
      plainNetHeader(batch, i);
      if (header !== undefined) {
        windows.u8[window].set(header, at);
        if (!readNetHeader(windows.view[window], at, batch, i, OFFLOAD_ALL, true)) throw new Error("an unsound header");
        at += 16;
      }
      for (const piece of pieces) {
        const s = batch.pool.count++;
        batch.pool.window[s] = window;
        batch.pool.offset[s] = at;
        batch.pool.length[s] = piece.length;
        windows.u8[window].set(piece, at);
        at += piece.length;
      }
    }
    this.filled = (at + 3) & ~3;
    return Int32Array.from({ length: frames.length }, (_, i) => i);
  }

  /** Frame `i` of the batch, put together. */
  frame(i: number): Uint8Array<ArrayBuffer> {
    const { batch, windows } = this;
    const pieces: Uint8Array[] = [];
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      const start = batch.pool.offset[s];
      pieces.push(windows.u8[batch.pool.window[s]].slice(start, start + batch.pool.length[s]));
    }
    return new Uint8Array(Buffer.concat(pieces));
  }

  /** Drops and faults by name; those that never happened are absent. */
  get reasons(): Record<string, number> {
    return Object.fromEntries(
      counter.COUNTER_NAMES.flatMap((name, index) =>
        name === undefined || this.counters[index] === 0 ? [] : [[name, this.counters[index]]],
      ),
    );
  }

  close(): void {
    this.windows.remove(this.window);
    unmap(this.address, ARENA_SIZE);
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
    this.lane = openVirtioNicLane(config, this.host.context(shared), this.fake.bar(BAR));
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
    const { window, zeroCopy } = this.host;
    zeroCopy.iova[window] = on ? ARENA_IOVA : -1;
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
      this.host.close();
      this.wire.close();
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
