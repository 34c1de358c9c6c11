// Learning by policy: where it is off, what stays, and what a port does that has as many addresses as it may.

import { describe, expect, test } from "bun:test";
import { EVENT_MAC_LIMIT, MAC_LIMIT_SIZE } from "../../../src/dataplane/bridge/events.ts";
import type { LimitAction, PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { fdbLookup } from "../../../src/dataplane/fdb.ts";
import { fdbTryLock, fdbUnlock } from "../../../src/dataplane/fdb-entry.ts";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import { fdbLimitSteps } from "../../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic, fdbSetAgeing } from "../../../src/dataplane/fdb-table.ts";
import { EVENT_LOGGED } from "../../../src/dataplane/rules/apply-actions.ts";
import { publishEvent, readEvents, reserveEvent } from "../../../src/dataplane/rules/event-ring.ts";
import type { Plan } from "../../../src/dataplane/rules/plan.ts";
import { CLOCK_S } from "../../../src/dataplane/shared.ts";
import { BROADCAST, frame, type Mac, mac, macText } from "../../support/frames.ts";
import { allSteps } from "../../support/steps.ts";
import { type PlanRig, usePlanRig } from "../rules/plan-rig.ts";

const openRig = usePlanRig();
const VLAN = { priorityTags: false, learning: true, suppressArp: false, suppressNd: false };

/** How many frames each port got of a broadcast from this station at `port`. */
function hello(rig: PlanRig, port: number, station: Mac): number[] {
  return rig.send(port, frame(BROADCAST, station)).map((got) => got.length);
}

/** Ports by address, of one VLAN. */
function learned(rig: PlanRig, vid = 0): Record<string, number> {
  const entries = [...fdbEntries(rig.fdb, rig.shared.control[CLOCK_S], undefined, vid)].flat();
  return Object.fromEntries(entries.filter((it) => !it.static).map((it) => [it.mac, it.port]));
}

describe("learning", () => {
  test("is off where a port's policy says so: its stations stay unknown, and its frames go on", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { learning: false } });
    expect(hello(rig, 0, mac(1))).toEqual([0, 1, 1]);
    expect(hello(rig, 1, mac(2))).toEqual([1, 0, 1]);
    expect(learned(rig)).toEqual({ [macText(mac(2))]: 1 });
    // What another port teaches is not refreshed from here, nor taken away.
    hello(rig, 0, mac(2));
    expect(learned(rig)).toEqual({ [macText(mac(2))]: 1 });
    expect(rig.drops(0)).toEqual({});
  });

  test("is off in a VLAN whose policy says so, and on in the others", () => {
    const rig = openRig({}, {}, {});
    const trunk: Partial<PortPolicy> = {
      vlan: { mode: "trunk", allowed: [[1, 20]], native: 0, nativeTagged: false, tpid: 0x8100, map: [] },
    };
    rig.policy({ 0: trunk, 1: trunk, 2: trunk }, { vlans: [{ vid: 10, ...VLAN, learning: false }] });
    for (const vid of [10, 11]) expect(rig.send(0, tagged(frame(BROADCAST, mac(1)), vid))[1]).toHaveLength(1);
    expect([learned(rig, 10), learned(rig, 11)]).toEqual([{}, { [macText(mac(1))]: 0 }]);
  });

  test("of one address in two VLANs is of two stations", () => {
    const rig = openRig({}, {}, {}, {});
    const access = (vid: number): Partial<PortPolicy> => ({ vlan: { mode: "access", vid } });
    rig.policy({ 0: access(10), 1: access(10), 2: access(20), 3: access(20) });
    hello(rig, 0, mac(1));
    hello(rig, 2, mac(1));
    expect(rig.send(1, frame(mac(1), mac(5))).map((got) => got.length)).toEqual([1, 0, 0, 0]);
    expect(rig.send(3, frame(mac(1), mac(5))).map((got) => got.length)).toEqual([0, 0, 1, 0]);
    expect([learned(rig, 10), learned(rig, 20)]).toEqual([
      { [macText(mac(1))]: 0, [macText(mac(5))]: 1 },
      { [macText(mac(1))]: 2, [macText(mac(5))]: 3 },
    ]);
  });
});

describe("an address at a sticky port", () => {
  test("stays there: from elsewhere its frames are dropped", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { sticky: true } });
    hello(rig, 0, mac(1));
    expect(hello(rig, 1, mac(1))).toEqual([0, 0, 0]);
    // Twice in a burst: what was found of the first holds for the next one.
    expect(rig.send(1, frame(BROADCAST, mac(1)), frame(mac(9), mac(1)))).toEqual([[], [], []]);
    expect([rig.drops(1), learned(rig)]).toEqual([{ sticky: 3 }, { [macText(mac(1))]: 0 }]);
    expect(hello(rig, 0, mac(1))).toEqual([0, 1, 1]);
  });

  test("is one that came there from a port that is not", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { sticky: true } });
    hello(rig, 1, mac(1));
    expect(hello(rig, 0, mac(1))).toEqual([0, 1, 1]);
    expect(learned(rig)).toEqual({ [macText(mac(1))]: 0 });
    expect(hello(rig, 1, mac(1))).toEqual([0, 0, 0]);
    expect(rig.drops(1)).toEqual({ sticky: 1 });
  });

  test("stays there for ports that learn nothing, and for a table that somebody else is changing", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { sticky: true }, 1: { learning: false } });
    hello(rig, 0, mac(1));
    expect(hello(rig, 1, mac(1))).toEqual([0, 0, 0]);
    expect(fdbTryLock(rig.fdb)).toBe(true);
    expect(hello(rig, 2, mac(1))).toEqual([0, 0, 0]);
    fdbUnlock(rig.fdb);
    expect([rig.drops(1), rig.drops(2)]).toEqual([{ sticky: 1 }, { sticky: 1 }]);
  });

  test("may move once it has aged, by the ageing time of its VLAN", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { sticky: true } });
    fdbSetAgeing(rig.fdb, 300, new Map([[0, 20]]));
    hello(rig, 0, mac(1));
    rig.shared.control[CLOCK_S] = 21;
    expect(hello(rig, 1, mac(1))).toEqual([0, 0, 0]);
    rig.shared.control[CLOCK_S] = 22;
    expect(hello(rig, 1, mac(1))).toEqual([1, 0, 1]);
    expect(learned(rig)).toEqual({ [macText(mac(1))]: 1 });
  });

  test("may be static: a static one of another port is no reason to drop", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { sticky: true } });
    fdbAddStatic(rig.fdb, macText(mac(1)), 0);
    fdbAddStatic(rig.fdb, macText(mac(2)), 1);
    expect(hello(rig, 2, mac(1))).toEqual([0, 0, 0]);
    expect(hello(rig, 2, mac(2))).toEqual([1, 1, 0]);
    expect(hello(rig, 0, mac(1))).toEqual([0, 1, 1]);
    expect(rig.drops(2)).toEqual({ sticky: 1 });
  });
});

/** What workers said of ports at their limit. */
function reported(rig: PlanRig): number[] {
  const ports: number[] = [];
  for (const ring of rig.memory.rings) {
    readEvents(ring, (kind, at) => {
      if (kind === EVENT_MAC_LIMIT) ports.push(ring.words[at >> 2]);
    });
  }
  return ports;
}

const FLOODED = [0, 1, 1];
const NOTHING = [0, 0, 0];
const REACTIONS: [LimitAction, { third: number[]; drops: object; known: number[]; reports: number[] }][] = [
  ["evict", { third: FLOODED, drops: {}, known: [2, 3], reports: [] }],
  ["stop", { third: FLOODED, drops: {}, known: [1, 2], reports: [] }],
  ["drop", { third: NOTHING, drops: { mac_limit: 1 }, known: [1, 2], reports: [] }],
  ["shutdown", { third: NOTHING, drops: { mac_limit: 1 }, known: [1, 2], reports: [0] }],
];

test.each(REACTIONS)("a port at its limit meets a new address: %s", (limitAction, { third, drops, known, reports }) => {
  const rig = openRig({}, {}, {});
  rig.policy({ 0: { limitAction } });
  allSteps(fdbLimitSteps(rig.fdb, 0, 2));
  for (const [second, station] of [mac(1), mac(2)].entries()) {
    rig.shared.control[CLOCK_S] = 1 + second;
    expect(hello(rig, 0, station)).toEqual(FLOODED);
  }
  expect(hello(rig, 0, mac(3))).toEqual(third);
  expect(rig.drops(0)).toEqual({ ...drops });
  expect(learned(rig)).toEqual(Object.fromEntries(known.map((index) => [macText(mac(index)), 0])));
  expect(reported(rig)).toEqual(reports);
  // Those that it knows go on, and so do others elsewhere.
  expect(hello(rig, 0, mac(2))).toEqual(FLOODED);
  expect(hello(rig, 1, mac(4))).toEqual([1, 0, 1]);
});

describe("a full port", () => {
  test("takes no address from another port, unless it gives one up", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { limitAction: "drop" } });
    allSteps(fdbLimitSteps(rig.fdb, 0, 1));
    hello(rig, 0, mac(1));
    hello(rig, 1, mac(2));
    expect(hello(rig, 0, mac(2))).toEqual(NOTHING);
    expect(fdbLookup(rig.fdb, ...words(mac(2)), 1)).toBe(1);
    expect(rig.drops(0)).toEqual({ mac_limit: 1 });
  });

  test("is reported with its next frame where there was no room to say so", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { limitAction: "shutdown" } });
    allSteps(fdbLimitSteps(rig.fdb, 0, 0));
    const { ring } = rig.plan as Plan;
    while (reserveEvent(ring, EVENT_LOGGED, MAC_LIMIT_SIZE) >= 0) publishEvent(ring);
    hello(rig, 0, mac(1));
    expect(reported(rig)).toEqual([]);
    hello(rig, 0, mac(2));
    expect([reported(rig), rig.drops(0)]).toEqual([[0], { mac_limit: 2 }]);
  });

  test("is reported once a second", () => {
    const rig = openRig({}, {}, {});
    rig.policy({ 0: { limitAction: "shutdown" }, 1: { limitAction: "shutdown" } });
    for (const port of [0, 1]) allSteps(fdbLimitSteps(rig.fdb, port, 0));
    for (const station of [1, 2, 3]) hello(rig, 0, mac(station));
    hello(rig, 1, mac(4));
    expect(reported(rig)).toEqual([0, 1]);
    rig.shared.control[CLOCK_S] = 2;
    hello(rig, 0, mac(5));
    expect(reported(rig)).toEqual([0]);
    expect([rig.drops(0), rig.drops(1)]).toEqual([{ mac_limit: 4 }, { mac_limit: 1 }]);
  });
});

/** The frame with an 802.1Q tag. */
function tagged(bytes: Uint8Array, vid: number): Uint8Array {
  return new Uint8Array([...bytes.subarray(0, 12), 0x81, 0x00, vid >> 8, vid & 0xff, ...bytes.subarray(12)]);
}

function words(station: Mac): [number, number] {
  const view = new DataView(new Uint8Array(station).buffer);
  return [view.getInt32(0, true), view.getUint16(4, true)];
}
