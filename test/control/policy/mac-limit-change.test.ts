// A port that is to be shut down at its limit of addresses is not when a change of policy is what brings it there: what it had learned in
// a VLAN that it leaves is about to be forgotten. The worker is this thread, and has a frame as soon as it obeys.

import { afterEach, expect, test } from "bun:test";
import { FdbPolicy } from "../../../src/control/policy/fdb-policy.ts";
import type { NamedPolicy } from "../../../src/control/policy/named-policy.ts";
import { SwitchRules } from "../../../src/control/switch-rules.ts";
import { takingTurns } from "../../../src/core/turns.ts";
import type { Dispatcher } from "../../../src/dataplane/dispatch.ts";
import { fdbLimitSteps } from "../../../src/dataplane/fdb-steps.ts";
import { CLOCK_S } from "../../../src/dataplane/shared.ts";
import type { WorkerRequest } from "../../../src/dataplane/worker.ts";
import { PlanRig } from "../../dataplane/rules/plan-rig.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { quiet } from "../../support/memory-switch.ts";

let rig: PlanRig;
let rules: SwitchRules;
afterEach(async () => {
  await rules.stop();
  rig.close();
  rules.close();
});

/** Port 0, "a", may have one address. */
async function begin(): Promise<void> {
  rig = new PlanRig([{}, {}]);
  const fdbPolicy = new FdbPolicy(rig.fdb, 300);
  const dispatcher = {
    shared: rig.shared,
    workers: 1,
    isUp: () => true,
    delivers: () => true,
    callAll: async (request: WorkerRequest) => {
      if (request.op !== "plan") return;
      rig.open(request.plan);
      if (request.plan !== null) rig.send(0, frame(BROADCAST, mac(1)));
    },
  } as unknown as Dispatcher;
  const blockable = { spec: { name: "a" }, block: () => rig.setUp(0, false), unblock: () => rig.setUp(0, true) };
  rules = new SwitchRules({
    ...{ dispatcher, fdb: rig.fdb, log: quiet, alone: (change) => change() },
    portName: String,
    port: (index) => (index === 0 ? blockable : undefined),
    onPolicy: (policy) => fdbPolicy.changed(policy),
  });
  await rules.portComes("a", 0);
  await takingTurns(fdbLimitSteps(rig.fdb, 0, 1));
}

function policy(vid: number): NamedPolicy {
  const settings = { vlan: { mode: "access", vid }, limitAction: "shutdown" } as const;
  return { ports: new Map([["a", settings]]), vlans: [], mirrors: [] };
}

function reason() {
  rules.watch.tick();
  return rules.watch.blocks.reason(0);
}

test("another VLAN is no reason to shut a port down, and another address is", async () => {
  await begin();
  await rules.policy.set(policy(10));
  expect(reason()).toBeUndefined();
  await rules.policy.set(policy(20));
  expect(reason()).toBeUndefined();
  rig.shared.control[CLOCK_S]++;
  rig.send(0, frame(BROADCAST, mac(2)));
  // Of its one station, or of this one: both are of VLAN 20.
  rig.shared.control[CLOCK_S]++;
  rig.send(0, frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)));
  expect(reason()).toBe("mac-limit");
});

test("a limit that is raised before anybody looked is none", async () => {
  await begin();
  await rules.policy.set(policy(10));
  rig.shared.control[CLOCK_S]++;
  rig.send(0, frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)));
  await takingTurns(fdbLimitSteps(rig.fdb, 0, 5));
  expect(reason()).toBeUndefined();
});
