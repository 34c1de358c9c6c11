// The clerk's thread: orders and answers, errors whole, nobody left waiting. What it does on a bus is tested in a virtual
// machine that has one (test/vm/vdpa.test.ts).

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Clerk } from "../../../src/ports/vdpa/clerk.ts";
import { familyNumber } from "../../../src/ports/vdpa/genetlink.ts";
import { GENL_ID_CTRL } from "../../../src/uapi/genetlink.ts";
import { failure } from "../../support/failure.ts";
import { requireRoot } from "../../support/skip.ts";

const NAME = `ryno${process.pid}`;

/** Runs `use` with a clerk of its own. */
async function withClerk(use: (clerk: Clerk) => Promise<void>): Promise<void> {
  const clerk = Clerk.acquire();
  try {
    await use(clerk);
  } finally {
    await clerk.release();
  }
}

/** The Worker behind a clerk, to be ended by a test. */
function workerOf(clerk: Clerk): Worker {
  return Reflect.get(clerk, "worker");
}

test("generic netlink finds the controller by name, and says what it does not find", () => {
  expect(familyNumber("nlctrl")).toBe(GENL_ID_CTRL);
  expect(() => familyNumber("ringyard-none")).toThrow("the generic netlink family ringyard-none: ENOENT");
});

test("a device that is not there is absent, and nobody minds its removal", () =>
  withClerk(async (clerk) => {
    expect(await clerk.inspect(NAME)).toEqual({ onBus: false });
    await clerk.remove(NAME);
    expect((await clerk.list()).map(({ name }) => name)).not.toContain(NAME);
  }));

test("an error crosses whole: its code, its words, its next step", () =>
  withClerk(async (clerk) => {
    const error = await failure(clerk.attachNetns(NAME, { netns: "no-such", ifname: "eth0", ip: [] }));
    expect(error).toMatchObject({ code: "NOT_FOUND", next: "ip netns add no-such" });
    expect(error.message).toBe("no network namespace at /run/netns/no-such");
  }));

test("orders are carried out in their order", () =>
  withClerk(async (clerk) => {
    const done: number[] = [];
    const orders = [1, 2, 3, 4].map((number) => clerk.inspect(NAME).then(() => done.push(number)));
    await Promise.all(orders);
    expect(done).toEqual([1, 2, 3, 4]);
  }));

test("users share one thread, which ends with the last of them and starts again for the next", async () => {
  const first = Clerk.acquire();
  await withClerk(async (second) => {
    expect(second).toBe(first);
    await second.inspect(NAME);
  });
  const worker = workerOf(first);
  expect(worker).toBeDefined();
  await first.inspect(NAME);
  expect(workerOf(first)).toBe(worker);
  await first.release();
  expect(workerOf(first)).toBeUndefined();
  await withClerk(async (again) => expect(await again.inspect(NAME)).toEqual({ onBus: false }));
});

test("a thread that dies leaves nobody waiting, and the next order starts another", () =>
  withClerk(async (clerk) => {
    await clerk.inspect(NAME);
    workerOf(clerk).terminate();
    const error = await failure(clerk.inspect(NAME));
    expect(error).toMatchObject({ code: "SYSTEM", message: expect.stringContaining("has ended") });
    expect(await clerk.inspect(NAME)).toEqual({ onBus: false });
  }));

const here = existsSync("/sys/bus/vdpa");
requireRoot("vDPA devices are root's")("on a kernel without what it takes", () => {
  test.skipIf(here)("each order names the module", () =>
    withClerk(async (clerk) => {
      const place = { netns: String(process.pid), ifname: "eth0", ip: [] };
      for (const [order, next] of [
        [clerk.add(NAME), "modprobe vduse"],
        [clerk.attachNetns(NAME, place), "modprobe virtio_vdpa"],
        [clerk.attachVm(NAME), "modprobe vhost_vdpa"],
      ] as const) {
        expect(await failure(order)).toMatchObject({ code: "MISSING", next });
      }
    }),
  );
});
