// DPDK's virtio driver on VDUSE ports, by /dev/vhost-vdpa-N: its frames circle through the switch, both sides count the same,
// what a container sends to it comes back as it was, and each side comes back after the other was killed.
//
// --iova-mode=va: in the other mode DPDK 22.11 maps pages that follow each other in its own addresses as if they did so in
// physical ones. One switch for all tests, for the kernel keeps what the last user of a device has mapped until the next
// one maps, and huge pages are few: those of two clients.
//
// Two processors: DPDK's two threads poll, and on one they keep its start from getting done within minutes.
//
// VM: hugepages 110
// VM: processors 2
// VM: kernels 6.12
// VM: also sid

import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENT_MACS } from "../../bench/peers/system.ts";
import type { PortInfo, SwitchStats } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import type { Attached } from "../../src/ports/port.ts";
import { type DpdkClient, type PortCounters, requireDpdk, useDpdk } from "../support/dpdk.ts";
import { useNamespaces } from "../support/netns.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import type { Host } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { container, deviceName, requireVduse } from "../support/vduse.ts";

const LIMIT_MS = 240_000;
const MEMORY_MIB = 96;
/** Frames that tx_first sends. */
const CIRCLING = 2 * 8 * 32;
const ENOUGH = 5_000;
const PORTS = ["p0", "p1"];
const PLAIN = "packed_vq=0,mrg_rxbuf=0,in_order=0";
const MERGEABLE = "packed_vq=0,mrg_rxbuf=1,in_order=0";
/** testpmd answers for any address. */
const TESTPMD = "10.78.0.200";
/** Of frames that were on their way to a port whose driver ended. */
const LOSSES = ["link_down", "no_destination", "no_buffer"];

const startSwitch = useSwitch();
const namespace = useNamespaces();
const startClient = useDpdk({ memoryMib: MEMORY_MIB, eal: ["--iova-mode=va"] });

let ringyard: SwitchProcess;
let paths: string[];
let web: Host;
let control: ControlClient;

const port = async (name: string): Promise<PortInfo> => (await control.request("port.show", { name })).port;
const stats = async (): Promise<SwitchStats> => await control.request("stats", {});

async function connect(): Promise<void> {
  control?.close();
  control = await ControlClient.connect(ringyard.control);
}

async function client(virtio = PLAIN): Promise<DpdkClient> {
  return await startClient([
    { path: paths[0], virtio },
    { path: paths[1], virtio },
  ]);
}

async function carriers(up: boolean): Promise<void> {
  const all = async () => (await Promise.all(PORTS.map(port))).every(({ carrier }) => carrier === up);
  await until(`both ports ${up ? "up" : "down"}`, all, { timeoutMs: 20_000, context: () => ringyard.output });
}

async function received(driver: DpdkClient, before: PortCounters[] = []): Promise<void> {
  const enough = async () => (await driver.counters()).every(({ rx }, k) => rx > (before[k]?.rx ?? 0) + ENOUGH);
  await until("frames on both ports", enough, { everyMs: 100, context: () => driver.output });
}

/** Lets frames circle until both ports have received enough more; returns how much both sides have counted meanwhile. */
async function circle(driver: DpdkClient): Promise<[PortCounters[], PortInfo[], PortInfo[]]> {
  const [before, portsBefore] = [await driver.counters(), await Promise.all(PORTS.map(port))];
  driver.circle();
  await received(driver, before);
  await driver.stop();
  const counters = (await driver.counters()).map(({ rx, tx, txBytes }, k) => ({
    rx: rx - before[k].rx,
    tx: tx - before[k].tx,
    txBytes: txBytes - before[k].txBytes,
  }));
  const settled = async () => {
    const { rxFrames, copies, txFrames, dropped } = (await stats()).totals;
    const ports = await Promise.all(PORTS.map(port));
    const fetched = ports.every((now, k) => now.rxFrames - portsBefore[k].rxFrames >= counters[k].tx);
    return fetched && rxFrames + copies === txFrames + dropped ? ports : undefined;
  };
  return [counters, portsBefore, await until("the last frames", settled, { everyMs: 50 })];
}

requireVduse()("DPDK virtio-user on /dev/vhost-vdpa", () => {
  requireDpdk()("testpmd", () => {
    beforeAll(async () => {
      const uris = PORTS.map((name, k) => [name, `vduse:${deviceName()}?mac=${CLIENT_MACS[k]}`]);
      ringyard = await startSwitch({ ...Object.fromEntries(uris), web: `vduse:${deviceName()}` });
      paths = [];
      for (const name of PORTS) paths.push((await ringyard.ctl<Attached>("attach", name, "--vm")).vm!.path);
      web = await container(ringyard, "web", await namespace(), 1);
      await connect();
    }, LIMIT_MS);
    afterAll(() => control?.close());

    for (const [what, virtio] of [
      ["plain", PLAIN],
      ["mergeable", MERGEABLE],
    ]) {
      test(
        `frames circle in ${what} buffers, and both sides agree`,
        async () => {
          const driver = await client(virtio);
          await carriers(true);
          const [counters, before, after] = await circle(driver);
          after.forEach((now, k) => {
            expect(now.rxFrames - before[k].rxFrames).toBe(counters[k].tx);
            // Not all of one size: what the container's kernel says unasked circles, too.
            expect(now.rxBytes - before[k].rxBytes).toBe(counters[k].txBytes);
            // What was delivered it has read, but for what lies in its rings.
            const unread = now.txFrames - before[k].txFrames - counters[k].rx;
            expect(unread).toBeGreaterThanOrEqual(0);
            expect(unread).toBeLessThanOrEqual(CIRCLING);
            expect(now.drops).toEqual(before[k].drops);
            expect(now.errors).toEqual({});
            const state = { attached: "vhost-vdpa", deviceState: "running", queueSizes: ["1024", "1024"] };
            expect(now.details).toMatchObject(state);
            expect((now.details.features as string[]).includes("MRG_RXBUF")).toBe(virtio === MERGEABLE);
          });
          await driver.quit();
          await carriers(false);
        },
        LIMIT_MS,
      );
    }

    test(
      "a container's pings come back with the bytes that were sent",
      async () => {
        const driver = await client();
        await carriers(true);
        driver.type("set fwd icmpecho", "start");
        // ping(8) compares what comes back with what it sent, and fails for a loss. One to a process: why, traffic.ts says.
        for (const [size, pattern] of [
          [56, "5aa5"],
          [777, "00c3"],
          [1472, "0123456789abcdef"],
        ]) {
          const words = ["-c", "1", "-W", "10", "-M", "do", "-s", `${size}`, "-p", `${pattern}`];
          for (let count = 0; count < 3; count++) {
            const { stdout } = await web.inside.run(["ping", ...words, TESTPMD]);
            expect(stdout).toContain("1 received");
            expect(stdout).not.toContain("wrong data");
          }
        }
        await driver.quit();
      },
      LIMIT_MS,
    );

    test(
      "a client that is killed under load leaves the ports to the next one",
      async () => {
        const killed = await client();
        await carriers(true);
        killed.circle();
        await received(killed);
        await killed.kill();
        await carriers(false);
        const driver = await client();
        await carriers(true);
        await circle(driver);
        for (const { drops, errors } of await Promise.all(PORTS.map(port))) {
          expect(errors).toEqual({});
          for (const reason of Object.keys(drops)) expect(LOSSES).toContain(reason);
        }
        await driver.quit();
      },
      LIMIT_MS,
    );

    test(
      "a switch that is killed under load, or ends, finds its place in the rings again",
      async () => {
        const driver = await client();
        for (const end of ["SIGKILL", "SIGTERM"]) {
          await carriers(true);
          driver.circle();
          await received(driver, await driver.counters());
          if (end === "SIGKILL") await ringyard.kill();
          else expect(await ringyard.stop()).toBe(0);
          await driver.stop();
          await ringyard.start();
          await connect();
        }
        await carriers(true);
        const [, , ports] = await circle(driver);
        for (const { details, errors } of ports) {
          expect(details.adopted).toBe(true);
          expect(errors).toEqual({});
        }
        await driver.quit();
        await ringyard.ctl("down", "--remove");
      },
      LIMIT_MS,
    );
  });
});
