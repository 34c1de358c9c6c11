// The port kind `tap`, control side: what it asks of the switch, in which order, and what it leaves after a failure.

import { describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { readPort } from "../../src/control/uri.ts";
import { OFFLOAD_ALL, OFFLOAD_CSUM, OFFLOAD_USO } from "../../src/mem/batch.ts";
import { netnsPath } from "../../src/ports/link/netns.ts";
import type { Port, PortSpec } from "../../src/ports/port.ts";
import { tap } from "../../src/ports/tap/kind.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { KERNEL_HAS_USO, linkNames, links, requireTap, TAP_NAME } from "../support/tap.ts";
import { until } from "../support/until.ts";
import { RecordingHost } from "./recording-host.ts";

const NAME = TAP_NAME;
/** What a TAP port takes when nobody limits it. */
const ALL_HERE = KERNEL_HAS_USO ? OFFLOAD_ALL : OFFLOAD_ALL & ~OFFLOAD_USO;

function read(uri: string): PortSpec {
  const spec = readPort("web", uri, { tap });
  if (Array.isArray(spec)) throw new Error(spec[0].message);
  return spec;
}

async function withPort(uri: string, use: (port: Port, host: RecordingHost) => unknown): Promise<RecordingHost> {
  const host = new RecordingHost();
  const port = await tap.open(read(uri), host);
  try {
    await use(port, host);
  } finally {
    await port.close();
  }
  return host;
}

describe("a tap's URI", () => {
  test("takes a namespace by name, PID or path", () => {
    for (const netns of ["blue", "4711", "/proc/1/ns/net", "with space"]) {
      expect(read(`tap:t0?netns=${encodeURIComponent(netns)}`).options.netns).toBe(netns);
    }
    const paths = ["blue", "4711", "/a/b"].map(netnsPath);
    expect(paths).toEqual(["/run/netns/blue", "/proc/4711/ns/net", "/a/b"]);
  });

  for (const netns of ["", "..", ".", "a/b"]) {
    test(`refuses the namespace "${netns}"`, () => {
      expect(() => read(`tap:t0?netns=${netns}`)).toThrow("expected the name of a network namespace");
    });
  }

  for (const name of ["a-name-of-16-char", "..", "a/b", "a b", "t%d", "a:b", "tüp"]) {
    test(`refuses the device name "${name}" before anything is made`, async () => {
      expect(() => read(`tap:${encodeURIComponent(name)}`)).toThrow("is no name for a network device");
      const opening = tap.open({ ...read("tap:t0"), target: name }, new RecordingHost());
      await expect(opening).rejects.toMatchObject({ code: "BAD_URI" });
    });
  }
});

requireTap()("a tap port", () => {
  const namespace = useNamespaces();

  test("is available here, and the look for that leaves nothing", () => {
    const before = holdings();
    expect(tap.probe()).toEqual({ available: true });
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("has a carrier before its lanes, from which workers fetch at once, and loses it before they close, once", async () => {
    const { name } = await namespace();
    const host = await withPort(`tap:${NAME}?netns=${name}&queues=2`, async (port, { lanes }) => {
      expect([...lanes.values()]).toEqual([
        { driver: "tap", fd: expect.any(Number), accepts: ALL_HERE },
        { driver: "tap", fd: expect.any(Number), accepts: ALL_HERE },
      ]);
      expect(new Set([...lanes.values()].map((config) => "fd" in config && config.fd)).size).toBe(2);
      await Promise.all([port.close(), port.close()]);
      expect(linkNames(name)).toEqual(["lo"]);
    });
    expect(host.events).toEqual(["carrier up", "open 0", "open 1", "carrier down", "close 0", "close 1"]);
  });

  test("accepts only the forms that it is told to", async () => {
    const { name } = await namespace();
    for (const [offload, accepts] of [
      ["none", 0],
      ["csum", OFFLOAD_CSUM],
    ] as const) {
      await withPort(`tap:${NAME}?netns=${name}&offload=${offload}`, (port, { lanes }) => {
        expect(lanes.get(0)).toMatchObject({ accepts });
        expect(port.details().offload).toEqual(offload === "none" ? [] : [offload]);
      });
    }
  });

  test("leaves no device, lane or descriptor when a lane cannot be opened", async () => {
    const { name } = await namespace();
    const host = new RecordingHost();
    host.failingPair = 1;
    const spec = read(`tap:${NAME}?netns=${name}&queues=3`);
    const taps = () => holdings().fds.get("/dev/net/tun") ?? 0;
    const before = taps();
    await tap.open(spec, host).then(
      () => expect.unreachable(),
      (error) => expect(error.message).toBe("pair 1 fails"),
    );
    expect(taps()).toBe(before);
    expect(host.lanes.size).toBe(0);
    expect(linkNames(name)).toEqual(["lo"]);
  });

  test("shows the device as it is now", async () => {
    const { name } = await namespace();
    await withPort(`tap:${NAME}?netns=${name}&mac=02:00:00:00:00:ab`, async (port) => {
      const offload = ["csum", "tso4", "tso6", "ecn", ...(KERNEL_HAS_USO ? ["uso"] : [])];
      const seen = { device: NAME, deviceState: "up", deviceMac: "02:00:00:00:00:ab", deviceMtu: 1500 };
      expect(port.details()).toEqual({ ...seen, persistent: false, offload });
      Bun.spawnSync(["ip", "-n", name, "link", "set", NAME, "down", "mtu", "1400", "name", "other0"]);
      expect(port.details()).toMatchObject({ device: "other0", deviceState: "down", deviceMtu: 1400 });
    });
  });

  test("says that a device of the user's stays", async () => {
    const inside = await namespace();
    await inside.ip(`tuntap add ${NAME} mode tap`);
    await withPort(`tap:${NAME}?netns=${inside.name}`, (port) => expect(port.details().persistent).toBe(true));
    expect(linkNames(inside.name)).toContain(NAME);
  });

  test("changes its MTU while it runs, and nothing else", async () => {
    const { name } = await namespace();
    const mtu = () => links(name).find(({ ifname }) => ifname === NAME)!.mtu;
    await withPort(`tap:${NAME}?netns=${name}&queues=2`, async (port) => {
      expect(await port.set!({ queues: 2, netns: name, mtu: 2000 })).toBe(true);
      expect(mtu()).toBe(2000);
      expect(await port.set!({})).toBe(true);
      expect(mtu()).toBe(1500);
      expect(await port.set!({ queues: 1, mtu: 3000 })).toBe(false);
      expect(mtu()).toBe(1500);
      await expect(port.set!({ mtu: 65535 })).rejects.toMatchObject({ code: "BAD_OPTION" });
    });
  });

  test("loses its carrier and its lanes with its namespace", async () => {
    const inside = await namespace();
    await withPort(`tap:${NAME}?netns=${inside.name}`, async (port, host) => {
      inside.remove();
      await until("the lane to be closed", () => host.events.includes("close 0"));
      expect(host.events).toEqual(["carrier up", "open 0", "carrier down", "error device_gone", "close 0"]);
      expect(host.warnings).toHaveLength(1);
      expect(port.details()).toMatchObject({ device: NAME, deviceState: "gone" });
    });
  });

  test("comes back once nobody else has its name, and says once why not", async () => {
    const inside = await namespace();
    await withPort(`tap:${NAME}?netns=${inside.name}`, async (_, host) => {
      await inside.ip(`link del ${NAME}`);
      await inside.ip(`link add ${NAME} type bridge`);
      await until("a reason", () => host.warnings.length === 2);
      expect(host.warnings[1]).toStartWith(
        `tap ${NAME} cannot come back yet: tap ${NAME}: there is a network device of kind bridge`,
      );
      await inside.ip(`link del ${NAME}`);
      await until("the lane to be open", () => host.events.filter((event) => event === "open 0").length === 2);
      expect(host.warnings).toHaveLength(2);
      expect(linkNames(inside.name)).toEqual(["lo", NAME]);
    });
  });

  test("has all its lanes or none when it comes back, and is tried again until then", async () => {
    const inside = await namespace();
    await withPort(`tap:${NAME}?netns=${inside.name}&queues=2`, async (_, host) => {
      host.failingPair = 1;
      await inside.ip(`link del ${NAME}`);
      await until("a reason", () => host.warnings.length === 2);
      expect(host.warnings[1]).toBe(`tap ${NAME} cannot come back yet: pair 1 fails`);
      await until("no lane to be open", () => host.lanes.size === 0);
      expect(host.events.filter((event) => event.startsWith("carrier")).at(-1)).toBe("carrier down");
      host.failingPair = -1;
      await until("its lanes to be open", () => host.lanes.size === 2);
      expect(host.events.slice(-3)).toEqual(["carrier up", "open 0", "open 1"]);
      expect(host.warnings).toHaveLength(2);
    });
  });

  test("does not come back where the user had made it, or where another process may have its PID", async () => {
    const [inside, other] = [await namespace(), await namespace()];
    await inside.ip(`tuntap add ${NAME} mode tap`);
    const sleeper = other.spawn(["sleep", "infinity"]);
    await until(
      "the process to be inside",
      () => readlinkSync(`/proc/${sleeper.pid}/ns/net`) !== readlinkSync("/proc/self/ns/net"),
    );
    const places: [string, Namespace][] = [
      [inside.name, inside],
      [String(sleeper.pid), other],
    ];
    for (const [netns, where] of places) {
      await withPort(`tap:${NAME}?netns=${netns}`, async (_, host) => {
        await where.ip(`link del ${NAME}`);
        await until("the lane to be closed", () => host.events.includes("close 0"));
        expect(host.advice).toEqual(["ringyard port del web"]);
      });
    }
  });
});
