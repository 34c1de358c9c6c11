// TAP devices made, attached, moved and lost, seen through iproute2: what is asked for is there, and after a failure or a
// close nothing is, neither a device nor a descriptor.

import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RingyardError } from "../../src/core/errors.ts";
import { OFFLOAD_ALL, OFFLOAD_USO } from "../../src/mem/batch.ts";
import { closeTap, inspectTap, openTap, setTapMtu, type TapRequest, tapIsGone } from "../../src/ports/tap/device.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { run } from "../support/process.ts";
import { KERNEL_HAS_USO, linkNames, links, requireTap, TAP_NAME } from "../support/tap.ts";
import { until } from "../support/until.ts";

const NAME = TAP_NAME;
const plain = { name: NAME, queues: 1, offload: OFFLOAD_ALL };

/** Opens, hands over, and closes however that ends. */
function withTap<T>(request: TapRequest, use: (device: ReturnType<typeof openTap>) => T): T {
  const device = openTap(request);
  try {
    return use(device);
  } finally {
    closeTap(device);
  }
}

requireTap()("a new device", () => {
  const namespace = useNamespaces();

  test("is in the target with what was asked for, up, and nowhere after the close", async () => {
    const inside = await namespace();
    withTap({ ...plain, netns: inside.path, mac: "02:00:00:00:00:aa", mtu: 9000 }, (device) => {
      expect(linkNames()).not.toContain(NAME);
      const link = links(inside.name).find(({ ifname }) => ifname === NAME);
      expect(link).toMatchObject({ address: "02:00:00:00:00:aa", mtu: 9000, linkinfo: { info_kind: "tun" } });
      expect(link!.flags).toContain("UP");
      expect(link!.flags).not.toContain("NO-CARRIER");
      expect(link!.linkinfo!.info_data).toMatchObject({ type: "tap", pi: false, vnet_hdr: true, persist: false });
      const seen = { kind: "tun", mac: "02:00:00:00:00:aa", mtu: 9000, up: true };
      expect(inspectTap(device.fds[0])).toMatchObject({ name: NAME, link: seen });
    });
    expect(linkNames(inside.name)).toEqual(["lo"]);
  });

  test("leaves no descriptor and no mapping after the close", async () => {
    const inside = await namespace();
    const before = holdings();
    for (const queues of [1, 8]) {
      withTap({ ...plain, netns: inside.path, queues, mtu: 2000 }, (device) => inspectTap(device.fds[0]));
    }
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("is made in a namespace although one of that name is here", async () => {
    const inside = await namespace();
    withTap(plain, () => {
      withTap({ ...plain, netns: inside.path }, () => expect(linkNames(inside.name)).toEqual(["lo", NAME]));
      expect(linkNames()).toContain(NAME);
    });
  });

  test("is here where no namespace is named", () => {
    withTap(plain, () => expect(linkNames()).toContain(NAME));
    expect(linkNames()).not.toContain(NAME);
  });

  test("is in a process's namespace by its PID's path", async () => {
    const inside = await namespace();
    const sleeper = inside.spawn(["sleep", "60"]);
    await until("the process to be inside", () => inside.pids().includes(sleeper.pid));
    withTap({ ...plain, netns: `/proc/${sleeper.pid}/ns/net` }, () => {
      expect(linkNames(inside.name)).toEqual(["lo", NAME]);
    });
  });

  test("has as many queues as asked for, each with a descriptor", async () => {
    const inside = await namespace();
    withTap({ ...plain, netns: inside.path, queues: 4 }, (device) => {
      expect(device.fds).toHaveLength(4);
      const data = links(inside.name).find(({ ifname }) => ifname === NAME)!.linkinfo!.info_data;
      expect(data).toMatchObject({ multi_queue: true, numqueues: 4 });
    });
  });

  for (const [offload, csum, tso4, tso6, uso] of [
    [OFFLOAD_ALL, "on", "on", "on", "on"],
    [OFFLOAD_ALL & ~OFFLOAD_USO, "on", "on", "on", "off"],
    [1, "on", "off", "off", "off"],
    [0, "off", "off", "off", "off"],
  ] as const) {
    test(`lets the kernel leave to us what form set ${offload} says`, async () => {
      const inside = await namespace();
      const device = openTap({ ...plain, netns: inside.path, offload });
      try {
        const { stdout } = await inside.run(["ethtool", "-k", NAME]);
        const feature = (name: string) => new RegExp(`^\\s*${name}: (\\w+)`, "m").exec(stdout)?.[1];
        expect(feature("tx-checksum-ip-generic")).toBe(csum);
        expect(feature("tx-tcp-segmentation")).toBe(tso4);
        expect(feature("tx-tcp6-segmentation")).toBe(tso6);
        expect(feature("tx-udp-segmentation")).toBe(KERNEL_HAS_USO ? uso : "off");
        expect(device.offload).toBe(KERNEL_HAS_USO ? offload : offload & ~OFFLOAD_USO);
      } finally {
        closeTap(device);
      }
    });
  }

  test("does without UDP segmentation where the kernel refuses it, and says so", async () => {
    const inside = await namespace();
    // Without checksums every kernel refuses it, as one before 6.2 does in any case (drivers/net/tun.c, set_offload).
    withTap({ ...plain, netns: inside.path, offload: OFFLOAD_USO }, (device) => expect(device.offload).toBe(0));
    await inside.ip(`tuntap add ${NAME} mode tap`);
    withTap({ ...plain, netns: inside.path, offload: OFFLOAD_USO }, (device) => expect(device.offload).toBe(0));
  });

  test("takes another MTU while it runs, also where somebody moved and renamed it", async () => {
    const [first, second] = [await namespace(), await namespace()];
    const device = openTap({ ...plain, netns: first.path });
    try {
      setTapMtu(device.fds[0], 4000);
      expect(links(first.name).find(({ ifname }) => ifname === NAME)!.mtu).toBe(4000);
      await first.ip(`link set ${NAME} netns ${second.name} name moved0`);
      expect(inspectTap(device.fds[0])).toMatchObject({ name: "moved0", link: { mtu: 4000, up: false } });
      setTapMtu(device.fds[0], 5000);
      expect(links(second.name).find(({ ifname }) => ifname === "moved0")!.mtu).toBe(5000);
    } finally {
      closeTap(device);
    }
    expect(linkNames(second.name)).toEqual(["lo"]);
  });

  test("goes with its namespace, which it does not keep alive", async () => {
    const inside = await namespace();
    const device = openTap({ ...plain, netns: inside.path });
    try {
      expect(tapIsGone(device.fds[0])).toBe(false);
      inside.remove();
      await until("the device to go", () => tapIsGone(device.fds[0]));
      expect(inspectTap(device.fds[0])).toBeNull();
      expect(() => setTapMtu(device.fds[0], 2000)).toThrow("gone");
    } finally {
      closeTap(device);
    }
  });
});

requireTap()("a persistent device of the user's", () => {
  const namespace = useNamespaces();

  test("is attached, brought up, and left in place", async () => {
    const inside = await namespace();
    await inside.ip(`tuntap add ${NAME} mode tap`);
    withTap({ ...plain, netns: inside.path, mtu: 3000 }, (device) => {
      expect(device).toMatchObject({ attached: true, defaultMtu: 1500 });
      expect(links(inside.name).find(({ ifname }) => ifname === NAME)).toMatchObject({ mtu: 3000 });
    });
    expect(linkNames(inside.name)).toEqual(["lo", NAME]);
    // It can be had again.
    withTap({ ...plain, netns: inside.path }, (device) => expect(device.attached).toBe(true));
  });

  test("is attached with several queues, or with one of them, where it was made so", async () => {
    const inside = await namespace();
    await inside.ip(`tuntap add ${NAME} mode tap multi_queue`);
    for (const queues of [4, 1]) {
      withTap({ ...plain, netns: inside.path, queues }, (device) => expect(device.fds).toHaveLength(queues));
    }
  });
});

requireTap()("a device that cannot be had", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();
  const folder = mkdtempSync(join(tmpdir(), "ringyard-tap-"));
  defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "file");
  const fifo = join(folder, "fifo");
  writeFileSync(file, "");
  Bun.spawnSync(["mkfifo", fifo]);

  const cases: [string, Partial<TapRequest>, string, string[]?][] = [
    ["the name is the loopback's", { name: "lo" }, "EXISTS"],
    ["the name is a TUN's", {}, "EXISTS", [`tuntap add ${NAME} mode tun`]],
    ["it was made for one queue", { queues: 2 }, "EXISTS", [`tuntap add ${NAME} mode tap`]],
    ["the MTU is more than a TAP takes", { mtu: 65535 }, "BAD_OPTION"],
    ["the MTU is more than a TAP takes, and it stays", { mtu: 65535 }, "BAD_OPTION", [`tuntap add ${NAME} mode tap`]],
    ["there is no such namespace", { netns: "/run/netns/ry-nowhere" }, "NOT_FOUND"],
    ["there is no such process", { netns: "/proc/4194305/ns/net" }, "NOT_FOUND"],
    ["the namespace is a file", { netns: file }, "BAD_OPTION"],
    ["the namespace is a FIFO", { netns: fifo }, "BAD_OPTION"],
    ["the namespace is another kind of namespace", { netns: "/proc/self/ns/uts" }, "BAD_OPTION"],
  ];
  for (const [what, request, code, made = []] of cases) {
    test(`${what}: ${code}, and nothing is left`, async () => {
      const inside = await namespace();
      for (const words of made) await inside.ip(words);
      const there = linkNames(inside.name);
      // Nothing in between: the runtime closes what is left of a child process when it likes.
      const before = holdings();
      const error = failure({ ...plain, netns: inside.path, ...request });
      expect(heldDifference(before, holdings())).toEqual([]);
      expect(error).toMatchObject({ code });
      expect(error.next).toBeString();
      expect(linkNames(inside.name)).toEqual(there);
      expect(linkNames()).not.toContain(NAME);
    });
  }

  for (const queues of [1, 2]) {
    test(`another port has it (${queues} queues): BUSY, and that port goes on`, async () => {
      const inside = await namespace();
      const request = { ...plain, netns: inside.path, queues };
      withTap(request, (device) => {
        const before = holdings();
        expect(failure(request)).toMatchObject({ code: "BUSY" });
        expect(heldDifference(before, holdings())).toEqual([]);
        expect(tapIsGone(device.fds[0])).toBe(false);
      });
    });

    test(`another process has a persistent one (${queues} queues): BUSY`, async () => {
      const inside = await namespace();
      await inside.ip(`tuntap add ${NAME} mode tap${queues > 1 ? " multi_queue" : ""}`);
      const request = { ...plain, netns: inside.path, queues };
      withTap(request, () => expect(failure(request)).toMatchObject({ code: "BUSY" }));
      expect(linkNames(inside.name)).toEqual(["lo", NAME]);
    });
  }

  test("CAP_NET_ADMIN is missing: PERMISSION", async () => {
    const drop = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    expect(await openElsewhere(drop)).toMatchObject({ code: "PERMISSION", next: expect.stringContaining("CAP_NET") });
  });

  test("/dev/net/tun is missing: MISSING", async () => {
    const hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "hide"];
    expect(await openElsewhere(hide)).toMatchObject({ code: "MISSING", next: expect.stringContaining("modprobe tun") });
  });

  test("/dev/net/tun may not be opened: PERMISSION", async () => {
    const words = "mount -t tmpfs none /dev/net && mknod -m 600 /dev/net/tun c 10 200 && exec";
    const hide = ["unshare", "--mount", "sh", "-c", `${words} setpriv --reuid 65534 --clear-groups "$@"`, "hide"];
    expect(await openElsewhere(hide)).toMatchObject({ code: "PERMISSION", next: expect.stringContaining("root") });
  });
});

describe("a request in a process of its own", () => {
  test("fails for the reason it is given, not for want of the script", async () => {
    expect(await openElsewhere([], "not a name")).toMatchObject({ code: expect.any(String) });
  });
});

function failure(request: TapRequest): RingyardError {
  try {
    closeTap(openTap(request));
  } catch (error) {
    if (error instanceof RingyardError) return error;
    throw error;
  }
  throw new Error("the device was opened");
}

/** Tries to open a device under `wrapper`, and returns the error's code and next step. */
async function openElsewhere(wrapper: string[], name = NAME): Promise<{ code: string; next?: string }> {
  const script = `
    import { openTap } from ${JSON.stringify(join(import.meta.dir, "../../src/ports/tap/device.ts"))};
    try { openTap(${JSON.stringify({ ...plain, name })}); console.log("{}"); }
    catch ({ code, next }) { console.log(JSON.stringify({ code, next })); }`;
  const { stdout } = await run([...wrapper, process.execPath, "-e", script]);
  return JSON.parse(stdout);
}
