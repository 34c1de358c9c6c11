// A sender that rewrites its frame while the switch looks at it: what a rule refuses never gets past it, however the writes and
// the looks fall together. That they do fall together is shown by the same frames in a switch without rules.

import { afterEach, describe, expect, test } from "bun:test";
import { complete, mac } from "../../support/frames.ts";
import { sized } from "../../support/scale.ts";
import { until } from "../../support/until.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { type PlanRig, usePlanRig } from "./plan-rig.ts";
import { STOP, type ToggleTask } from "./rewriting-header-task.ts";
import { rulesOf } from "./rules-of.ts";

const stops: (() => Promise<void>)[] = [];
// Before the rig's own hook, which takes the memory away.
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
const newRig = usePlanRig();

/** Last bytes of addresses: one is let through, one is not. */
const GOOD = 2;
const BAD = 3;
const SENT = complete(mac(GOOD), mac(1), spec4({ source: [10, 0, 0, GOOD], payload: pattern(30) }));
const DST_AT = 5;
const SOURCE_IP_AT = 29;

/** Another thread writes GOOD and BAD in turns to this byte of the frames that the rig sends. */
function toggle(rig: PlanRig, at: number): void {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./rewriting-header-worker.ts", import.meta.url));
  const ended = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.postMessage({ state, address: rig.address + at, values: [GOOD, BAD] } satisfies ToggleTask);
  stops.push(async () => {
    Atomics.store(state, STOP, 1);
    await ended;
    worker.terminate();
  });
}

/** Sends the frame, which always lies in the same place, again and again until `done`; tells how many of both port 1 got. */
async function pump(rig: PlanRig, at: number, done: (good: number, bad: number) => boolean): Promise<[number, number]> {
  let [good, bad] = [0, 0];
  await until(
    "frames of both kinds",
    () => {
      for (let turn = 0; turn < 2000; turn++) {
        const [, got] = rig.send(0, SENT);
        for (const bytes of got) bytes[at] === GOOD ? good++ : bad++;
      }
      return done(good, bad);
    },
    { timeoutMs: 60_000, everyMs: 0, context: () => JSON.stringify([good, bad, rig.drops(0)]) },
  );
  return [good, bad];
}

const WANTED = sized(5_000, 500_000);

describe("the frame that is delivered is the one that was judged", () => {
  test.each([
    ["its destination", DST_AT, { "eth.dst": 0x020000000003n }],
    ["an IP address", SOURCE_IP_AT, { "ip4.src": 0x0a000003 }],
  ])(
    "when its sender changes %s meanwhile",
    async (_, at, refused) => {
      const rig = newRig({}, {});
      rig.rules(rulesOf([2, refused, { do: "drop" }], [1, {}, { do: "forward", ports: [1] }]));
      toggle(rig, at);
      const [good, bad] = await pump(rig, at, (passed) => passed > WANTED && rig.drops(0).rule > WANTED);
      expect(bad).toBe(0);
      expect(good).toBeGreaterThan(WANTED);
    },
    120_000,
  );

  test("which is not so without rules: the harness bites", async () => {
    const rig = newRig({}, {}, {});
    rig.station(mac(GOOD), 1);
    rig.station(mac(BAD), 2);
    toggle(rig, DST_AT);
    const [, bad] = await pump(rig, DST_AT, (_, wrong) => wrong > 10);
    expect(bad).toBeGreaterThan(10);
  }, 120_000);
});
