// Queues when policies change, and at their end: what waits goes by the new rate, or leaves, or is dropped and counted.

import { describe, expect, test } from "bun:test";
import { BUCKET_SHAPE, bucketOf, ROW_WAITING } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { PortPolicy, Rate, VlanMembership } from "../../../src/dataplane/bridge/policy.ts";
import { useTestClock } from "../../support/clock.ts";
import { mac, numbered, readNumbered } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";

const rigWith = usePlanRig();
const useClock = useTestClock();

const frames = (rate: number, burst: number): Rate => ({ unit: "frames", rate, burst });
/** A bucket that nobody lives to see full again. */
const NONE = 1e-6;

const some = (count: number, first = 0, size = 64, sender = 1) =>
  Array.from({ length: count }, (_, k) => numbered(mac(99), mac(sender), 0, first + k, size));
const numbers = (list: Uint8Array[]) => list.map((it) => readNumbered(it)!.number);

describe("a policy that changes", () => {
  test("holds for what waits: rate and scheduler", () => {
    const clock = useClock();
    const rig = rigWith({}, {}, {});
    const from = { 0: { priority: 0 }, 2: { priority: 7 } };
    rig.policy({ ...from, 1: { shape: frames(NONE, 4), scheduler: [1, 1, 1, 1, 1, 1, 1, 1] } });
    rig.send(0, ...some(6, 0, 1514));
    rig.send(2, ...some(6, 10, 1514, 2));
    expect(numbers(rig.drain()[1])).toEqual([10, 0, 11, 1]);
    rig.policy({ ...from, 1: { shape: frames(1000, 10) } });
    expect(rig.drain()[1]).toEqual([]);
    clock.pass(5);
    expect(numbers(rig.drain()[1])).toEqual([12, 13, 14, 15, 2]);
  });

  test.each([
    ["has no shape", {}],
    ["is of other ports", { 0: { isolated: true } }],
  ])("that %s lets go at once of what waits, before what comes later", (_, ports) => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(NONE, 1) } });
    rig.send(0, ...some(10));
    expect(rig.drain()[1]).toHaveLength(1);
    rig.lanes[1].given.length = 0;
    rig.policy(ports);
    expect(numbers(rig.lanes[1].frames)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(rig.bridgeMemory.counted(bucketOf(1, BUCKET_SHAPE), ROW_WAITING)).toBe(0);
    expect(rig.tables.queues).toBeNull();
    expect(numbers(rig.send(0, ...some(3, 50))[1])).toEqual([50, 51, 52]);
  });

  test("to none at all does, too", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(NONE, 1) } });
    rig.send(0, ...some(10));
    rig.open(null);
    expect(rig.lanes[1].frames).toEqual(some(10));
    expect(rig.tables.queues).toBeNull();
  });

  test("gives memory back, and takes it anew", () => {
    useClock();
    const rig = rigWith({}, {});
    const windows = () => rig.windows.size.reduce((count, size) => count + (size > 0 ? 1 : 0), 0);
    rig.policy({ 1: { isolated: true } });
    const before = windows();
    for (let round = 0; round < 3; round++) {
      rig.policy({ 0: { shape: frames(1, 1) }, 1: { shape: frames(1, 1) } });
      expect(windows()).toBe(before + 2);
      rig.policy({ 1: { isolated: true } });
      expect(windows()).toBe(before);
    }
  });
});

describe("what waits for a port whose membership changes", () => {
  const access = (vid: number): VlanMembership => ({ mode: "access", vid });
  const trunk = (allowed: readonly (readonly [number, number])[], changes: object = {}): VlanMembership => {
    return { mode: "trunk", allowed, native: 0, nativeTagged: false, tpid: 0x8100, map: [], ...changes };
  };
  const shape = frames(NONE, 1);
  const change = (before: Partial<PortPolicy>, after: Partial<PortPolicy>, sender: Partial<PortPolicy>) => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: sender, 1: { shape, ...before } });
    rig.send(0, ...some(10));
    expect(rig.drain()[1]).toHaveLength(1);
    rig.policy({ 0: sender, 1: { shape, ...after } });
    // All that is still there leaves now.
    for (const lane of rig.lanes) lane.given.length = 0;
    rig.policy({ 0: sender, 1: { ...after, shape: undefined } });
    return { left: rig.lanes[1].frames.length, drops: rig.drops(1) };
  };
  const of10 = { vlan: access(10) };

  test.each<[string, Partial<PortPolicy>, Partial<PortPolicy>]>([
    ["goes to another VLAN", of10, { vlan: access(20) }],
    ["is an access port no more", of10, { vlan: trunk([[10, 10]]) }],
    ["is told nothing any more, and so is of VLAN 1", of10, {}],
    ["carries a VLAN less", { vlan: trunk([[10, 20]]) }, { vlan: trunk([[11, 20]]) }],
    ["has another native VLAN", { vlan: trunk([[10, 20]]) }, { vlan: trunk([[10, 20]], { native: 10 }) }],
    ["has another kind of tag", { vlan: trunk([[10, 20]]) }, { vlan: trunk([[10, 20]], { tpid: 0x88a8 }) }],
    ["has other ids", { vlan: trunk([[10, 20]]) }, { vlan: trunk([[10, 20]], { map: [[300, 10]] }) }],
    ["loses its shape, too", of10, { vlan: access(20), shape: undefined }],
  ])("is dropped where it %s", (_, before, after) => {
    expect(change(before, after, of10)).toEqual({ left: 0, drops: { vlan: 9 } });
  });

  test.each<[string, Partial<PortPolicy>, Partial<PortPolicy>]>([
    ["isolated", {}, { isolated: true }],
    ["of a group", { groups: ["a"] }, { groups: ["a", "b"] }],
  ])("is dropped where it is %s now", (_, before, after) => {
    expect(change(before, after, {})).toEqual({ left: 0, drops: { isolated: 9 } });
  });

  test("is dropped with the first VLAN of the switch, and with its last", () => {
    useClock();
    for (const [before, after] of [
      [{}, of10],
      [of10, {}],
    ]) {
      const rig = rigWith({}, {}, {}, {});
      rig.policy({ 1: { shape }, 3: before });
      rig.send(0, ...some(10));
      rig.policy({ 1: { shape }, 3: after });
      expect(rig.drops(1)).toEqual({ vlan: 10 });
    }
  });

  test.each<[string, Partial<PortPolicy>, Partial<PortPolicy>]>([
    ["carries VLANs more", { vlan: trunk([[10, 20]]) }, { vlan: trunk([[10, 30]]) }],
    ["has other ids for other VLANs", { vlan: trunk([[10, 10]]) }, { vlan: trunk([[10, 11]], { map: [[300, 11]] }) }],
    ["is isolated no more", { ...of10, isolated: true }, of10],
    ["is of a group less", { ...of10, groups: ["a", "b"] }, { ...of10, groups: ["b"] }],
    [
      "is told of other things",
      of10,
      { ...of10, floodBroadcast: false, dhcpGuard: true, priority: 3, learning: false },
    ],
  ])("leaves where it %s", (_, before, after) => {
    expect(change(before, after, of10)).toEqual({ left: 9, drops: {} });
  });

  test("leaves though its sender is of another VLAN by then, or kept apart from the port", () => {
    useClock();
    for (const sender of [{ vlan: access(20) }, { ...of10, isolated: true }]) {
      const rig = rigWith({}, {});
      const receiver = { ...of10, isolated: true };
      rig.policy({ 0: of10, 1: { ...receiver, shape } });
      rig.send(0, ...some(10));
      rig.policy({ 0: sender, 1: { ...receiver, shape } });
      rig.policy({ 0: sender, 1: receiver });
      expect(numbers(rig.lanes[1].frames)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  test("where nobody has a policy any more, neither leaves", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: of10, 1: { ...of10, shape } });
    rig.send(0, ...some(10));
    rig.open(null);
    expect([rig.lanes[1].frames.length, rig.drops(1)]).toEqual([0, { vlan: 10 }]);
  });
});

test("what waits when the worker ends is dropped, and counted", () => {
  useClock();
  const rig = rigWith({}, {});
  rig.policy({ 1: { shape: frames(NONE, 1) } });
  rig.send(0, ...some(10));
  rig.endQueues();
  expect(rig.drops(1)).toEqual({ link_down: 10 });
});
