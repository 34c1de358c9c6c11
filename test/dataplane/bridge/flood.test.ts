// Flood control and isolation: which floods go out of a port, and which ports frames go between, against a list read aloud.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, frame, type Mac, mac } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const rigOf = usePlanRig();
const GROUP: Mac = [0x01, 0, 0x5e, 0, 0, 5];
const UNKNOWN = mac(99);

describe("a port that takes no floods of a class", () => {
  test.each<[string, Partial<PortPolicy>, Mac]>([
    ["broadcast", { floodBroadcast: false }, BROADCAST],
    ["multicast", { floodMulticast: false }, GROUP],
    ["unknown unicast", { floodUnknown: false }, UNKNOWN],
  ])("gets none of it, and all of the others: %s", (_, policy, to) => {
    const rig = rigOf({}, {}, {});
    rig.policy({ 1: policy });
    for (const target of [BROADCAST, GROUP, UNKNOWN]) {
      const bytes = frame(target, mac(1));
      expect(rig.send(0, bytes)).toEqual([[], target === to ? [] : [bytes], [bytes]]);
    }
    // What it sends itself goes where it always went, and what is addressed to a known station comes.
    const own = frame(to, mac(2));
    expect(rig.send(1, own)).toEqual([[own], [], [own]]);
    expect(rig.send(0, frame(mac(2), mac(1)))[1]).toHaveLength(1);
    expect(rig.drops(0)).toEqual({});
  });

  test("a flood that no port takes has no destination, one that a single port takes has no copies", () => {
    const rig = rigOf({}, {}, {});
    rig.policy({ 1: { floodBroadcast: false }, 2: { floodBroadcast: false, floodMulticast: false } });
    rig.send(0, frame(BROADCAST, mac(1)), frame(GROUP, mac(1)), frame(UNKNOWN, mac(1)));
    expect(rig.drops(0)).toEqual({ no_destination: 1 });
    expect(rig.counters(0)[COPIES]).toBe(1);
  });

  test("gets none by a rule that floods either", () => {
    const rig = rigOf({}, {}, {});
    rig.station(mac(2), 1);
    rig.policy({ 1: { floodUnknown: false } }, {}, rulesOf([1, {}, { do: "flood" }]));
    const bytes = frame(mac(2), mac(1));
    expect(rig.send(0, bytes)).toEqual([[], [], [bytes]]);
  });
});

describe("isolation", () => {
  test("keeps isolated ports apart, in floods and to known stations, and lets them reach all others", () => {
    const rig = rigOf({}, {}, {});
    for (const port of [0, 1, 2]) rig.station(mac(port), port);
    rig.policy({ 0: { isolated: true }, 1: { isolated: true } });
    const [flooded, toOne, toTwo] = [frame(BROADCAST, mac(0)), frame(mac(1), mac(0)), frame(mac(2), mac(0))];
    expect(rig.send(0, flooded, toOne, toTwo)).toEqual([[], [], [flooded, toTwo]]);
    expect(rig.drops(0)).toEqual({ isolated: 1 });
    expect(rig.send(2, frame(BROADCAST, mac(2))).map((got) => got.length)).toEqual([1, 1, 0]);
  });

  test("does not bind what a rule forwards by name", () => {
    const rig = rigOf({}, {}, {});
    rig.policy(
      { 0: { isolated: true }, 1: { isolated: true } },
      {},
      rulesOf([1, { in: 0 }, { do: "forward", ports: [1] }]),
    );
    expect(rig.send(0, frame(BROADCAST, mac(1))).map((got) => got.length)).toEqual([0, 1, 0]);
  });

  const PORTS = 6;
  const anyPort = fc.record({
    isolated: fc.boolean(),
    groups: fc.subarray(["red", "green", "blue"]),
    floodBroadcast: fc.boolean(),
    floodMulticast: fc.boolean(),
    floodUnknown: fc.boolean(),
    up: fc.boolean(),
    listed: fc.boolean(),
  });
  const anyFrame = fc.tuple(
    fc.nat({ max: PORTS - 1 }),
    fc.constantFrom("broadcast", "multicast", "unknown", "known"),
    fc.nat({ max: PORTS - 1 }),
  );

  test("of ports at random is what their lists say, with floods and without", () => {
    const rig = rigOf({}, {}, {}, {}, {}, {});
    for (let port = 0; port < PORTS; port++) rig.station(mac(port), port);
    fc.assert(
      fc.property(
        fc.array(anyPort, { minLength: PORTS, maxLength: PORTS }),
        fc.array(anyFrame, { minLength: 1, maxLength: 12 }),
        (ports, frames) => {
          const said = ports.map(({ listed, up, ...policy }) => ({
            ...(listed
              ? policy
              : { isolated: false, groups: [], floodBroadcast: true, floodMulticast: true, floodUnknown: true }),
            up,
          }));
          for (const [port, { up }] of said.entries()) rig.setUp(port, up);
          rig.policy(
            Object.fromEntries(said.flatMap(({ up, ...policy }, port) => (ports[port].listed ? [[port, policy]] : []))),
            { vlans: [{ vid: 0, learning: true, suppressArp: false, suppressNd: false }] },
          );
          const apart = (a: number, b: number) =>
            (said[a].isolated && said[b].isolated) || said[a].groups.some((group) => said[b].groups.includes(group));
          for (const [from, kind, to] of frames) {
            const takes = (port: number) => {
              if (port === from || !said[port].up || !said[from].up || apart(from, port)) return false;
              if (kind === "broadcast") return said[port].floodBroadcast;
              if (kind === "multicast") return said[port].floodMulticast;
              return kind === "unknown" ? said[port].floodUnknown : port === to;
            };
            const target = { broadcast: BROADCAST, multicast: GROUP, unknown: UNKNOWN, known: mac(to) }[kind] as Mac;
            const got = rig.send(from, frame(target, mac(from))).map((list) => list.length === 1);
            expect(got).toEqual(said.map((_, port) => takes(port)));
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});
