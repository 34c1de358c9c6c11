// Buffers whose frames NICs read in the driver's memory: they go back in the order in which the driver gave them, each when
// the NIC is done, whatever lies between. Two fake NICs and a receiver that copies; the rig plays the worker.

import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { COUNTER_COUNT, RX_FRAMES, TX_COPIED, TX_FRAMES, TX_ZERO_COPY } from "../../src/mem/counters.ts";
import { abandonQueue, Transmitters } from "../../src/mem/held.ts";
import { FETCH_AVAIL, FETCH_USED, HELD, LANE_STATE_LENGTH, TX_POSTED, TX_REAPED } from "../../src/mem/lane-state.ts";
import { FakeNicLane, FakeNicRing, IOVA_BASE } from "../support/fake-nic.ts";
import { frame, mac, numbered, readNumbered } from "../support/frames.ts";
import { sized } from "../support/scale.ts";
import { Rig, type TestGuest } from "./rig.ts";

/** Lane numbers of the two NICs. */
const NICS = [3, 5] as const;

/** A guest whose memory both NICs reach, and a receiver that copies. */
class HeldRig {
  readonly rig = new Rig();
  readonly words = new Int32Array(new SharedArrayBuffer(8 * LANE_STATE_LENGTH * 4));
  readonly transmitters = new Transmitters(this.words);
  readonly rings = NICS.map(() => FakeNicRing.make());
  readonly counters = NICS.map(() => new Float64Array(COUNTER_COUNT));
  readonly wire: Uint8Array[][] = [[], []];
  readonly nics: FakeNicLane[];
  readonly guest: TestGuest;
  readonly receiver: TestGuest;
  /** Heads as the driver sent them, and as they came back. */
  readonly sent: number[] = [];
  readonly back: number[] = [];
  private next = 0;
  private readonly buffers: number[];

  constructor(size: number) {
    const { windows } = this.rig;
    this.nics = NICS.map((lane, n) => {
      const state = this.state(n);
      const zeroCopy = { self: lane + 1, iova: windows.iova, transmitters: this.transmitters };
      const context = { windows, state, counters: this.counters[n], shared: true, owner: true, zeroCopy };
      const made = new FakeNicLane(this.rings[n].address, context, (bytes) => this.wire[n].push(bytes));
      this.transmitters.lanes[lane] = made;
      return made;
    });
    const zeroCopy = { self: 1, iova: windows.iova, transmitters: this.transmitters };
    this.guest = this.rig.guest({ size, zeroCopy });
    this.receiver = this.rig.guest({ size: 256, regions: [{ guest: 0, size: 1 << 20 }] });
    this.receiver.postMany(256, 256);
    const [{ address, size: bytes }] = this.guest.regions;
    windows.mapDma({ address, size: bytes, iova: address + IOVA_BASE });
    this.buffers = Array.from({ length: size }, () => this.guest.alloc(256));
  }

  state(nic: number): Int32Array {
    const at = NICS[nic] * LANE_STATE_LENGTH;
    return this.words.subarray(at, at + LANE_STATE_LENGTH);
  }

  get held(): number {
    return this.guest.state[HELD];
  }

  /** Sends to NIC 0 or 1, or to the receiver (2); with a header that no driver may send, to nobody (3). False: ring full. */
  send(to: number, pieces = 1): boolean {
    const { guest } = this;
    this.collect();
    if (guest.transmitq.available < pieces) return false;
    const bytes = new Uint8Array(12 + 64);
    bytes.set(numbered(mac(to), mac(9), to, this.next++), 12);
    if (to === 3) bytes[1] = 0x7f;
    // A buffer is free when its head is: the driver may write there, and nobody else may read there any more.
    const free = this.buffers[this.next % this.buffers.length];
    guest.put(free, bytes);
    const cut = 40;
    const chain: [number, number][] =
      pieces === 1
        ? [[free, 76]]
        : [
            [free, cut],
            [free + cut, 76 - cut],
          ];
    this.sent.push(guest.transmitq.addChain(chain, false));
    guest.transmitq.publish();
    return true;
  }

  /** One turn of a worker. */
  breathe(): void {
    const { guest, nics, receiver } = this;
    const { batch } = this.rig;
    batch.reset();
    const count = guest.lane.fetch(batch);
    const lists = [0, 1, 2].map((to) => this.frames(count).filter((i) => this.sender(i) === to));
    for (const [to, lane] of [...nics, receiver.lane].entries()) {
      if (lists[to].length > 0) lane.deliver(batch, Int32Array.from(lists[to]), lists[to].length);
    }
    guest.lane.release(batch);
    this.collect();
  }

  /** One turn in which every frame goes to both NICs. */
  flood(): void {
    const { batch } = this.rig;
    batch.reset();
    const count = this.guest.lane.fetch(batch);
    for (const nic of this.nics) nic.deliver(batch, Int32Array.from(this.frames(count)), count);
    this.guest.lane.release(batch);
    this.collect();
  }

  private frames(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i);
  }

  private sender(i: number): number {
    const { first, pool } = this.rig.batch;
    const bytes = this.rig.windows.u8[pool.window[first[i]]];
    return bytes[pool.offset[first[i]] + 5];
  }

  private collect(): void {
    for (let head = this.guest.transmitq.takeUsed(); head >= 0; head = this.guest.transmitq.takeUsed()) {
      this.back.push(head);
    }
  }

  close(): void {
    try {
      for (const [n, ring] of this.rings.entries()) expect([n, ring.wrong]).toEqual([n, 0]);
      for (const guest of this.rig.guests) guest.checkCanaries();
    } finally {
      for (const guest of this.rig.guests.splice(0)) guest.close();
      for (const ring of this.rings) ring.close();
    }
  }
}

const open: HeldRig[] = [];
afterEach(() => {
  for (const rig of open.splice(0)) rig.close();
});

function newRig(size = 16): HeldRig {
  const rig = new HeldRig(size);
  open.push(rig);
  return rig;
}

test("a buffer goes back when the NIC has read it, not before", () => {
  const rig = newRig();
  for (let n = 0; n < 3; n++) rig.send(0);
  rig.breathe();
  expect([rig.held, rig.back, rig.counters[0][TX_ZERO_COPY]]).toEqual([3, [], 3]);
  rig.rings[0].permit(2);
  rig.breathe();
  expect([rig.held, rig.back]).toEqual([1, rig.sent.slice(0, 2)]);
  rig.rings[0].permit(1);
  rig.breathe();
  expect([rig.held, rig.back]).toEqual([0, rig.sent]);
  expect(rig.wire[0].map((bytes) => readNumbered(bytes)?.number)).toEqual([0, 1, 2]);
});

test("what is behind a held buffer waits for it: copied frames, other NICs' frames", () => {
  const rig = newRig();
  for (const to of [0, 2, 1, 2, 0]) rig.send(to);
  rig.breathe();
  expect([rig.held, rig.back]).toEqual([5, []]);
  // The second NIC is done first.
  rig.rings[1].permit(1);
  rig.breathe();
  expect(rig.back).toEqual([]);
  rig.rings[0].permit(1);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent.slice(0, 4));
  rig.rings[0].permit(1);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
});

test("malformed chains in a burst let no buffer go before its own frame was read", () => {
  for (let places = 0; places < 1 << 6; places++) {
    const rig = newRig();
    const bad = (n: number) => ((places >> n) & 1) === 1;
    for (let n = 0; n < 6; n++) rig.send(bad(n) ? 3 : n % 2);
    rig.breathe();
    for (const [n] of rig.sent.entries()) {
      const before = rig.back.length;
      if (!bad(n)) rig.rings[n % 2].permit(1);
      rig.breathe();
      // Frames are sent in turn: nothing behind the next one may be back.
      const waiting = rig.sent.findIndex((_, m) => m > n && !bad(m));
      expect(rig.back.length).toBeLessThanOrEqual(waiting < 0 ? 6 : waiting);
      expect(rig.back.length).toBeGreaterThanOrEqual(before);
    }
    expect([rig.held, rig.back]).toEqual([0, rig.sent]);
  }
});

test("of a flood one NIC holds the frame, the other copies it", () => {
  const rig = newRig();
  rig.send(0);
  rig.flood();
  expect(rig.counters.map((row) => [row[TX_ZERO_COPY], row[TX_COPIED]])).toEqual([
    [1, 0],
    [0, 1],
  ]);
  expect(rig.held).toBe(1);
  rig.rings[0].permit(1);
  rig.breathe();
  expect([rig.held, rig.back]).toEqual([0, rig.sent]);
  expect(rig.wire[0]).toEqual(rig.wire[1]);
});

test("a lane does not sleep while buffers are held, and not because of those that came back", () => {
  const rig = newRig();
  rig.send(0);
  rig.breathe();
  expect(rig.guest.lane.arm()).toBe(true);
  rig.rings[0].permit(1);
  rig.breathe();
  expect(rig.guest.lane.arm()).toBe(false);
});

test("a driver that runs ahead of buffers which it has not got back breaks its ring, and gets them back all the same", () => {
  const rig = newRig(8);
  for (let n = 0; n < 8; n++) rig.send(0);
  rig.breathe();
  // Nine at once can only be had by giving one twice.
  const { avail } = rig.guest.transmitq;
  Atomics.store(avail, 1, (avail[1] + 1) & 0xffff);
  rig.breathe();
  expect(rig.guest.reasons).toEqual({ avail_index: 1 });
  rig.rings[0].permit(8);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
});

test("a lane that is rebuilt keeps what is held", () => {
  const rig = newRig();
  for (let n = 0; n < 3; n++) rig.send(0);
  rig.breathe();
  rig.guest.open();
  rig.send(2);
  rig.breathe();
  expect([rig.guest.counters[RX_FRAMES], rig.held, rig.back]).toEqual([4, 4, []]);
  rig.rings[0].permit(3);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
});

test("one that ends goes on at used.idx: frames not given back are fetched again", () => {
  const rig = newRig();
  const { state } = rig.guest;
  for (let n = 0; n < 3; n++) rig.send(0);
  rig.breathe();
  rig.rings[0].permit(1);
  rig.breathe();
  abandonQueue(rig.transmitters, 0, state);
  expect([state[FETCH_AVAIL], state[FETCH_USED], rig.held]).toEqual([1, 1, 0]);
  rig.guest.open();
  rig.breathe();
  expect([rig.guest.counters[RX_FRAMES], rig.held]).toEqual([5, 2]);
  rig.rings[0].permit(4);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
});

test("a ring that its driver started anew has nothing to do with what was held of the old one", () => {
  const rig = newRig();
  for (let n = 0; n < 3; n++) rig.send(0);
  rig.breathe();
  rig.guest.restart();
  rig.sent.length = 0;
  rig.send(1);
  rig.breathe();
  expect(rig.held).toBe(1);
  rig.rings[1].permit(1);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
  rig.rings[0].permit(3);
  rig.nics[0].reap();
});

test("tickets run over 2^31 and 2^32", () => {
  for (const start of [0x7fff_fffb, -5]) {
    const rig = newRig();
    rig.state(0)[TX_POSTED] = rig.state(0)[TX_REAPED] = start;
    for (let n = 0; n < 6; n++) rig.send(0);
    rig.breathe();
    for (let n = 1; n <= 6; n++) {
      rig.rings[0].permit(1);
      rig.breathe();
      expect(rig.back).toEqual(rig.sent.slice(0, n));
    }
  }
});

test("memory that the NICs do not reach is copied, a start in private memory too", () => {
  const rig = newRig();
  // Header and start in two pieces: the start is pulled into memory of the lane's own.
  rig.send(0, 2);
  const bytes = new Uint8Array([...new Uint8Array(12), ...frame(mac(0), mac(9), 64)]);
  const address = rig.guest.alloc(128);
  rig.guest.put(address, bytes);
  rig.sent.push(
    rig.guest.transmitq.addChain(
      [
        [address, 12],
        [address + 12, 8],
        [address + 20, 56],
      ],
      false,
    ),
  );
  rig.guest.transmitq.publish();
  rig.breathe();
  expect([rig.counters[0][TX_ZERO_COPY], rig.counters[0][TX_COPIED]]).toEqual([1, 1]);
  const [{ address: region }] = rig.guest.regions;
  rig.rig.windows.unmapDma(region);
  rig.send(0);
  rig.breathe();
  expect([rig.counters[0][TX_ZERO_COPY], rig.counters[0][TX_COPIED]]).toEqual([1, 2]);
  rig.rings[0].permit(9);
  rig.breathe();
  expect(rig.back).toEqual(rig.sent);
});

const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.record({ send: fc.constantFrom(0, 0, 1, 2, 3), pieces: fc.constantFrom(1, 1, 2) }) },
  { weight: 3, arbitrary: fc.constant("breathe" as const) },
  { weight: 2, arbitrary: fc.record({ permit: fc.constantFrom(0, 1), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constantFrom("rebuild" as const, "rebuild" as const, "reopen" as const) },
);

test("whatever NICs and drivers do, buffers come back in order, each once, and the wire has every frame", () => {
  const run = (size: number, steps: (typeof anyStep extends fc.Arbitrary<infer T> ? T : never)[]) => {
    const rig = new HeldRig(size);
    try {
      const asked = [0, 0, 0, 0];
      let reopened = false;
      for (const step of steps) {
        if (step === "breathe") rig.breathe();
        else if (step === "rebuild") rig.guest.open();
        else if (step === "reopen") {
          reopened ||= rig.held > 0;
          abandonQueue(rig.transmitters, 0, rig.guest.state);
          rig.guest.open();
        } else if ("permit" in step) rig.rings[step.permit].permit(step.count);
        else if (asked[2] < 250 && rig.send(step.send, step.pieces)) asked[step.send]++;
        expect(rig.back).toEqual(rig.sent.slice(0, rig.back.length));
      }
      for (const ring of rig.rings) ring.permit(1 << 20);
      for (let turn = 0; turn < steps.length + 2; turn++) rig.breathe();
      expect([rig.held, rig.back]).toEqual([0, rig.sent]);
      if (reopened) return;
      for (const to of [0, 1]) expect(rig.wire[to].length).toBe(asked[to]);
      const numbers = rig.wire[0].map((bytes) => readNumbered(bytes)?.number ?? -1);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(rig.receiver.counters[TX_FRAMES]).toBe(asked[2]);
      expect(rig.guest.counters[RX_FRAMES]).toBe(rig.sent.length);
    } finally {
      rig.close();
    }
  };
  const steps = fc.array(anyStep, { maxLength: 200, size: "max" });
  fc.assert(fc.property(fc.constantFrom(4, 16), steps, run), { numRuns: sized(150, 20_000) });
});
