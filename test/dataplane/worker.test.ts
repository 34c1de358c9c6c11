// A dataplane worker's rhythm, seen through its numbers and over memory ports: when it polls, when it sleeps, what wakes
// it, and what it answers.

import { afterEach, describe, expect, test } from "bun:test";
import { Dispatcher } from "../../src/dataplane/dispatch.ts";
import { allocateFdb } from "../../src/dataplane/fdb-layout.ts";
import type { LaneConfig } from "../../src/ports/port.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();

const workerOf = (it: MemorySwitch) => it.api.stats().workers[0];

/** Waits until the worker sleeps: no breath from one look to the next. */
async function asleep(it: MemorySwitch): Promise<void> {
  let breaths = -1;
  await until("the worker to sleep", () => {
    const before = breaths;
    breaths = workerOf(it).breaths;
    return breaths === before;
  });
}

describe.each(["adaptive", "interrupt"] as const)("%s polling", (poll) => {
  test("sleeps when nothing comes, and a kick wakes it for every frame", async () => {
    const it = await start({ poll }, "a", "b");
    for (let round = 0; round < 50; round++) {
      await asleep(it);
      const { sleeps } = workerOf(it);
      it.send("a", frame(BROADCAST, mac(1)));
      expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(1))]);
      await until("the next sleep", () => workerOf(it).sleeps > sleeps);
    }
  });

  test("needs no kick for what is there before it sleeps", async () => {
    const it = await start({ poll }, "a", "b");
    // Frames at all distances from the last one: while it polls, arms and sleeps.
    for (let round = 0; round < 2000; round++) {
      for (let pause = 0; pause < round % 97; pause++) performance.now();
      it.send("a", frame(BROADCAST, mac(1)));
      const driver = it.driver("b");
      const deadline = performance.now() + 1000;
      while (driver.receive() === null) if (performance.now() > deadline) throw new Error(`frame ${round} hangs`);
    }
  });
});

test("busy polling never sleeps, and needs no kick", async () => {
  const it = await start({ poll: "busy" }, "a", "b");
  const before = workerOf(it);
  await until("100,000 breaths", () => workerOf(it).breaths > before.breaths + 100_000);
  expect(workerOf(it).sleeps).toBe(0);
  it.send("a", frame(BROADCAST, mac(1)));
  await it.receive("b", 1);
});

test("the way of polling changes while it runs", async () => {
  const it = await start({ poll: "interrupt" }, "a", "b");
  await asleep(it);
  it.api.configure({ poll: "busy" });
  const { breaths } = workerOf(it);
  await until("polling", () => workerOf(it).breaths > breaths + 10_000);
  it.api.configure({ poll: "adaptive" });
  await asleep(it);
  expect(it.api.settings.poll).toBe("adaptive");
});

describe("lanes", () => {
  const entry = new URL("../../src/control/worker-entry.ts", import.meta.url).href;
  const open: Dispatcher[] = [];
  afterEach(async () => {
    for (const dispatcher of open.splice(0)) await dispatcher.stop();
  });

  function workers(count: number): Dispatcher {
    const dispatcher = new Dispatcher(new Array(count).fill(-1), allocateFdb(64), entry, (error) => {
      throw error;
    });
    open.push(dispatcher);
    return dispatcher;
  }

  const ring = { size: 8, desc: 0, avail: 128, used: 256, kickFd: -1, callFd: -1, enabled: true };
  const broken: LaneConfig = {
    driver: "virtqueue",
    featuresLo: 0,
    featuresHi: 1,
    regions: [],
    deliver: ring,
    fetch: null,
  };

  test("are spread over the workers, each owned by one", async () => {
    const dispatcher = workers(2);
    for (let port = 0; port < 3; port++) await dispatcher.open(port, 0, { driver: "null" });
    await dispatcher.open(0, 1, { driver: "null" });
    expect([dispatcher.lanesOf(0), dispatcher.lanesOf(1)]).toEqual([2, 2]);
    expect([dispatcher.owner(0, 0), dispatcher.owner(0, 1), dispatcher.owner(1, 0)]).toEqual([0, 1, 1]);
    await dispatcher.close(0, 1);
    expect(dispatcher.isOpen(0, 1)).toBe(false);
    expect(dispatcher.lanesOf(1)).toBe(1);
  });

  test("begin at the worker that a port was given to, until its index is used anew", async () => {
    const dispatcher = workers(2);
    dispatcher.resetPort(0, 1);
    const owners = () => [0, 1, 2].map((pair) => dispatcher.owner(0, pair));
    expect(owners()).toEqual([1, 0, 1]);
    await dispatcher.open(0, 0, { driver: "null" });
    expect([dispatcher.lanesOf(0), dispatcher.lanesOf(1)]).toEqual([0, 1]);
    await dispatcher.close(0, 0);
    dispatcher.resetPort(0);
    expect(owners()).toEqual([0, 1, 0]);
  });

  test("that cannot be built are open nowhere, and the worker goes on", async () => {
    const dispatcher = workers(2);
    await dispatcher.open(0, 0, { driver: "null" });
    await expect(dispatcher.open(1, 0, broken)).rejects.toThrow(
      "descriptor table at 0x0 (128 bytes) is not in shared memory",
    );
    await dispatcher.callAll({ op: "ping" });
    expect(dispatcher.isOpen(1, 0)).toBe(false);
    expect(dispatcher.isOpen(0, 0)).toBe(true);
    await dispatcher.open(1, 0, { driver: "null" });
  });

  test("opened and closed a hundred times, or refused, leave no descriptor and no mapping behind", async () => {
    const dispatcher = workers(2);
    const churn = async () => {
      for (let turn = 0; turn < 100; turn++) {
        await dispatcher.open(0, 0, { driver: "null" });
        await dispatcher.open(1, 0, broken).catch(() => {});
        await dispatcher.close(0, 0);
      }
    };
    await churn();
    const before = holdings();
    await churn();
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("a worker that ends by itself is reported", async () => {
    const crash = Promise.withResolvers<Error>();
    const script = URL.createObjectURL(new Blob(["self.onmessage = () => { throw new Error('as told'); };"]));
    const dispatcher = new Dispatcher([-1], allocateFdb(64), script, crash.resolve);
    expect((await crash.promise).message).toMatch(/^worker 0: .*as told/);
    expect(dispatcher.workers).toBe(1);
    URL.revokeObjectURL(script);
  });
});
