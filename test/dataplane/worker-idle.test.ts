// An idle switch costs next to nothing: a process of its own with two ports, whose threads all sleep. The account is the
// scheduler's CPU time, not a speed; the best of some windows counts, since Bun's compiler may still be at work in the first.

import { expect, test } from "bun:test";
import { cpuPercent } from "../../bench/proc.ts";
import { useSwitch } from "../support/switch.ts";

const startSwitch = useSwitch();
const LIMIT_PERCENT = 1;
const WINDOW_S = 1.5;
const WINDOWS = 3;

for (const poll of ["adaptive", "interrupt"]) {
  test(`with --poll ${poll}, an idle switch uses less than ${LIMIT_PERCENT} % of a CPU`, async () => {
    const ringyard = await startSwitch({ p0: "memory:p0", p1: "memory:p1" }, "--poll", poll);
    let best = Number.POSITIVE_INFINITY;
    for (let window = 0; window < WINDOWS && best >= LIMIT_PERCENT; window++) {
      best = Math.min(best, await cpuPercent(ringyard.pid, WINDOW_S));
    }
    expect(best).toBeLessThan(LIMIT_PERCENT);
    expect(await ringyard.stop()).toBe(0);
  }, 30_000);
}

test("and one that polls is seen by the same account", async () => {
  const ringyard = await startSwitch({ p0: "memory:p0", p1: "memory:p1" }, "--poll", "busy");
  expect(await cpuPercent(ringyard.pid, 0.5)).toBeGreaterThan(LIMIT_PERCENT);
  await ringyard.stop();
}, 30_000);
