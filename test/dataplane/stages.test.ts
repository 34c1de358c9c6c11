// A running worker's timed breaths, whichever way frames go: every stage takes some of its busy time, and all of them no more than there was.

import { describe, expect, test } from "bun:test";
import type { WorkerInfo } from "../../src/control/api.ts";
import { parseConfig } from "../../src/control/config.ts";
import { Running } from "../../src/control/running.ts";
import { STAGES, type StageCosts, stageCosts } from "../../src/control/stage-costs.ts";
import { kinds } from "../../src/control/wiring.ts";
import { TIMED_RUN } from "../../src/dataplane/breathe.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();

/** So many starts, since only the first busy breaths are timed, and that does not count where the worker loses its processor just then. */
const STARTS = 10;
/** One by one, so that they come in breaths of their own. */
const FRAMES = TIMED_RUN + 1;

describe.each([
  ["without rules", "", ""],
  ["by rules", 'rules = ["prio 1 ip drop"]', ""],
  ["by policies", "", "vlan = 10"],
  ["through queues", "", 'shape = "1 Gbit/s"'],
])("frames %s", (_, head, policy) => {
  const ports = ["a", "b"].flatMap((name) => [`[ports.${name}]`, `uri = "memory:${name}"`, policy]);
  const config = parseConfig([head, ...ports].join("\n"), "x.toml", kinds);

  /** Of a worker that has just begun. */
  async function timed(): Promise<WorkerInfo> {
    const it = await start({ poll: "interrupt" });
    const running = new Running(it.api, kinds, { settings: {} });
    await running.replace(config);
    for (let n = 0; n < FRAMES; n++) {
      it.send("a", frame(BROADCAST, mac(1)));
      await it.receive("b", 1);
    }
    const [worker] = it.api.stats().workers;
    for (const name of ["a", "b"]) await running.removePort(name);
    return worker;
  }

  test("pass all stages", async () => {
    const startedMs = performance.now();
    let worker = await timed();
    for (let n = 1; n < STARTS && worker.timed.frames === 0; n++) worker = await timed();
    const costs = stageCosts(worker) as StageCosts;
    expect(costs).toBeDefined();
    for (const stage of STAGES) expect(costs.stages[stage], stage).toBeGreaterThan(0);
    expect(costs.totalNs * worker.timed.frames).toBeLessThan((performance.now() - startedMs) * 1e6);
  });
});
