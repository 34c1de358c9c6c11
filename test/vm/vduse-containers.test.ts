// Containers on VDUSE ports of a kernel that has them: what an operator types, and traffic of every kind between two.

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Attached } from "../../src/ports/port.ts";
import { useNamespaces } from "../support/netns.ts";
import { useSwitch } from "../support/switch.ts";
import { type Host, iperf, ping, randomFile, transfer, udp, udpSegments } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { attach, container, deviceName, requireVduse, vduseDevices } from "../support/vduse.ts";

const LIMIT_MS = 300_000;
const FILE_SIZE = 3_000_000;
/** What a ping takes where a kick is lost: the switch sleeps until something else wakes it, and the kernel tries again. */
const LOST_KICK_MS = 100;

const scratch = mkdtempSync(join(tmpdir(), "ringyard-vduse-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const startSwitch = useSwitch();
const namespace = useNamespaces();
const suite = requireVduse();

/** Two containers on a switch with ports `a` and `b`, made of `query`. */
async function two(query = "", ...words: string[]) {
  const names = [deviceName(), deviceName()];
  const ringyard = await startSwitch({ a: `vduse:${names[0]}${query}`, b: `vduse:${names[1]}${query}` }, ...words);
  const a = await container(ringyard, "a", await namespace(), 1);
  const b = await container(ringyard, "b", await namespace(), 2);
  return { ringyard, a, b, names };
}

async function allTraffic(a: Host, b: Host): Promise<void> {
  await ping(a, b.ip);
  await ping(b, a.ip6);
  await ping(a, b.ip, 6000);
  await udp(a, b);
  await udp(b, a);
  const { path, print } = await randomFile(scratch, FILE_SIZE);
  expect(await transfer(a, b, path)).toBe(print);
  expect(await transfer(b, a, path)).toBe(print);
}

/** What a person reads who is refused something. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    return `not refused: ${JSON.stringify(await promise)}`;
  } catch (error) {
    return (error as Error).message;
  }
}

suite("two containers on VDUSE ports", () => {
  test(
    "ping, and run UDP and TCP both ways, with offloads",
    async () => {
      const { ringyard, a, b } = await two();
      await allTraffic(a, b);
      const { details, drops } = await ringyard.port("a");
      expect(details).toMatchObject({ attached: "virtio-vdpa", deviceState: "running", memorySealed: true });
      for (const feature of [
        "CSUM",
        "GUEST_TSO4",
        "HOST_TSO6",
        "MRG_RXBUF",
        "INDIRECT_DESC",
        "EVENT_IDX",
        "MAC",
        "STATUS",
      ]) {
        expect(details.features).toContain(feature);
      }
      expect(drops.malformed ?? 0).toBe(0);
      // UDP's super-frames go in one piece between ports that both take them; Linux leaves them off until it is asked.
      await a.inside.run(["ethtool", "-K", "eth0", "tx-udp-segmentation", "on"]);
      const { rxFrames } = await ringyard.port("a");
      expect(await udpSegments(a, b, b.ip, 1000, [30_000])).toBe(30);
      expect((await ringyard.port("a")).rxFrames - rxFrames).toBeLessThan(20);
      await iperf(a, b, "-n", "20M");
      expect(await ringyard.stop()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "and without: one port offers none, the other has memory of ours in the bounce area's place",
    async () => {
      const names = [deviceName(), deviceName()];
      const ringyard = await startSwitch({ a: `vduse:${names[0]}?umem=on`, b: `vduse:${names[1]}?offload=none` });
      const a = await container(ringyard, "a", await namespace(), 1);
      const b = await container(ringyard, "b", await namespace(), 2);
      await allTraffic(a, b);
      expect((await ringyard.port("b")).details).toMatchObject({ umem: false });
      expect((await ringyard.port("a")).details).toMatchObject({ umem: true });
      expect((await ringyard.port("b")).details.features).not.toContain("CSUM");
    },
    LIMIT_MS,
  );

  test(
    "answer at once: every kick arrives",
    async () => {
      const { a, b } = await two("", "--poll", "interrupt");
      await ping(a, b.ip);
      const { stdout } = await a.inside.run(["ping", "-c", "20", "-i", "0.3", b.ip], { timeoutMs: 30_000 });
      const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)).sort((x, y) => x - y);
      expect(times.length).toBe(20);
      expect(times[10]).toBeLessThan(LOST_KICK_MS);
    },
    LIMIT_MS,
  );
});

suite("what attach and detach do", () => {
  test(
    "names and addresses the device, and takes it away again",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ web: `vduse:${name}?mac=02:00:00:00:00:aa&mtu=1400` });
      const inside = await namespace();
      // As a person types it.
      const words = ["--ip", "10.9.0.1/24", "--ip", "fd99::1/64", "--ifname", "lan0"];
      const attached = await ringyard.ctl<Attached>("attach", "web", "--netns", inside.name, ...words);
      expect(attached.netdev).toMatchObject({ ifname: "lan0", mac: "02:00:00:00:00:aa" });
      const shown = await inside.ip("addr show lan0");
      for (const word of ["10.9.0.1/24", "fd99::1/64", "mtu 1400", "02:00:00:00:00:aa", "LOWER_UP"]) {
        expect(shown).toContain(word);
      }
      expect(await refusal(attach(ringyard, "web", await namespace()))).toMatch(/a container has it already/);
      await ringyard.request("port.detach", { name: "web" });
      expect(await inside.ip("-br link")).not.toContain("lan0");
      expect(await refusal(ringyard.request("port.detach", { name: "web" }))).toContain("not attached");
      // And again, elsewhere.
      const other = await namespace();
      await attach(ringyard, "web", other);
      expect(await other.ip("-br link")).toContain("eth0");
      expect((await ringyard.port("web")).carrier).toBe(true);
    },
    LIMIT_MS,
  );

  test(
    "link down and up is seen inside",
    async () => {
      const { ringyard, a, b } = await two();
      await ping(a, b.ip);
      const state = async () => (await a.inside.ip("-br link show eth0")).split(/\s+/)[1];
      await ringyard.request("port.set", { name: "a", link: "down" });
      await until("the link to go down", async () => (await state()) === "DOWN");
      await ringyard.request("port.set", { name: "a", link: "up" });
      await until("the link to come up", async () => (await state()) === "UP");
      await ping(a, b.ip);
    },
    LIMIT_MS,
  );

  test(
    "a wrong namespace, name or address leaves nothing behind",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ web: `vduse:${name}` });
      expect(
        await refusal(ringyard.request("port.attach", { name: "web", to: "netns", netns: "no-such-namespace" })),
      ).toContain("no network namespace");
      const inside = await namespace();
      expect(await refusal(attach(ringyard, "web", inside, { ip: ["10.0.0.300/24"] }))).toContain("10.0.0.300/24");
      expect(await refusal(attach(ringyard, "web", inside, { ifname: "a/b" }))).toContain("a/b");
      expect((await ringyard.port("web")).details.attached).toBe("no");
      expect(await refusal(startSwitch({ twin: `vduse:${name}` }))).toContain("serves this device");
      await ringyard.request("port.del", { name: "web" });
      expect(await vduseDevices()).not.toContain(name);
    },
    LIMIT_MS,
  );
});
