// Captures in the rule table: they stay while rules and policies change, and without anything else they are all of the plan there is.

import { afterEach, expect, test } from "bun:test";
import { type CapturePolicy, NO_POLICY, PORT_DEFAULTS } from "../../../src/dataplane/bridge/policy.ts";
import { TapMemory } from "../../../src/dataplane/bridge/tap-memory.ts";
import { readEvents } from "../../../src/dataplane/rules/event-ring.ts";
import { RuleTable } from "../../../src/dataplane/rules/table.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { PlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const undo: (() => void)[] = [];
afterEach(() => {
  for (const each of undo.splice(0)) each();
});

/** A rig as the only worker of a table, and a capture of what comes in at its first port. */
function start() {
  const memory = new TapMemory(1);
  const rig = new PlanRig([{}, {}]);
  const { fdb, shared } = rig;
  const table = new RuleTable({
    dispatcher: {
      ...{ shared, workers: 1, isUp: () => true, delivers: () => true },
      callAll: async (request) => {
        if (request.op === "plan") rig.open(request.plan);
      },
    },
    fdb,
    portName: String,
    onLog: () => undefined,
  });
  undo.push(
    () => rig.close(),
    () => table.close(),
    () => memory.close(),
  );
  const capture: CapturePolicy = { what: { of: "port", port: 0, direction: "in" }, snap: 64, memory: memory.address };
  /** Records that a frame makes. */
  const records = () => {
    rig.send(0, frame(BROADCAST, mac(1)));
    let count = 0;
    readEvents(memory.rings[0], () => count++);
    return count;
  };
  return { rig, table, capture, records };
}

test("a capture makes a plan, and without one there is none again", async () => {
  const { rig, table, capture, records } = start();
  await table.setCaptures([capture]);
  expect(records()).toBe(1);
  await table.setCaptures([]);
  expect(rig.plan).toBeNull();
  expect(records()).toBe(0);
});

test("captures stay while rules and policies come and go, and those stay while captures do", async () => {
  const { rig, table, capture, records } = start();
  await table.setCaptures([capture]);
  await table.replace(rulesOf([1, {}, { do: "drop" }]), []);
  expect(records()).toBe(1);
  await table.setPolicy({ ...NO_POLICY, ports: [{ ...PORT_DEFAULTS, port: 1, isolated: true }] });
  expect(records()).toBe(1);
  await table.setPolicy(NO_POLICY);
  expect(records()).toBe(1);
  await table.setCaptures([]);
  expect(rig.plan?.bridge).toBeNull();
  expect(rig.send(0, frame(BROADCAST, mac(1)))[1]).toEqual([]);
  await table.replace([], []);
  expect(rig.plan).toBeNull();
});
