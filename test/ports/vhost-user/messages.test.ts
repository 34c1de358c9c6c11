// Messages that a front end may not send (QEMU docs/interop/vhost-user.rst): each ends its connection with one counted
// error and leaves no descriptor behind; the next front end finds the port as new, and other ports notice nothing.
// The table of sizes is written from the document, not from src.

import { afterAll, describe, expect, test } from "bun:test";
import { closeFd, eventFd } from "../../../src/sys/fd.ts";
import * as vu from "../../../src/uapi/vhost_user.ts";
import type { FrontEnd } from "../../support/frontend.ts";
import { message, u32s, u64s } from "../../support/frontend-wire.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { useVhostRig } from "./rig.ts";

const rig = useVhostRig({ vm: "queues=2" });

interface Request {
  name: string;
  code: number;
  /** Payload sizes that are right; the first one is used for other tests. */
  sizes: readonly number[];
  /** Descriptors that are right for a payload of zeroes. */
  fds: number;
}

const requests: readonly Request[] = [
  { name: "GET_FEATURES", code: 1, sizes: [0, 8], fds: 0 },
  { name: "SET_FEATURES", code: 2, sizes: [8], fds: 0 },
  { name: "SET_OWNER", code: 3, sizes: [0, 8], fds: 0 },
  { name: "RESET_OWNER", code: 4, sizes: [0, 8], fds: 0 },
  { name: "SET_MEM_TABLE", code: 5, sizes: [8, 40, 264], fds: 0 },
  { name: "SET_VRING_NUM", code: 8, sizes: [8], fds: 0 },
  { name: "SET_VRING_ADDR", code: 9, sizes: [40], fds: 0 },
  { name: "SET_VRING_BASE", code: 10, sizes: [8], fds: 0 },
  { name: "GET_VRING_BASE", code: 11, sizes: [8], fds: 0 },
  { name: "SET_VRING_KICK", code: 12, sizes: [8], fds: 1 },
  { name: "SET_VRING_CALL", code: 13, sizes: [8], fds: 1 },
  { name: "SET_VRING_ERR", code: 14, sizes: [8], fds: 1 },
  { name: "GET_PROTOCOL_FEATURES", code: 15, sizes: [0, 8], fds: 0 },
  { name: "SET_PROTOCOL_FEATURES", code: 16, sizes: [8], fds: 0 },
  { name: "GET_QUEUE_NUM", code: 17, sizes: [0, 8], fds: 0 },
  { name: "SET_VRING_ENABLE", code: 18, sizes: [8], fds: 0 },
  { name: "GET_CONFIG", code: 24, sizes: [12, 268], fds: 0 },
  { name: "SET_CONFIG", code: 25, sizes: [12, 268], fds: 0 },
  { name: "RESET_DEVICE", code: 34, sizes: [0, 8], fds: 0 },
  { name: "GET_MAX_MEM_SLOTS", code: 36, sizes: [0, 8], fds: 0 },
  { name: "ADD_MEM_REG", code: 37, sizes: [40], fds: 1 },
  { name: "REM_MEM_REG", code: 38, sizes: [40], fds: 0 },
  { name: "SET_STATUS", code: 39, sizes: [8], fds: 0 },
  { name: "GET_STATUS", code: 40, sizes: [0, 8], fds: 0 },
];

const spare = Array.from({ length: 33 }, () => eventFd());
afterAll(() => spare.forEach(closeFd));

/** What `send` does to a fresh connection: it ends, with one error counted and logged, and nothing is kept. */
async function expectEnds(send: (vm: FrontEnd) => unknown, logged: string, error = "protocol"): Promise<void> {
  const vm = await rig.connected("vm");
  await vm.settled();
  const counted = rig.error("vm", error);
  rig.warnings.length = 0;
  await send(vm);
  await vm.wire.ended();
  await rig.drop(vm, "vm");
  expect(rig.error("vm", error)).toBe(counted + 1);
  expect(rig.warnings.length).toBe(1);
  expect(rig.warnings[0]).toContain(logged);
}

/** Runs `attempts` between two counts of what the process holds, then checks that all is well. */
async function unharmed(attempts: () => Promise<void>): Promise<void> {
  const before = holdings();
  await attempts();
  expect(heldDifference(before, holdings())).toEqual([]);
  await rig.expectUsable("vm");
}

describe("a payload of another size", () => {
  for (const { name, code, sizes, fds } of requests) {
    const near = sizes.flatMap((size) => [size - 1, size + 1]);
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
    const wrong = [0, ...near, 1024].filter((size) => size >= 0 && (size < least || size > most));
    test(`${name}: ${wrong.join(", ")} bytes`, async () => {
      await unharmed(async () => {
        for (const size of wrong) {
          const send = ({ wire }: FrontEnd) => wire.send(code, new Uint8Array(size), { fds: spare.slice(0, fds) });
          await expectEnds(send, `${name} with ${size} bytes`);
        }
      });
    });
  }
});

describe("descriptors too many or missing", () => {
  for (const { name, code, sizes, fds } of requests) {
    const wrong = [0, 1, 8, 9, 32, 33].filter((count) => count !== fds && (count !== 1 || name !== "REM_MEM_REG"));
    test(`${name}: ${wrong.join(", ")}`, async () => {
      await unharmed(async () => {
        for (const count of wrong) {
          const payload = new Uint8Array(sizes[0]);
          await expectEnds(({ wire }) => wire.send(code, payload, { fds: spare.slice(0, count) }), "descriptor");
        }
      });
    });
  }

  test("a call without a descriptor may not bring one", async () => {
    await unharmed(async () => {
      await expectEnds(
        ({ wire }) => wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(0x100), { fds: [spare[0]] }),
        "vring 0",
      );
    });
  });
});

test("requests that nobody defined, and those that were not negotiated", async () => {
  const known = new Set(requests.map(({ code }) => code));
  await unharmed(async () => {
    for (const code of [...Array(64).keys(), 0x7fffffff, 0x80000000, 0xffffffff]) {
      if (!known.has(code)) await expectEnds(({ wire }) => wire.send(code, u64s(0)), `unknown request ${code}`);
    }
  });
});

test("another version of the protocol", async () => {
  await unharmed(async () => {
    for (const flags of [0, 2, 3]) {
      await expectEnds(({ wire }) => wire.send(1, undefined, { flags }), `message version ${flags} is not 1`);
    }
  });
});

test("a payload larger than any message's", async () => {
  await unharmed(async () => {
    for (const size of [1025, 65536, 0x7fffffff, 0x80000000, 0xffffffff]) {
      await expectEnds(({ wire }) => wire.send(2, undefined, { size }), `payload of ${size} bytes is over 1024`);
    }
  });
});

test("a hang-up inside a header or a payload, with descriptors on the way", async () => {
  const whole = message(vu.VHOST_USER_SET_VRING_CALL, u64s(0));
  await unharmed(async () => {
    for (const length of [1, 4, 11, 12, 13, 19]) {
      const vm = await rig.connected("vm");
      await vm.settled();
      const counted = rig.error("vm", "protocol");
      vm.wire.raw(whole.subarray(0, length), [spare[0]]);
      vm.disconnect();
      await rig.idle("vm");
      expect(rig.error("vm", "protocol")).toBe(counted + 1);
      expect(rig.warnings.splice(0)[0]).toContain("the connection ended inside a message");
      await rig.drop(vm, "vm");
    }
  });
});

test("a hang-up between messages is no error", async () => {
  const counted = rig.error("vm", "protocol");
  await unharmed(async () => {
    const vm = await rig.connected("vm");
    await vm.settled();
    await rig.drop(vm, "vm");
  });
  expect(rig.error("vm", "protocol")).toBe(counted);
  expect(rig.warnings).toEqual([]);
});

test("a message in single bytes is one message, and two in one piece are two", async () => {
  const vm = await rig.connected("vm");
  for (const byte of message(vu.VHOST_USER_GET_QUEUE_NUM, new Uint8Array(0))) vm.wire.raw(Uint8Array.of(byte));
  const first = await vm.wire.reply();
  expect(first === "end" ? first : first.payload.getBigUint64(0, true)).toBe(2n);
  const [features, slots] = [1, 36].map((code) => message(code, new Uint8Array(0)));
  vm.wire.raw(Buffer.concat([features, slots]));
  const codes = [await vm.wire.reply(), await vm.wire.reply()].map((reply) =>
    reply === "end" ? reply : reply.request,
  );
  expect(codes).toEqual([1, 36]);
});

describe("a vring that is not there", () => {
  test.each([
    ["SET_VRING_NUM", 8, (index: number) => u32s(index, 64)],
    ["SET_VRING_ADDR", 9, (index: number) => Buffer.concat([u32s(index, 0), u64s(0, 0, 0, 0)])],
    ["SET_VRING_BASE", 10, (index: number) => u32s(index, 0)],
    ["GET_VRING_BASE", 11, (index: number) => u32s(index, 0)],
    ["SET_VRING_ENABLE", 18, (index: number) => u32s(index, 1)],
  ])("%s", async (_name, code, payload) => {
    await unharmed(async () => {
      for (const index of [4, 255, 0x7fffffff, 0xffffffff]) {
        await expectEnds(({ wire }) => wire.send(code, payload(index)), `vring ${index} of 4`);
      }
    });
  });

  test.each([
    ["SET_VRING_KICK", 12],
    ["SET_VRING_CALL", 13],
    ["SET_VRING_ERR", 14],
  ])("%s", async (_name, code) => {
    await unharmed(async () => {
      for (const index of [4, 255]) {
        await expectEnds(({ wire }) => wire.send(code, u64s(index), { fds: [spare[0]] }), `vring ${index} of 4`);
      }
    });
  });
});

describe("numbers that cannot be", () => {
  test.each<[string, number, Uint8Array, string]>([
    ["a queue size of 0", 8, u32s(0, 0), "SET_VRING_NUM of 0"],
    ["a queue size of 3", 8, u32s(0, 3), "SET_VRING_NUM of 3"],
    ["a queue size of 65536", 8, u32s(0, 65536), "SET_VRING_NUM of 65536"],
    ["a queue size of 2^31", 8, u32s(0, 2 ** 31), "SET_VRING_NUM of 2147483648"],
    ["a ring address above 2^53", 9, Buffer.concat([u32s(0, 0), u64s(2n ** 53n, 0, 0, 0)]), "above 2^53"],
    ["features that were not offered", 2, u64s(1n << 26n), "not offered"],
    ["features above 32 that were not offered", 2, u64s(1n << 34n), "not offered"],
    ["the highest feature", 2, u64s(1n << 63n), "not offered"],
    ["protocol features that were not offered", 16, u64s(1n << 5n), "not offered"],
    ["the highest protocol feature", 16, u64s(1n << 63n), "protocol features is above 2^53"],
    ["a protocol feature above 32", 16, u64s(1n << 35n), "not offered"],
  ])("%s", async (_name, code, payload, logged) => {
    await unharmed(() => expectEnds(({ wire }) => wire.send(code, payload), logged));
  });
});

describe("REPLY_ACK", () => {
  test("acknowledges what has no answer of its own", async () => {
    const vm = await rig.connected("vm");
    await vm.negotiate();
    expect(await vm.wire.ack(vu.VHOST_USER_SET_OWNER)).toBe(0);
    expect(await vm.wire.ack(vu.VHOST_USER_SET_MEM_TABLE, vm.memoryTable(), [vm.ram.regions[0].fd])).toBe(0);
    expect(await vm.wire.ack(vu.VHOST_USER_SET_VRING_NUM, u32s(0, 64))).toBe(0);
    // What is answered anyway is answered once.
    expect((await vm.wire.call(vu.VHOST_USER_GET_QUEUE_NUM, undefined, { flags: 9 })).getUint32(0, true)).toBe(2);
    await vm.settled();
  });

  test("says no, and then the connection ends", async () => {
    for (const [code, payload] of [
      [vu.VHOST_USER_SET_VRING_NUM, u32s(0, 3)],
      [vu.VHOST_USER_SET_VRING_NUM, u32s(0)],
      [99, u64s(0)],
      [vu.VHOST_USER_REM_MEM_REG, new Uint8Array(40).fill(1, 16, 17)],
    ] as const) {
      const vm = await rig.connected("vm");
      await vm.negotiate();
      expect(await vm.wire.ack(code, payload)).toBe(1);
      await vm.wire.ended();
    }
  });

  test("is not given where it was not negotiated", async () => {
    const vm = await rig.connected("vm", { protocol: [] });
    await vm.negotiate();
    vm.wire.send(vu.VHOST_USER_SET_OWNER, undefined, { flags: 9 });
    expect((await vm.wire.call(vu.VHOST_USER_GET_QUEUE_NUM)).getUint32(0, true)).toBe(2);
  });
});
