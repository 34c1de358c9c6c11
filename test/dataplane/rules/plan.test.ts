// What a worker runs while a plan cannot be opened: the one before, whole, and never the matches of one with the ranks of another.

import { expect, test } from "bun:test";
import { RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import type { PlanConfig } from "../../../src/dataplane/rules/plan.ts";
import { PlanImage } from "../../../src/dataplane/rules/plan-image.ts";
import { PlanRanks } from "../../../src/dataplane/rules/plan-ranks.ts";
import { frame, mac } from "../../support/frames.ts";
import { usePlanRig } from "./plan-rig.ts";
import { macNumber, rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const SENT = frame(mac(2), mac(1));
const BEFORE = rulesOf([2, { "eth.dst": macNumber(mac(9)) }, { do: "drop" }], [1, {}, { do: "forward", ports: [1] }]);
/** Its only rank is the first, where BEFORE drops. */
const AFTER = rulesOf([1, {}, { do: "forward", ports: [1] }]);

test.each<[string, (image: PlanConfig["image"]) => PlanConfig["image"]]>([
  ["meters", (image) => ({ ...image, meters: { at: 4, size: 32 } })],
  ["ranks", (image) => ({ ...image, ranks: { at: image.size, size: 16 } })],
  ["actions", (image) => ({ ...image, actions: { at: 2, size: 4 } })],
  ["matches", (image) => ({ ...image, matches: image.actions })],
  ["functions", (image) => ({ ...image, source: { at: image.source.at, size: image.source.size - 10 } })],
])("a plan that has no %s leaves the one before in force", (_, spoil) => {
  const rig = newRig({}, {});
  rig.rules(BEFORE);
  const ranks = new PlanRanks().encode(AFTER, new Map([[1, 0]]), 0);
  const image = new PlanImage(new RuleCompiler().compile(AFTER), ranks, [], []);
  try {
    const memory = { address: rig.memory.address, workers: 1 };
    expect(() => rig.open({ image: spoil(image.config), memory })).toThrow();
    expect(rig.send(0, SENT)).toEqual([[], [SENT]]);
    expect(rig.drops(0)).toEqual({});
  } finally {
    image.close();
  }
});
