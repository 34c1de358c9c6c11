// One call of `forward`, on a burst put together by hand: what each port's lanes are asked to deliver, and in which order.
// Over real ports the worker decides how long a burst is; here it is always all of it.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fallback } from "../../src/dataplane/fallback.ts";
import { allocateFdb, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import { forward } from "../../src/dataplane/forward.ts";
import { CLOCK_S, MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "../../src/dataplane/shared.ts";
import { Tables } from "../../src/dataplane/tables.ts";
import { type Batch, BURST, OFFLOAD_ALL, OFFLOAD_CSUM } from "../../src/mem/batch.ts";
import * as counter from "../../src/mem/counters.ts";
import type { Lane } from "../../src/ports/port.ts";
import { LaneBench } from "../ports/lane-bench.ts";
import {
  BROADCAST,
  complete,
  frame,
  type Mac,
  mac,
  macText,
  numbered,
  offloaded,
  readNumbered,
} from "../support/frames.ts";
import { pattern, spec4 } from "./offload/reference.ts";

/** A lane that keeps a copy of every frame it is given, and how many it was given at once. */
class RecordingLane implements Lane {
  readonly wakeFd = -1;
  delivers = true;
  readonly wakeEdge = false;
  readonly frames: Uint8Array[] = [];
  readonly bursts: number[] = [];

  constructor(
    private readonly bench: LaneBench,
    private readonly counters: Float64Array,
    readonly accepts = OFFLOAD_ALL,
  ) {}

  deliver(batch: Batch, list: Int32Array, count: number): number {
    for (let k = 0; k < count; k++) this.frames.push(this.copy(batch, list[k]));
    this.bursts.push(count);
    this.counters[counter.TX_FRAMES] += count;
    return count;
  }

  private copy(batch: Batch, i: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      const { window, offset, length } = batch.pool;
      pieces.push(this.bench.windows.u8[window[s]].slice(offset[s], offset[s] + length[s]));
    }
    return new Uint8Array(Buffer.concat(pieces));
  }

  fetch(): number {
    return 0;
  }
  release(): void {}
  arm(): boolean {
    return false;
  }
  disarm(): void {}
  close(): void {}
}

let bench: LaneBench;
let shared: SharedState;
let fdb: Fdb;
let tables: Tables;
let fallback: Fallback;

beforeEach(() => {
  bench = new LaneBench();
  shared = SharedState.allocate(1);
  fdb = allocateFdb(1024);
  tables = new Tables(bench.windows, fdb, shared.control, shared, 0);
  fallback = new Fallback(bench.windows);
  shared.control[CLOCK_S] = 1;
});

afterEach(() => bench.give());

/** A port with lanes, up; `owned` says which of them this worker fetches from. */
function port(
  index: number,
  lanes = 1,
  options: { accepts?: number; owned?: boolean[]; delivers?: boolean[]; maxFrame?: number } = {},
) {
  shared.control[SharedState.portWord(index, PORT_UP)] = 1;
  shared.control[SharedState.portWord(index, PORT_MAX_FRAME)] = options.maxFrame ?? 65557;
  return Array.from({ length: lanes }, (_, pair) => {
    const at = index * MAX_PAIRS + pair;
    const lane = new RecordingLane(bench, shared.counters(0, at), options.accepts);
    lane.delivers = options.delivers?.[pair] ?? true;
    tables.set(at, lane, options.owned?.[pair] ?? true);
    return lane;
  });
}

/** Forwards the batch as frames of port `from`, with what a fetch would have counted. */
function run(from: number): void {
  const counters = shared.counters(0, from * MAX_PAIRS);
  counters[counter.RX_FRAMES] += bench.batch.count;
  forward(tables, fallback, bench.batch, from, counters);
}

/** A sum over all lanes. */
function total(...indices: number[]): number {
  let sum = 0;
  for (let lane = 0; lane < 16 * MAX_PAIRS; lane++) {
    for (const index of indices) sum += shared.counters(0, lane)[index];
  }
  return sum;
}

const DROPS = Array.from({ length: counter.FIRST_FAULT - counter.FIRST_DROP }, (_, k) => counter.FIRST_DROP + k);

describe("a burst", () => {
  test("that goes to one port whole is handed over in one piece", () => {
    port(0);
    const [out] = port(1);
    fdbAddStatic(fdb, macText(mac(2)), 1);
    const frames = Array.from({ length: BURST }, (_, k) => numbered(mac(2), mac(1), 0, k));
    for (const bytes of frames) bench.put(bytes);
    run(0);
    expect(out.frames).toEqual(frames);
    expect(out.bursts).toEqual([BURST]);
  });

  test("of any mixture reaches each port in frame order, and every frame is accounted for", () => {
    const stations: Mac[] = [mac(1), mac(2), mac(3), mac(4)];
    const others: Mac[] = [BROADCAST, mac(77), [0x01, 0x80, 0xc2, 0, 0, 0x0e], mac(50)];
    const anyMac = fc.constantFrom(...stations, ...others);
    const anySource = fc.constantFrom(mac(1), mac(1), mac(1), mac(9), BROADCAST, [0, 0, 0, 0, 0, 0]);
    const burst = fc.array(fc.record({ to: anyMac, from: anySource, long: fc.boolean() }), { maxLength: BURST });
    fc.assert(
      fc.property(burst, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), (frames, up) => {
        bench.give();
        bench = new LaneBench();
        shared = SharedState.allocate(1);
        fdb = allocateFdb(1024);
        tables = new Tables(bench.windows, fdb, shared.control, shared, 0);
        const outs = [port(0), port(1), port(2, 1, { maxFrame: 100 }), port(3)].map(([lane]) => lane);
        for (let index = 1; index < 4; index++) {
          shared.control[SharedState.portWord(index, PORT_UP)] = up[index] ? 1 : 0;
        }
        for (const [index, station] of stations.entries()) fdbAddStatic(fdb, macText(station), index);
        // A port that has an address and no lane: removed a moment ago.
        fdbAddStatic(fdb, macText(mac(50)), 9);
        for (const [k, { to, from, long }] of frames.entries()) bench.put(numbered(to, from, 0, k, long ? 101 : 100));
        run(0);
        outs.forEach((lane, index) => {
          const expected = frames.flatMap(({ to, from, long }, k) => {
            const dropped = from[0] !== 2 || (to[0] === 1 && to[2] === 0xc2) || (long && index === 2);
            const known = to[0] === 2 && to[5] !== 77;
            const station = to[5] === 50 ? 9 : to[5] - 1;
            const meant = known ? station === index && index !== 0 : index !== 0;
            return !dropped && meant && (index === 0 || up[index]) ? [k] : [];
          });
          expect(lane.frames.map((bytes) => readNumbered(bytes)?.number)).toEqual(expected);
        });
        expect(total(counter.RX_FRAMES, counter.COPIES)).toBe(total(counter.TX_FRAMES, ...DROPS));
      }),
      { numRuns: 300 },
    );
  });

  test("is learned from where it came, though the one before ended with the same source at another port", () => {
    const outs = [port(0), port(1), port(2)].map(([lane]) => lane);
    fdbAddStatic(fdb, macText(mac(8)), 2);
    const send = (from: number, ...sources: Mac[]) => {
      bench.batch.reset();
      for (const [k, source] of sources.entries()) bench.put(numbered(mac(8), source, from, k));
      run(from);
    };
    send(0, mac(1), mac(2), mac(3));
    send(0, mac(1), mac(2), mac(3));
    send(1, mac(4), mac(3));
    bench.batch.reset();
    for (const station of [mac(2), mac(3), mac(4)]) bench.put(numbered(station, mac(9), 2, 0));
    run(2);
    expect(outs.map(({ frames }) => frames.length)).toEqual([1, 2, 8]);
  });

  test("to a port that went down under it is counted there", () => {
    port(0);
    const [out] = port(1);
    fdbAddStatic(fdb, macText(mac(2)), 1);
    shared.control[SharedState.portWord(1, PORT_UP)] = 0;
    bench.put(frame(mac(2), mac(1)));
    bench.put(frame(mac(2), mac(1)));
    run(0);
    expect(out.frames).toEqual([]);
    expect(shared.counters(0, MAX_PAIRS)[counter.DROP_LINK_DOWN]).toBe(2);
  });

  test("to a port without a lane is counted at the sender", () => {
    port(0);
    port(1);
    fdbAddStatic(fdb, macText(mac(2)), 5);
    bench.put(frame(mac(2), mac(1)));
    run(0);
    expect(shared.counters(0, 0)[counter.DROP_LINK_DOWN]).toBe(1);
  });
});

describe("a port with several queue pairs", () => {
  const flow = (n: number) => spec4({ source: [10, 0, n >> 8, n & 255], payload: pattern(20), partial: false });

  test("gets each flow on one of them, in order, and uses all", () => {
    port(0);
    const lanes = port(1, 4);
    fdbAddStatic(fdb, macText(mac(2)), 1);
    const frames = Array.from({ length: BURST }, (_, k) => complete(mac(2), mac(1), { ...flow(k % 32), id: k }));
    for (const bytes of frames) bench.put(bytes);
    run(0);
    const flows = lanes.map((lane) => new Set(lane.frames.map((bytes) => bytes[29])));
    expect(flows.reduce((sum, set) => sum + set.size, 0)).toBe(32);
    for (const lane of lanes) {
      expect(lane.frames.length).toBeGreaterThan(0);
      const ids = lane.frames.map((bytes) => bytes[18] * 256 + bytes[19]);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    }
    expect(lanes.reduce((sum, lane) => sum + lane.frames.length, 0)).toBe(BURST);
  });

  test("is served through this worker's own pairs, where it has some", () => {
    port(0);
    const lanes = port(1, 4, { owned: [false, true, false, true] });
    for (let k = 0; k < BURST; k++) bench.put(complete(BROADCAST, mac(1), flow(k)));
    run(0);
    expect(lanes.map((lane) => lane.frames.length > 0)).toEqual([false, true, false, true]);
  });

  test("and through any, where it has none", () => {
    port(0);
    const lanes = port(1, 2, { owned: [false, false] });
    for (let k = 0; k < BURST; k++) bench.put(complete(BROADCAST, mac(1), flow(k)));
    run(0);
    expect(lanes.every((lane) => lane.frames.length > 0)).toBe(true);
  });
});

describe("pairs whose receive queue is disabled", () => {
  const anyFlow = (n: number, to: Mac) => complete(to, mac(1), spec4({ source: [10, 0, 0, n], payload: pattern(20) }));

  test.each([
    ["the worker's own", [true, true], [false, true]],
    ["the worker's only own", [true, false], [false, true]],
    ["another's", [false, false], [true, false]],
  ])("get nothing: %s", (_, owned, delivers) => {
    port(0);
    const lanes = port(1, 2, { owned, delivers });
    for (let k = 0; k < BURST; k++) bench.put(anyFlow(k, BROADCAST));
    run(0);
    expect(lanes.map((lane) => lane.frames.length)).toEqual(delivers.map((able) => (able ? BURST : 0)));
  });

  test("leave the port out of floods, and count what is for it there, where it has no other", () => {
    port(0);
    port(1, 1, { delivers: [false] });
    fdbAddStatic(fdb, macText(mac(2)), 1);
    bench.put(anyFlow(1, mac(2)));
    bench.put(anyFlow(1, BROADCAST));
    run(0);
    expect(shared.counters(0, MAX_PAIRS)[counter.DROP_LINK_DOWN]).toBe(1);
    expect(shared.counters(0, 0)[counter.DROP_NO_DESTINATION]).toBe(1);
  });
});

describe("a burst with offloads", () => {
  /** Sets the header of frame `i`, as a fetch does. */
  function need(i: number, needs: number, csumStart: number, gsoType = 0, gsoSize = 0): void {
    const { batch } = bench;
    batch.needs[i] = needs;
    batch.anyNeeds |= needs;
    batch.flags[i] = 1;
    batch.gsoType[i] = gsoType;
    batch.gsoSize[i] = gsoSize;
    batch.csumStart[i] = csumStart;
    batch.csumOffset[i] = 16;
  }

  test("keeps frame order where some have to be completed and others not", () => {
    port(0);
    const [plain] = port(1, 1, { accepts: 0 });
    const [able] = port(2, 1, { accepts: OFFLOAD_CSUM });
    const expected: Uint8Array[] = [];
    const unchanged: Uint8Array[] = [];
    for (let k = 0; k < BURST; k++) {
      const spec = spec4({ id: k, payload: pattern(10 + k) });
      expected.push(complete(BROADCAST, mac(1), spec));
      if (k % 3 === 0) {
        bench.put(expected[k]);
        unchanged.push(expected[k]);
      } else {
        const partial = offloaded(BROADCAST, mac(1), spec, 0).bytes;
        need(bench.put(partial), OFFLOAD_CSUM, 34);
        unchanged.push(partial);
      }
    }
    run(0);
    expect(plain.frames).toEqual(expected);
    expect(able.frames).toEqual(unchanged);
    expect(able.bursts).toEqual([BURST]);
  });
});
