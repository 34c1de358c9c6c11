// A bridge with policies is still a learning switch: what no policy speaks of goes as without one, with rules and without.

import { test } from "bun:test";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { expectSame } from "../rules/random-bursts.ts";
import { rulesOf } from "../rules/rules-of.ts";

const RUNS = 60;
const RULES: [string, Rule[]][] = [
  ["none", []],
  ["one that drops", rulesOf([1, { "eth.dst": 0x0200_0000_0002 }, { do: "drop" }])],
  ["one that forwards", rulesOf([1, { "eth.dst": 0x0200_0000_0003 }, { do: "forward", ports: [1, 2] }])],
  ["one that floods", rulesOf([1, { "eth.src": 0x0200_0000_0001 }, { do: "flood" }])],
  ["one that rewrites and mirrors", rulesOf([1, {}, { do: "set-vlan", id: 7 }, { do: "mirror", port: 1 }])],
];

test.each(RULES)("what no policy speaks of goes as without policies, with rules: %s", (_, rules) => {
  expectSame(
    (rig) => rig.policy({ 9: { isolated: true } }, {}, rules),
    (rig) => rig.rules(rules),
    RUNS,
  );
});
