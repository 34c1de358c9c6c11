// What is made of a frame for one receiver of a flood serves the others, who get it byte for byte, with their own counters; and nobody
// gets what was made of another frame.

import { describe, expect, test } from "bun:test";
import { deliverWithFallback, dropConverted, Fallback, keepConverted } from "../../src/dataplane/fallback.ts";
import { Batch, BURST, BURST_FORMS, MAX_FRAME, OFFLOAD_ALL } from "../../src/mem/batch.ts";
import { COPIES, COUNTER_COUNT } from "../../src/mem/counters.ts";
import { WindowTable } from "../../src/mem/window.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { readNetHeader } from "../../src/virtio/net-header.ts";
import { BROADCAST, complete, frame, mac, offloaded, plainSegments } from "../support/frames.ts";
import { pattern, spec4, spec6 } from "./offload/reference.ts";
import { KeepingLane, type PlanRig, usePlanRig } from "./rules/plan-rig.ts";
import { rulesOf } from "./rules/rules-of.ts";

const FORMS_SIZE = 1 << 17;
const newRig = usePlanRig();
const FROM = mac(1);
const [ABLE, NONE, NARROW] = [{}, { accepts: 0 }, { accepts: 0, maxFrame: 500 }];
const TRUNK = { mode: "trunk", allowed: [[1, 4094]], native: 1, nativeTagged: false, tpid: 0x8100, map: [] } as const;
const FLOOD = rulesOf([1, {}, { do: "flood" }]);

/** From now on, `port` takes what it is given, and then the sender writes over all of its memory. */
function spoilAfter(rig: PlanRig, port: number): void {
  const lane = rig.lanes[port];
  const deliver = lane.deliver.bind(lane);
  lane.deliver = (batch, list, count) => {
    const delivered = deliver(batch, list, count);
    rig.bytes.fill(0xee);
    return delivered;
  };
}

describe.each([
  ["without rules", (_rig: PlanRig) => {}],
  ["by rules", (rig: PlanRig) => rig.rules(FLOOD)],
] as const)("a flood %s", (_, prepare) => {
  const tcp = spec4({ payload: pattern(1900), flags: 0x18 });
  const udp = spec6({ payload: pattern(700), transport: "udp" });

  test("is converted once, and so the same for all, whatever its sender does meanwhile", () => {
    const rig = newRig({}, NONE, NONE, ABLE, NONE);
    prepare(rig);
    spoilAfter(rig, 1);
    const sent = offloaded(BROADCAST, FROM, tcp, 300);
    rig.put(sent.bytes, sent.header);
    rig.run(0);
    for (const port of [1, 2, 4]) expect(rig.lanes[port].frames).toEqual(plainSegments(BROADCAST, FROM, tcp, 300));
    expect(rig.lanes[3].frames).toHaveLength(1);
    expect([1, 2, 4].map((port) => rig.counters(port)[COPIES])).toEqual([6, 6, 6]);
  });

  test("has each port's own limit, and frames that cannot be converted are dropped at each", () => {
    const rig = newRig({}, NONE, NARROW, NONE, ABLE);
    prepare(rig);
    const syn = offloaded(BROADCAST, FROM, { ...tcp, flags: 0x12 }, 300);
    const large = offloaded(BROADCAST, FROM, tcp, 1000);
    const partial = offloaded(BROADCAST, FROM, { ...udp, payload: pattern(100) }, 0);
    const plain = frame(BROADCAST, FROM);
    for (const { bytes, header } of [syn, large, partial]) rig.put(bytes, header);
    rig.put(plain);
    rig.run(0);
    const last = [complete(BROADCAST, FROM, { ...udp, payload: pattern(100) }), plain];
    for (const port of [1, 3]) {
      expect(rig.lanes[port].frames).toEqual([...plainSegments(BROADCAST, FROM, tcp, 1000), ...last]);
      expect(rig.drops(port)).toEqual({ offload: 1 });
    }
    expect(rig.lanes[2].frames).toEqual(last);
    expect(rig.drops(2).oversized).toBeGreaterThan(0);
    expect(rig.lanes[4].frames).toHaveLength(4);
  });

  test("has its own frames, not those of the burst before", () => {
    const rig = newRig({}, NONE, NONE);
    prepare(rig);
    for (const specs of [[tcp, udp], [udp, tcp], [udp]]) {
      for (const lane of rig.lanes) lane.given.length = 0;
      for (const spec of specs) {
        const { bytes, header } = offloaded(BROADCAST, FROM, spec, 0);
        rig.put(bytes, header);
      }
      rig.run(0);
      const expected = specs.map((spec) => complete(BROADCAST, FROM, spec));
      expect([rig.lanes[1].frames, rig.lanes[2].frames]).toEqual([expected, expected]);
    }
  });
});

test("behind a flood, ports that get a frame with different tags get it each with its own", () => {
  const rig = newRig({}, NONE, NONE);
  const spec = spec4({ payload: pattern(100) });
  const { bytes, header } = offloaded(BROADCAST, FROM, spec, 0);
  const tag = (tci: number) => complete(BROADCAST, FROM, { ...spec, tags: [{ type: 0x8100, tci }] });
  const whole = complete(BROADCAST, FROM, spec);
  const given = () => {
    for (const lane of rig.lanes) lane.given.length = 0;
    rig.put(bytes, header);
    rig.run(0);
    return [rig.lanes[1].frames, rig.lanes[2].frames];
  };
  expect(given()).toEqual([[whole], [whole]]);
  rig.policy({ 0: { vlan: { mode: "access", vid: 9 } }, 1: { vlan: { mode: "access", vid: 9 } }, 2: { vlan: TRUNK } });
  expect(given()).toEqual([[whole], [tag(9)]]);
});

/** Frames and forms, as many as a batch can have, each with another payload and a partial checksum; lists of them go to lanes in turn. */
function useForms(use: (deliver: (list: number[]) => Uint8Array[], whole: (i: number) => Uint8Array) => void): void {
  const windows = new WindowTable();
  const fallback = new Fallback(windows);
  const address = mapAnonymous(FORMS_SIZE);
  const window = windows.add(address, FORMS_SIZE);
  try {
    const batch = new Batch(BURST_FORMS);
    const spec = (i: number) => spec4({ payload: pattern(100 + i), id: i });
    for (let i = 0; i < BURST_FORMS; i++) {
      const { bytes, header } = offloaded(BROADCAST, FROM, spec(i), 0);
      windows.u8[window].set(bytes, i * 400);
      batch.first[i] = batch.pool.count++;
      batch.segments[i] = 1;
      batch.length[i] = batch.pool.length[i] = bytes.length;
      batch.pool.window[i] = window;
      batch.pool.offset[i] = i * 400;
      expect(readNetHeader(new DataView(header.slice().buffer), 0, batch, i, OFFLOAD_ALL, false)).toBe(true);
    }
    const counters = new Float64Array(COUNTER_COUNT);
    keepConverted(fallback);
    use(
      (list) => {
        const lane = new KeepingLane(windows, counters, 0, true);
        deliverWithFallback(fallback, lane, batch, Int32Array.from(list), list.length, MAX_FRAME, counters);
        return lane.frames;
      },
      (i) => complete(BROADCAST, FROM, spec(i)),
    );
    dropConverted(fallback);
  } finally {
    fallback.close();
    windows.remove(window);
    unmap(address, FORMS_SIZE);
  }
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, k) => from + k);

test("more forms than there is room for are converted anew, those on their way leave first", () => {
  useForms((deliver, whole) => {
    const [first, second] = [range(0, BURST), range(BURST, BURST)];
    // Every list behind the first finds all room taken: from the beginning, and behind frames that are there.
    const mixed = [...range(60, 4), ...range(70, 20), 5, ...range(130, 30)];
    for (const list of [first, mixed, second, mixed, first]) expect(deliver(list)).toEqual(list.map(whole));
  });
});
