// A bridge with policies is still a learning switch: what no policy speaks of goes as without one, with rules and without.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, type Mac, mac, numbered } from "../../support/frames.ts";
import { PlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const RESERVED: Mac = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
const STATIONS: Mac[] = [mac(1), mac(2), mac(3), mac(4), mac(50)];
const RULES: [string, Rule[]][] = [
  ["none", []],
  ["one that drops", rulesOf([1, { "eth.dst": 0x0200_0000_0002 }, { do: "drop" }])],
  ["one that forwards", rulesOf([1, { "eth.dst": 0x0200_0000_0003 }, { do: "forward", ports: [1, 2] }])],
  ["one that floods", rulesOf([1, { "eth.src": 0x0200_0000_0001 }, { do: "flood" }])],
  ["one that rewrites and mirrors", rulesOf([1, {}, { do: "set-vlan", id: 7 }, { do: "mirror", port: 1 }])],
];

test.each(RULES)("what no policy speaks of goes as without policies, with rules: %s", (_, rules) => {
  const anyTo = fc.constantFrom(...STATIONS, BROADCAST, RESERVED, mac(77));
  const anyFrom = fc.constantFrom(...STATIONS, mac(9), BROADCAST, [0, 0, 0, 0, 0, 0]);
  const anyFrame = fc.record({ to: anyTo, from: anyFrom, size: fc.constantFrom(60, 127, 128, 129, 1514) });
  const run = (bridged: boolean, frames: { to: Mac; from: Mac; size: number }[], up: boolean[]) => {
    const rig = new PlanRig([{}, { up: up[0] }, { up: up[1], maxFrame: 128 }, { delivers: up[2] }]);
    if (bridged) rig.policy({ 9: { isolated: true } }, {}, rules);
    else rig.rules(rules);
    try {
      for (const [port, station] of STATIONS.slice(0, 4).entries()) rig.station(station, port);
      rig.station(mac(50), 9);
      const got = rig.send(0, ...frames.map(({ to, from, size }, k) => numbered(to, from, 0, k, size)));
      return {
        got: got.map((list) => list.map((bytes) => Buffer.from(bytes).toString("hex"))),
        drops: rig.lanes.map((_, port) => rig.drops(port)),
        copies: rig.counters(0)[COPIES],
        fdb: [...fdbEntries(rig.fdb, 1)].map(({ mac: address, port }) => `${address} ${port}`).sort(),
      };
    } finally {
      rig.close();
    }
  };
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: BURST, size: "max" }),
      fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      (frames, up) => expect(run(true, frames, up)).toEqual(run(false, frames, up)),
    ),
    { numRuns: 60 },
  );
});
