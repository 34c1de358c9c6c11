// Shaping by queues: what waits, in which order it leaves and how fast, and that it leaves as it came. By a clock of the test's own.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BUCKET_SHAPE, bucketOf, ROW_WAITING } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { Rate } from "../../../src/dataplane/bridge/policy.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES } from "../../../src/dataplane/rules/plan-layout.ts";
import { MAX_PAIRS } from "../../../src/dataplane/shared.ts";
import { MAX_FRAME, OFFLOAD_ALL } from "../../../src/mem/batch.ts";
import { useTestClock } from "../../support/clock.ts";
import { frame, mac, numbered, offloaded, plainSegments, readNumbered } from "../../support/frames.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { KeepingLane, PlanRig, usePlanRig } from "../rules/plan-rig.ts";

const rigWith = usePlanRig();
const useClock = useTestClock();

const frames = (rate: number, burst: number): Rate => ({ unit: "frames", rate, burst });
const bytes = (perMs: number, burst: number): Rate => ({ unit: "bits", rate: perMs * 8000, burst: burst * 8 });
/** A bucket that nobody lives to see full again. */
const NONE = 1e-6;

const TO = mac(99);
/** Frames of a port, numbered from `first` on. */
const some = (count: number, first = 0, size = 64) =>
  Array.from({ length: count }, (_, k) => numbered(TO, mac(1), 0, first + k, size));
const numbers = (list: Uint8Array[]) => list.map((it) => readNumbered(it)!.number);
const upTo = (count: number) => Array.from({ length: count }, (_, k) => k);

/** A frame of this PCP, numbered. */
function withPriority(priority: number, number: number, size = 100): Uint8Array {
  const inner = numbered(TO, mac(1), priority, number, size - 4);
  return Uint8Array.from([...inner.subarray(0, 12), 0x81, 0, priority << 5, 0, ...inner.subarray(12)]);
}

/** Priority and number of what `withPriority` made. */
function read(list: Uint8Array[]): [number, number][] {
  return list.map((it) => {
    const { sender, number } = readNumbered(Uint8Array.from([...it.subarray(0, 12), ...it.subarray(16)]))!;
    return [sender, number];
  });
}

/** Columns of port 1's row. */
const shaped = (rig: PlanRig, ...columns: number[]) =>
  columns.map((column) => rig.bridgeMemory.counted(bucketOf(1, BUCKET_SHAPE), column));

describe("a port with a shape", () => {
  test("gets a burst at once, the rest as tokens come, in order, and loses nothing", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(1000, 10) } });
    expect(rig.send(0, ...some(30))[1]).toEqual([]);
    const got = [rig.drain()[1]];
    for (let ms = 0; ms < 25; ms++) {
      clock.pass(1);
      got.push(rig.drain()[1]);
    }
    expect(got.map((list) => list.length)).toEqual([10, ...Array(20).fill(1), 0, 0, 0, 0, 0]);
    expect(got.flat()).toEqual(some(30));
    expect(rig.drops(1)).toEqual({});
  });

  test("keeps its rate in bits over any pattern of frames, to the byte", () => {
    const perMs = 5000;
    const burst = 3000;
    // Of these as many as come never find the queues full; the longest is more than the bucket holds.
    const anyStep = fc.record({
      afterMs: fc.integer({ min: 0, max: 5 }),
      sizes: fc.array(fc.constantFrom(64, 577, 1514, 4000), { maxLength: 8 }),
    });
    const clock = useClock();
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 12 }), (steps) => {
        const rig = new PlanRig([{}, {}]);
        try {
          rig.policy({ 1: { shape: bytes(perMs, burst) } });
          // A bucket and a queue as the book has them.
          const waiting: number[] = [];
          let tokens = burst;
          let n = 0;
          let left = 0;
          for (const { afterMs, sizes } of steps) {
            clock.pass(afterMs);
            tokens = Math.min(burst, tokens + afterMs * perMs);
            rig.send(0, ...sizes.map((size) => numbered(TO, mac(1), 0, n++, size)));
            waiting.push(...sizes);
            const first = left;
            for (; waiting.length > 0 && tokens >= Math.min(burst, waiting[0]); left++) tokens -= waiting.shift()!;
            expect(numbers(rig.drain()[1])).toEqual(upTo(left).slice(first));
            expect(shaped(rig, ROW_WAITING)).toEqual([waiting.length]);
          }
        } finally {
          rig.close();
        }
      }),
      { numRuns: 100 },
    );
  });

  test("below its rate nothing waits for the next breath, and nothing is lost", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(10_000, 64) } });
    for (let n = 0; n < 100; n++) {
      rig.send(0, ...some(10, 10 * n));
      expect(numbers(rig.drain()[1])).toEqual(upTo(10).map((k) => 10 * n + k));
      clock.pass(1);
    }
    expect(rig.drops(1)).toEqual({});
  });

  test("sends a burst that is more than the queues hold", () => {
    useClock();
    const rig = rigWith({}, {}, { maxFrame: 1514 });
    // Queues for 100 ms of a slow rate, tokens for much more.
    rig.policy({ 1: { shape: { unit: "bits", rate: 1000, burst: 8e9 } } });
    const big = some(32, 0, MAX_FRAME);
    const got = rig.send(0, ...big)[1].length;
    expect(got).toBeGreaterThan(0);
    expect(got + rig.drain()[1].length).toBe(big.length);
    expect(rig.drops(1)).toEqual({});
    // That it did so between the deliveries of one burst is no concern of the next port's.
    expect(rig.drops(2)).toEqual({ oversized: big.length });
  });

  test("does so again when it had none for a while", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(1000, 200) } });
    for (let n = 0; n < 6; n++) rig.send(0, ...some(64));
    const { queue_full } = rig.drops(1);
    expect(queue_full).toBeGreaterThan(0);
    clock.pass(1000);
    rig.drain();
    clock.pass(1000);
    for (let n = 0; n < 3; n++) rig.send(0, ...some(64));
    expect(rig.drops(1)).toEqual({ queue_full });
  });

  test("of two queue pairs sends each flow by one of them, in its order, and both by the same tokens", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    const second = new KeepingLane(rig.windows, rig.counters(1), OFFLOAD_ALL, true);
    rig.tables.set(MAX_PAIRS + 1, second, true);
    rig.policy({ 1: { shape: frames(1000, 10) } });
    const flows = 8;
    const sent = upTo(48).map((n) => numbered(TO, mac(1 + (n % flows)), n % flows, n));
    rig.send(0, ...sent);
    const pairs: Uint8Array[][] = [[], []];
    for (const tokens of [10, 8, 8, 8, 8, 6]) {
      second.given.length = 0;
      const got = [rig.drain()[1], second.frames];
      expect(got[0].length + got[1].length).toBe(tokens);
      for (const [pair, list] of got.entries()) pairs[pair].push(...list);
      clock.pass(8);
    }
    const ofFlow = (list: Uint8Array[], flow: number) => list.filter((it) => readNumbered(it)!.sender === flow);
    for (let flow = 0; flow < flows; flow++) {
      const lists = pairs.map((list) => ofFlow(list, flow)).filter((list) => list.length > 0);
      expect(lists).toEqual([ofFlow(sent, flow)]);
    }
    expect(pairs.every((list) => list.length > 0)).toBe(true);
  });

  test("is no concern of frames to other ports, or from it", () => {
    useClock();
    const rig = rigWith({}, {}, {});
    rig.policy({ 1: { shape: frames(NONE, 1) } });
    expect(rig.send(0, ...some(20)).map((list) => list.length)).toEqual([0, 0, 20]);
    expect(rig.send(1, ...some(20)).map((list) => list.length)).toEqual([20, 0, 20]);
    expect(rig.drain().map((list) => list.length)).toEqual([0, 1, 0]);
  });

  test("says what it has counted: frames and bytes that left, dropped and waiting ones", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(1, 10) } });
    for (let n = 0; n < 3; n++) rig.send(0, ...some(64, 0, 200));
    rig.drain();
    // The second burst found them full, and tokens for ten of those that waited.
    expect(shaped(rig, ROW_FRAMES, ROW_BYTES, ROW_DROPPED, ROW_WAITING)).toEqual([10, 2000, 3 * 64 - 74, 64]);
    expect(rig.drops(1)).toEqual({ queue_full: 3 * 64 - 74 });
    clock.pass(1e6);
    rig.drain();
    expect(shaped(rig, ROW_FRAMES, ROW_WAITING)).toEqual([20, 54]);
  });
});

describe("frames that wait", () => {
  test("are whole, whatever their length and pieces, and whatever becomes of the memory they came from", () => {
    const anyFrame = fc.record({
      size: fc.oneof(fc.integer({ min: 14, max: 5000 }), fc.constantFrom(2047, 2048, 2049, 4096, MAX_FRAME)),
      cuts: fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 4 }),
    });
    const run = (rig: PlanRig, list: { size: number; cuts: number[] }[]) => {
      rig.policy({ 1: { scheduler: [1, 1, 1, 1, 1, 1, 1, 1] } });
      const sent = list.map(({ size, cuts }, k) => {
        const whole = frame(TO, mac(1), size, k);
        for (let at = 14; at < size; at += 97) whole[at] = at & 0xff;
        const inside = [...new Set(cuts)].filter((cut) => cut < size).sort((a, b) => a - b);
        rig.put([0, ...inside].map((from, n) => whole.subarray(from, inside[n] ?? size)));
        return whole;
      });
      rig.run(0);
      rig.bytes.fill(0xee);
      expect(rig.drain()[1]).toEqual(sent);
    };
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 20 }), (list) => {
        const rig = new PlanRig([{}, {}]);
        try {
          run(rig, list);
        } finally {
          rig.close();
        }
      }),
      { numRuns: 30 },
    );
  });

  test("ask of the receiver what they asked before: it gets super-frames, or segments", () => {
    useClock();
    const rig = rigWith({}, { accepts: OFFLOAD_ALL }, { accepts: 0 });
    const spec = spec4({ payload: pattern(40_000) });
    const super4 = offloaded(TO, mac(1), spec, 1400);
    const partial = offloaded(TO, mac(1), spec4({ payload: pattern(100) }), 0);
    const shape = frames(NONE, 10);
    rig.policy({ 1: { shape }, 2: { shape } });
    rig.put(super4.bytes, super4.header);
    rig.put(partial.bytes, partial.header);
    rig.put(frame(TO, mac(1)));
    rig.run(0);
    expect(shaped(rig, ROW_WAITING)).toEqual([3]);
    rig.drain();
    const [first, second, third] = rig.lanes[1].given;
    const view = new DataView(super4.header.buffer);
    expect(first).toMatchObject({
      bytes: super4.bytes,
      gsoType: 1,
      gsoSize: 1400,
      csumStart: view.getUint16(6, true),
      csumOffset: 16,
    });
    expect(second).toMatchObject({ bytes: partial.bytes, gsoType: 0, csumOffset: 16 });
    expect(third).toMatchObject({ bytes: frame(TO, mac(1)), needs: 0 });
    const segments = plainSegments(TO, mac(1), spec, 1400);
    expect(rig.lanes[2].frames.slice(0, segments.length)).toEqual(segments);
    expect(rig.lanes[2].frames).toHaveLength(segments.length + 2);
  });

  test("are dropped where the port goes down, and counted there", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(NONE, 2) } });
    rig.send(0, ...some(10));
    expect(rig.drain()[1]).toHaveLength(2);
    rig.setUp(1, false);
    expect(rig.drain()[1]).toEqual([]);
    expect(rig.drops(1)).toEqual({ link_down: 8 });
    // Nor does anything wait for it while it is down, to come when it is up again.
    rig.station(TO, 1);
    rig.send(0, ...some(5));
    rig.setUp(1, true);
    expect(rig.drain()[1]).toEqual([]);
    expect(rig.drops(1)).toEqual({ link_down: 8 + 5 });
  });

  test("of a port too small for them are dropped when they leave", () => {
    useClock();
    const rig = rigWith({}, { maxFrame: 1000 });
    rig.policy({ 1: { shape: frames(NONE, 10) } });
    rig.send(0, ...some(1, 0, 1000), ...some(1, 1, 1001), ...some(1, 2, 60));
    expect(numbers(rig.drain()[1])).toEqual([0, 2]);
    expect(rig.drops(1)).toEqual({ oversized: 1 });
  });
});

describe("priorities", () => {
  test("strict: the higher leaves first, whenever it came", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { trust: "pcp" }, 1: { shape: frames(1000, 1) } });
    const mixed = [3, 0, 7, 3, 5, 0].map((priority, n) => withPriority(priority, n));
    rig.send(0, ...mixed);
    const got = [...rig.drain()[1]];
    rig.send(0, withPriority(6, 9));
    for (let n = 0; n < 6; n++) {
      clock.pass(1);
      got.push(...rig.drain()[1]);
    }
    expect(read(got)).toEqual([
      [7, 2],
      [6, 9],
      [5, 4],
      [3, 0],
      [3, 3],
      [0, 1],
      [0, 5],
    ]);
  });

  test("are what the frame had when it came, whatever rules make of its tag", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { trust: "pcp" }, 1: { shape: frames(NONE, 10) } }, {}, [
      { id: 1, priority: 1, match: [], actions: [{ do: "strip-vlan" }] },
    ]);
    rig.send(0, withPriority(1, 0), withPriority(6, 1));
    expect(numbers(rig.drain()[1])).toEqual([1, 0]);
  });

  test("are the ports' own, where two ports send", () => {
    useClock();
    const rig = rigWith({}, {}, {});
    rig.policy({ 0: { priority: 1 }, 1: { shape: frames(NONE, 40) }, 2: { priority: 6 } });
    rig.send(0, ...some(10));
    rig.send(2, ...some(10, 100));
    expect(numbers(rig.drain()[1])).toEqual([...upTo(10).map((k) => 100 + k), ...upTo(10)]);
  });

  test("one that floods fills its own queue: the others lose nothing", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { trust: "pcp" }, 1: { shape: frames(1000, 1) } });
    let n = 0;
    let high = 0;
    const got: [number, number][] = [];
    for (let ms = 0; ms < 200; ms++) {
      const flood = Array.from({ length: 50 }, () => withPriority(0, n++));
      rig.send(0, ...flood, ...(ms % 2 === 0 ? [withPriority(4, high++)] : []));
      got.push(...read(rig.drain()[1]));
      clock.pass(1);
    }
    const ofHigh = got.filter(([priority]) => priority === 4).map(([, number]) => number);
    expect(ofHigh).toEqual(upTo(high));
    expect(got.length).toBe(200);
    expect(rig.drops(1).queue_full).toBeGreaterThan(9000);
  });

  test("by turns: bytes in proportion to weights", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    const perMs = 5000;
    rig.policy({ 0: { trust: "pcp" }, 1: { shape: bytes(perMs, 20_000), scheduler: [1, 1, 1, 1, 1, 4, 1, 1] } });
    // More of each than its share.
    const sources = [
      { q: 0, size: 1000, count: 2 },
      { q: 5, size: 300, count: 15 },
      { q: 7, size: 1500, count: 2 },
    ];
    const sent = new Map(sources.map(({ q }) => [q, 0]));
    for (let ms = 0; ms < 150; ms++) {
      rig.send(
        0,
        ...sources.flatMap(({ q, size, count }) => Array.from({ length: count }, () => withPriority(q, 0, size))),
      );
      for (const it of rig.drain()[1]) sent.set(it[14] >> 5, sent.get(it[14] >> 5)! + it.length);
      clock.pass(1);
    }
    const [low, middle, high] = [0, 5, 7].map((q) => sent.get(q)!);
    const quantum = 1514;
    expect(Math.abs(low - high)).toBeLessThanOrEqual(2 * quantum);
    expect(Math.abs(middle - 4 * low)).toBeLessThanOrEqual(8 * quantum);
    expect(low + middle + high).toBeGreaterThan(150 * perMs);
  });

  test("without a shape, what comes in one breath leaves in the order of priorities, at once", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { trust: "pcp" }, 1: { scheduler: [1, 2, 3, 4, 5, 6, 7, 8] } });
    rig.send(0, ...upTo(60).map((n) => withPriority(n % 8, n)));
    expect(rig.drain()[1]).toHaveLength(60);
    // And what is more than the queues hold is not lost.
    expect(rig.send(0, ...some(64, 0, MAX_FRAME))[1].length + rig.drain()[1].length).toBeGreaterThanOrEqual(64);
    expect(rig.drops(1)).toEqual({});
  });
});
