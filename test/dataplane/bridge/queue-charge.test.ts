// Frames that have to be converted when they leave their queue are charged to the lane that brought them: it waits while others send.

import { expect, test } from "bun:test";
import { breatheOnce } from "../../../src/dataplane/breathe.ts";
import type { PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { Fallback } from "../../../src/dataplane/fallback.ts";
import { RX_FRAMES } from "../../../src/mem/counters.ts";
import { BROADCAST, frame, mac, offloaded } from "../../support/frames.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { usePlanRig } from "../rules/plan-rig.ts";

const start = usePlanRig();
const BREATHS = 300;
const super4 = offloaded(BROADCAST, mac(66), spec4({ payload: pattern(40_000) }), 1400);

/** In how many breaths ports 0, which floods super-frames, and 1, which does not, are asked; 2 and 3 take plain frames only, by this policy. */
function asked(policy: Partial<PortPolicy>): number[] {
  const rig = start({}, {}, { accepts: 0 }, { accepts: 0 });
  rig.policy({ 2: policy, 3: policy });
  rig.station(mac(99), 0);
  const { tables } = rig;
  tables.plan = rig.plan;
  const counts = [0, 0];
  const brings = [() => rig.put(super4.bytes, super4.header), () => rig.put(frame(mac(99), mac(1)))];
  for (const [port, bring] of brings.entries()) {
    rig.lanes[port].fetch = () => {
      counts[port]++;
      rig.counters(port)[RX_FRAMES]++;
      rig.rewind();
      bring();
      return 1;
    };
  }
  const fallback = new Fallback(rig.windows);
  for (let n = 0; n < BREATHS; n++) breatheOnce(tables, fallback, new Float64Array(64), false, false);
  fallback.close();
  return counts;
}

test.each<[string, Partial<PortPolicy>]>([
  ["without queues", { priority: 1 }],
  ["in queues that take turns", { scheduler: [1, 1, 1, 1, 1, 1, 1, 2] }],
  ["with a shape", { shape: { unit: "bits", rate: 1e10, burst: 1e8 } }],
])("super-frames that are cut for two receivers, %s", (_, policy) => {
  // Of 40 kB each: 20 breaths' worth.
  expect(asked(policy)).toEqual([Math.ceil(BREATHS / 21), BREATHS]);
});
