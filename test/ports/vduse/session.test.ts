// What a VDUSE session answers, and when: nothing that takes memory away is answered while a worker may touch it. The
// kernel's side is played here, so also messages that today's kernels do not send.

import { afterAll, describe, expect, test } from "bun:test";
import { DELIVER_NEXT, FETCH_AVAIL, FETCH_STATUS, RING_BROKEN, RING_STOPPED } from "../../../src/mem/lane-state.ts";
import { EPERM, SysError } from "../../../src/sys/errno.ts";
import { closeFd } from "../../../src/sys/fd.ts";
import { until } from "../../support/until.ts";
import { MEMORY_SIZE, memoryFile, SessionRig } from "./rig.ts";

const file = memoryFile();
afterAll(() => closeFd(file));

function running(): Promise<SessionRig> {
  const rig = new SessionRig().withDriver(file);
  return rig.start().then(() => rig);
}

/** Holds the workers in their lane until `release` is called. */
function holdWorkers(rig: SessionRig): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.host.busy = promise;
  return resolve;
}

describe("a driver that starts", () => {
  test("has its rings served, its kicks taken, and is called once for whoever served before", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.status(15);
    await rig.happened("open 0");
    await rig.happened("irq 1");
    expect(rig.events).toEqual(["kick 0", "kick 1", "share 1", "carrier up", "open 0", "irq 0", "irq 1"]);
    const { deliver, fetch, regions } = rig.lane();
    expect([deliver?.desc, fetch?.desc]).toEqual([0x10000, 0x11000]);
    expect(regions).toMatchObject([{ guest: 0x10000, size: MEMORY_SIZE }]);
  });

  test("is waited for until the kernel has taken the answer", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.live = false;
    rig.status(15);
    await until("several looks", () => rig.device.looks > 3, { everyMs: 1 });
    expect(rig.events).toEqual([]);
    rig.device.live = true;
    await rig.happened("open 0");
  });

  test("and gives up before that is not served, and its goodbye is answered", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.live = false;
    rig.status(15);
    await until("a look", () => rig.device.looks > 0, { everyMs: 1 });
    const id = rig.status(0);
    await rig.happened(`answer ${id} ok`);
    rig.device.live = true;
    expect(rig.events).not.toContain("open 0");
    expect(rig.session.serving).toBe(false);
  });

  test("and whose answer the kernel never takes keeps no port from going", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.live = false;
    rig.status(15);
    await until("a look", () => rig.device.looks > 0, { everyMs: 1 });
    await rig.session.end();
    expect(rig.events).toEqual(["removed", "carrier down"]);
  });

  test("without memory is waited for: its first kick brings it", async () => {
    const rig = new SessionRig().withDriver(file);
    const { regions } = rig.device;
    rig.device.regions = [];
    rig.status(15);
    await until("a watch", () => rig.host.watched.size === 2, { everyMs: 1 });
    expect(rig.session.serving).toBe(false);
    // A kick that finds nothing yet leaves it waiting.
    [...rig.host.watched.values()][0]();
    await until("the watches again", () => rig.host.watched.size === 2, { everyMs: 1 });
    expect(rig.events).not.toContain("open 0");
    rig.device.regions = regions;
    [...rig.host.watched.values()][1]();
    await rig.happened("open 0");
    expect(rig.host.watched.size).toBe(0);
  });

  test("with rings that no worker can use is not served: that is said, and the next start is", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.host.failingPair = 0;
    rig.status(15);
    await rig.happened("error rings");
    expect([rig.session.serving, rig.events.at(-1)]).toEqual([false, "error rings"]);
    expect(rig.events.indexOf("carrier down")).toBeGreaterThan(rig.events.indexOf("carrier up"));
    expect(rig.host.warnings.join()).toContain("pair 0 fails");
    expect(await rig.answer({ type: "set-status", status: 0 })).toEndWith("ok");
    rig.host.failingPair = -1;
    rig.status(15);
    await rig.happened("open 0");
    expect(rig.session.serving).toBe(true);
  });

  test("with no queue set up is not served, and may go", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.queues = [];
    rig.status(15);
    const id = rig.status(0);
    await rig.happened(`answer ${id} ok`);
    expect(rig.events).not.toContain("open 0");
  });
});

describe("no NIC reaches the memory of the kernel's own driver, whose pages come and go", () => {
  test.each([
    ["as it is", false],
    ["with memory of ours in the bounce area's place", true],
  ])("%s", async (_name, umem) => {
    const rig = new SessionRig({ umem }).withKernelDriver(file);
    rig.status(15);
    await rig.happened("irq 1");
    expect([rig.session.serving, rig.session.iotlb.umem]).toEqual([true, umem]);
    expect(
      rig
        .lane()
        .regions.map(({ guest }) => guest)
        .sort(),
    ).toEqual([0, 0x10000]);
    await rig.answer({ type: "update-iotlb" });
    await rig.answer({ type: "set-status", status: 0 });
    expect(rig.events.filter((event) => event.includes("share"))).toEqual([]);
  });

  test("and what is a VM's beside it is shared", async () => {
    const rig = new SessionRig().withKernelDriver(file);
    rig.device.regions.push({ start: 2 ** 32, size: MEMORY_SIZE, file });
    rig.status(15);
    await rig.happened("irq 1");
    const [{ address }] = rig.session.iotlb.config.filter(({ guest }) => guest === 2 ** 32);
    expect(rig.host.shared).toEqual([{ address, size: MEMORY_SIZE }]);
  });
});

describe("not before the workers have let go", () => {
  test.each([
    ["a reset", { type: "set-status", status: 0 } as const, false],
    ["UPDATE_IOTLB", { type: "update-iotlb" } as const, true],
    ["SUSPEND", { type: "suspend" } as const, false],
    ["SET_VQ_READY", { type: "set-vq-ready", queue: 1, ready: false } as const, true],
  ])("%s is answered", async (_name, request, serving) => {
    const rig = await running();
    const release = holdWorkers(rig);
    const id = rig.ask(request);
    // What is asked behind it waits, too.
    const behind = rig.ask({ type: "get-vq-state", queue: 0 });
    for (let turn = 0; turn < 20; turn++) await Bun.sleep(0);
    expect(rig.events.filter((event) => event.startsWith("answer"))).toEqual([]);
    release();
    const at = await rig.happened(`answer ${id} ok`);
    expect(rig.events.indexOf("close 0")).toBeLessThan(at);
    expect(await rig.happened(`answer ${behind} ok queue 0 {"availIndex":0}`)).toBeGreaterThan(at);
    expect(rig.session.serving).toBe(serving);
  });
});

test("a reset leaves the carrier until no worker takes frames any more: what is taken without one is lost", async () => {
  const rig = await running();
  await rig.answer({ type: "set-status", status: 0 });
  expect(rig.events.slice(0, 2)).toEqual(["close 0", "carrier down"]);
});

test.each([
  ["a reset", { type: "set-status", status: 0 }],
  ["UPDATE_IOTLB", { type: "update-iotlb" }],
  ["SUSPEND", { type: "suspend" }],
])("%s waits for NICs that still read in the memory, after the lanes and before it is unmapped", async (_, request) => {
  const rig = await running();
  let sent = () => {};
  rig.host.sending = new Promise((resolve) => {
    sent = resolve;
  });
  const [{ address }] = rig.session.iotlb.config;
  const id = rig.ask(request as { type: "suspend" });
  await rig.happened("close 0");
  await until("the wait", () => rig.events.at(-1) === "close 0" || rig.events.at(-1) === "carrier down");
  expect(rig.session.iotlb.config[0].address).toBe(address);
  sent();
  const at = await rig.happened(`answer ${id} ok`);
  expect(rig.events.slice(0, at)).toContain("unshare 1");
});

describe("UPDATE_IOTLB", () => {
  test("is followed by lanes in the new memory", async () => {
    const rig = await running();
    const [before] = rig.lane().regions;
    const more = memoryFile(MEMORY_SIZE * 2);
    try {
      rig.device.regions = [{ start: 0x10000, size: MEMORY_SIZE * 2, file: more }];
      expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
      expect(rig.lane().regions).toMatchObject([{ guest: 0x10000, size: MEMORY_SIZE * 2 }]);
      expect(rig.lane().regions[0]).not.toEqual(before);
    } finally {
      closeFd(more);
    }
  });

  test("that takes everything away leaves no lane, and the next one brings it back", async () => {
    const rig = await running();
    const { regions } = rig.device;
    rig.device.regions = [];
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
    expect(rig.session.serving).toBe(false);
    rig.device.regions = regions;
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
    expect(rig.session.serving).toBe(true);
  });

  test("before a driver runs maps nothing", async () => {
    const rig = new SessionRig().withDriver(file);
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
    expect(rig.session.iotlb.count).toBe(0);
  });

  test("whose memory cannot be looked at fails, and is said", async () => {
    const rig = await running();
    rig.device.failure = new SysError("ioctl", EPERM, "VDUSE_IOTLB_GET_FD");
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("failed");
    expect(rig.events).toContain("error message");
    expect(rig.host.warnings.join()).toContain("update-iotlb");
    expect(rig.session.serving).toBe(false);
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
    expect(rig.session.serving).toBe(true);
  });
});

describe("a ring that its driver broke", () => {
  const ways = {
    "a reset": async (rig: SessionRig) => {
      await rig.answer({ type: "set-status", status: 0 });
      rig.status(15);
      await until("the lane", () => rig.session.serving, { everyMs: 1 });
    },
    SET_VQ_READY: async (rig: SessionRig) => {
      for (const ready of [false, true]) await rig.answer({ type: "set-vq-ready", queue: 1, ready });
    },
  };
  for (const [name, way] of Object.entries(ways)) {
    test(`stays broken in other memory, and is whole after ${name}`, async () => {
      const rig = await running();
      rig.host.state[FETCH_STATUS] = RING_BROKEN;
      expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
      expect([rig.session.serving, rig.host.state[FETCH_STATUS]]).toEqual([true, RING_BROKEN]);
      await way(rig);
      expect(rig.host.state[FETCH_STATUS]).toBe(RING_STOPPED);
    });
  }
});

describe("GET_VQ_STATE", () => {
  test("tells the next buffer of either queue, running or stopped", async () => {
    const rig = await running();
    rig.host.state[DELIVER_NEXT] = 0x1_0007;
    rig.host.state[FETCH_AVAIL] = 42;
    const both = async () => [
      await rig.answer({ type: "get-vq-state", queue: 0 }),
      await rig.answer({ type: "get-vq-state", queue: 1 }),
    ];
    const told = ['ok queue 0 {"availIndex":7}', 'ok queue 1 {"availIndex":42}'];
    for (const [n, answer] of (await both()).entries()) expect(answer).toEndWith(told[n]);
    await rig.answer({ type: "set-status", status: 0 });
    for (const [n, answer] of (await both()).entries()) expect(answer).toEndWith(told[n]);
  });

  test("of a queue that is not there fails", async () => {
    const rig = await running();
    expect(await rig.answer({ type: "get-vq-state", queue: 2 })).toContain("failed");
    expect(await rig.answer({ type: "get-vq-state", queue: 0xffffffff })).toContain("failed");
  });
});

describe("messages of newer kernels", () => {
  test("SET_VQ_READY stops one queue and starts it again", async () => {
    const rig = await running();
    for (const [queue, name] of [
      [1, "fetch"],
      [0, "deliver"],
    ] as const) {
      expect(await rig.answer({ type: "set-vq-ready", queue, ready: false })).toEndWith("ok");
      expect(rig.lane()[name]).toBeNull();
      expect(await rig.answer({ type: "set-vq-ready", queue, ready: true })).toEndWith("ok");
      expect(rig.lane()[name]).not.toBeNull();
    }
  });

  test("a queue stopped by SET_VQ_READY is ready after a reset", async () => {
    const rig = await running();
    await rig.answer({ type: "set-vq-ready", queue: 1, ready: false });
    await rig.answer({ type: "set-status", status: 0 });
    rig.events.length = 0;
    rig.status(15);
    await rig.happened("open 0");
    expect(rig.lane().fetch).not.toBeNull();
  });

  test("SUSPEND ends all service until the driver starts anew", async () => {
    const rig = await running();
    expect(await rig.answer({ type: "suspend" })).toEndWith("ok");
    expect(rig.session.serving).toBe(false);
    expect(rig.session.iotlb.count).toBe(0);
    expect(await rig.answer({ type: "update-iotlb" })).toEndWith("ok");
    expect(rig.session.serving).toBe(false);
    await rig.answer({ type: "set-status", status: 0 });
    rig.events.length = 0;
    rig.status(15);
    await rig.happened("open 0");
  });

  test("SET_VQ_GROUP_ASID is granted for the one group and the one address space", async () => {
    const rig = await running();
    expect(await rig.answer({ type: "set-vq-group-asid", group: 0, asid: 0 })).toEndWith("ok");
    expect(await rig.answer({ type: "set-vq-group-asid", group: 1, asid: 0 })).toEndWith("failed");
    expect(await rig.answer({ type: "set-vq-group-asid", group: 0, asid: 1 })).toEndWith("failed");
    expect(rig.session.serving).toBe(true);
  });

  test("what nobody knows yet fails, is counted and said, and changes nothing", async () => {
    const rig = await running();
    expect(await rig.answer({ type: "unknown", number: 99 })).toEndWith("failed");
    expect(rig.events).toContain("error unknown_message");
    expect(rig.host.warnings.join()).toContain("99");
    expect(rig.session.serving).toBe(true);
  });
});

describe("a device that the kernel has given up", () => {
  test("is stopped and reported once, and not started again", async () => {
    const rig = await running();
    rig.breaks();
    await rig.happened("on break");
    expect(rig.events).toEqual(["error device_broken", "close 0", "carrier down", "unshare 1", "on break"]);
    expect([rig.session.broken, rig.session.serving, rig.session.iotlb.count]).toEqual([true, false, 0]);
    rig.status(15);
    await rig.session.end();
    expect(rig.events).not.toContain("open 0");
  });

  test("while a start waits for it ends the wait", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.live = false;
    rig.status(15);
    await until("a look", () => rig.device.looks > 0, { everyMs: 1 });
    rig.breaks();
    await rig.happened("on break");
  });
});

describe("a device that was there before", () => {
  test("is served at once where a driver runs", async () => {
    const rig = new SessionRig().withDriver(file);
    expect(await rig.session.adopt()).toBe(true);
    expect(rig.session.serving).toBe(true);
    expect(rig.events).toEqual(["kick 0", "kick 1", "share 1", "carrier up", "open 0", "irq 0", "irq 1"]);
  });

  test("waits where none does", async () => {
    const rig = new SessionRig().withDriver(file);
    rig.device.live = false;
    expect(await rig.session.adopt()).toBe(false);
    rig.device.live = true;
    rig.status(15);
    await rig.happened("open 0");
  });
});

test("the end takes the lanes away first, may come twice, and nothing starts after it", async () => {
  const rig = await running();
  await Promise.all([rig.session.end(), rig.session.end()]);
  rig.status(15);
  await rig.session.end();
  expect(rig.events.filter((event) => event === "close 0").length).toBe(1);
  expect(rig.events).not.toContain("open 0");
  expect(rig.session.iotlb.count).toBe(0);
});
