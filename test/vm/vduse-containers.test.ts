// Containers on VDUSE ports of a kernel that has them: traffic of every kind between two. What attach and detach do
// beside that: vduse-attach.test.ts.

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useNamespaces } from "../support/netns.ts";
import { sized } from "../support/scale.ts";
import { useSwitch } from "../support/switch.ts";
import { type Host, iperf, ping, randomFile, transfer, udp, udpSegments } from "../support/traffic.ts";
import { container, deviceName, requireVduse } from "../support/vduse.ts";

const LIMIT_MS = 300_000;
const FILE_SIZE = 3_000_000;
const STREAM = sized(5, 20);
const PING_INTERVAL_S = 1;
/** Where a kick is lost, the switch sleeps until the next ping wakes it. No busy machine is that slow with most of them. */
const LOST_KICK_MS = 500 * PING_INTERVAL_S;

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
      await iperf(a, b, "-n", `${STREAM}M`);
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
      const words = ["-c", "11", "-i", `${PING_INTERVAL_S}`, b.ip];
      const { stdout } = await a.inside.run(["ping", ...words], { timeoutMs: 30_000 });
      const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)).sort((x, y) => x - y);
      // ping(8) does not wait long for the last one.
      expect(times.length).toBeGreaterThanOrEqual(9);
      expect(times[times.length >> 1]).toBeLessThan(LOST_KICK_MS);
    },
    LIMIT_MS,
  );
});
