// The drivers of Intel's NICs on a real kernel, QEMU's devices and an emulated IOMMU, without a switch: two NICs, and this process
// hands what comes in at one to the other. Their partners are devices of two network namespaces.
//
//   namespace a - partner ══ e1000e0 - driver - this loop - driver - e1000e1 ══ partner - namespace b
//
// VM: nics
// VM: qemu backports
// VM: kernels 6.12
// VM: also sid build

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WindowTable } from "../../src/mem/window.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { NicEnd, useNicBridge } from "../support/nic-bridge.ts";
import { dmaFaults, partnerHost, requireNics, setCable } from "../support/nics.ts";
import { useProcesses } from "../support/process.ts";
import { sized } from "../support/scale.ts";
import { asleep, drained, drainedFor } from "../support/sleeping-lane.ts";
import { useSwitch } from "../support/switch.ts";
import { address, iperf, ping, randomFile, transfer, udp } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 400_000;
const FILE_SIZE = 2_000_000;
const MODELS = ["e1000e", "igb"] as const;
/**
 * Those that all is done to: one driver serves both, so the other one shows in the small scale what only it has: several queues, other
 * interrupt registers, other descriptors.
 */
const THOROUGH = MODELS.slice(0, sized(1, MODELS.length));
const STREAM = `${sized(5, 10)}M`;

const startSwitch = useSwitch();
const spawn = useProcesses();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-intel-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Drives a NIC until it is killed. */
const DRIVER = (address: string) => `
  const { NicEnd } = await import("${import.meta.dir}/../support/nic-bridge.ts");
  const { WindowTable } = await import("${import.meta.dir}/../../src/mem/window.ts");
  const end = await NicEnd.open("${address}", new WindowTable());
  console.log("driving");
  setInterval(() => end, 1000);`;

describe.each(MODELS)("%s", (model) => {
  requireNics(model)("on its own", () => {
    const namespace = useNamespaces();
    const { left, bridged } = useNicBridge(model);

    test(
      "carries jumbo frames",
      () =>
        bridged({ mtu: 9000, queues: model === "igb" ? 4 : 1 }, async (a, b, { a: end }) => {
          expect([end.nic.pairs, end.nic.maxFrame]).toEqual([model === "igb" ? 4 : 1, 9022]);
          await ping(a, b.ip, 8972, true);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          await iperf(a, b, "-n", STREAM, "-P", "16");
          // What comes in is spread over the queues, if not over all: the hash is linear, and the ports of the connections
          // are neighbours, which may meet in two queues.
          const used = end.received.filter((count) => count > 0).length;
          expect(used).toBeGreaterThanOrEqual(Math.min(2, end.nic.pairs));
        }),
      LIMIT_MS,
    );

    test(
      "calls a driver that sleeps, tells of the cable, and changes address and filter",
      () =>
        bridged({}, async (a, b, bridge) => {
          await ping(a, b.ip);
          await bridge.end();
          const { nic, lanes, windows } = bridge.a;
          const [lane] = lanes;
          await asleep(lane);
          const asking = a.inside.run(["ping", "-c", "1", "-W", "1", b.ip], { allowFailure: true });
          await until("the interrupt", () => clearSignal(lane.wakeFd));
          lane.disarm();
          await asking;
          expect(drained(lane)).toBeGreaterThan(0);

          const fd = bridge.a.device.interruptFd(nic.managementVector);
          expect(nic.link().up).toBe(true);
          clearSignal(fd);
          await setCable(left.id, false);
          await until("the interrupt of the link", () => clearSignal(fd) && !nic.link().up);
          await setCable(left.id, true);
          await until("the link to come", () => clearSignal(fd) && nic.link().up);

          // Without promiscuous mode, frames for others stay outside.
          nic.setMac("52:54:00:99:99:99");
          nic.setPromisc(false);
          // Others ask for neighbours meanwhile, of everybody.
          const arrives = async (mac: string) => {
            await a.inside.ip(`neigh replace 10.78.0.9 lladdr ${mac} dev eth0`);
            await until("silence", () => drained(lane) === 0);
            await a.inside.run(["ping", "-c", "1", "-W", "1", "10.78.0.9"], { allowFailure: true });
            return drainedFor(mac, lane, windows) > 0;
          };
          await a.inside.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"]);
          await until("frames to its address", () => arrives("52:54:00:99:99:99"));
          expect(await arrives("52:54:00:99:99:98")).toBe(false);
          nic.setPromisc(true);
          await until("frames to others", () => arrives("52:54:00:99:99:98"));
        }),
      LIMIT_MS,
    );

    test(
      "sends a container's super-frames and partial checksums as the wire wants them",
      async () => {
        const inside = await namespace();
        const far = await partnerHost(left, await namespace(), 2);
        const switching = await startSwitch({
          uplink: `vfio:${left.address}`,
          web: `tap:eth0?netns=${inside.name}`,
        });
        await until("the link", async () => (await switching.port("uplink")).carrier);
        const near = await address(inside, 1);
        await ping(near, far.ip);
        await udp(near, far);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(near, far, path)).toBe(print);
        expect(await transfer(near, far, path, far.ip6)).toBe(print);
        const hardware = (await switching.port("uplink")).details.hardware as unknown as Record<string, number>;
        expect(hardware.tx_tso).toBeGreaterThan(10);
        expect(hardware.tx_tso_failed).toBe(0);
        expect(await switching.stop()).toBe(0);
        far.inside.remove();
      },
      LIMIT_MS,
    );

    if (!THOROUGH.includes(model)) return;

    test(
      "carries pings, UDP and TCP both ways",
      () =>
        bridged({}, async (a, b, { a: end }) => {
          expect([end.nic.mac, end.nic.pairs, end.nic.maxFrame]).toEqual([left.mac, 1, 1522]);
          expect(end.nic.link()).toEqual({ up: true, speedMbps: 1000, fullDuplex: true });
          await ping(a, b.ip);
          await ping(b, a.ip6);
          await ping(a, b.ip, 6000);
          await udp(a, b);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          expect(await transfer(b, a, path)).toBe(print);
          const start = performance.now();
          const bytes = await iperf(a, b, "-n", STREAM);
          console.log(`TCP: ${((bytes * 8) / (performance.now() - start) / 1000).toFixed(0)} Mbit/s`);
          const counters = end.nic.counters();
          expect(counters.rx_good_packets).toBeGreaterThan(100);
          expect(counters.tx_good_packets).toBeGreaterThan(100);
          expect(counters.rx_crc_errors).toBe(0);
        }),
      LIMIT_MS,
    );

    test.each(["msi", "intx"] as const)(
      "moves frames, and calls who sleeps and tells of the cable, where it has %s only",
      (kind) =>
        bridged({ interrupts: kind }, async (a, b, bridge) => {
          const { device, nic, lanes } = bridge.a;
          const [lane] = lanes;
          expect([device.interruptKind, device.interruptCount, nic.pairs]).toEqual([kind, 1, 1]);
          await ping(a, b.ip);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          await bridge.end();
          // One line for everything: who handles it says what it was, and wakes the lane.
          const fd = device.interruptFd(nic.managementVector);
          // More than once: the kernel masks INTx whenever it fires.
          for (let turn = 0; turn < 3; turn++) {
            await asleep(lane, () => {
              nic.link();
              clearSignal(fd);
            });
            const asking = a.inside.run(["ping", "-c", "1", "-W", "1", b.ip], { allowFailure: true });
            // Not every interrupt is the frame's.
            await until("the lane's wake-up", () => {
              if (clearSignal(fd)) nic.link();
              return clearSignal(lane.wakeFd);
            });
            expect(nic.link().up).toBe(true);
            lane.disarm();
            await asking;
            expect(drained(lane)).toBeGreaterThan(0);
          }
          await setCable(left.id, false);
          await until("the interrupt of the link", () => clearSignal(fd) && !nic.link().up);
          await setCable(left.id, true);
          await until("the link to come", () => clearSignal(fd) && nic.link().up);
        }),
      LIMIT_MS,
    );

    test(
      "left receiving by a driver that was killed, reaches no memory before the next one has reset it",
      async () => {
        const far = await partnerHost(left, await namespace(), 1);
        await far.inside.ip(`neigh replace 10.78.0.9 lladdr ${left.mac} dev eth0`);
        const flood = far.inside.spawn(["ping", "-f", "-q", "10.78.0.9"]);
        const before = dmaFaults().length;
        for (let life = 0; life < 3; life++) {
          const driver = spawn([process.execPath, "-e", DRIVER(left.address)]);
          await driver.says("driving", { timeoutMs: 30_000 });
          await driver.stop("SIGKILL");
        }
        // Before the kernel's driver has it: that one lets it reach memory first, and resets it then.
        (await NicEnd.open(left.address, new WindowTable())).close();
        await flood.stop("SIGINT");
        expect(dmaFaults().slice(before)).toEqual([]);
        far.inside.remove();
      },
      LIMIT_MS,
    );

    test(
      "is opened and closed without leaving anything",
      async () => {
        const windows = new WindowTable();
        const once = async () =>
          (await NicEnd.open(left.address, windows, { queues: model === "igb" ? 4 : 1 })).close();
        await once();
        const before = holdings();
        for (let turn = 0; turn < sized(5, 20); turn++) await once();
        expect(heldDifference(before, holdings())).toEqual([]);
      },
      LIMIT_MS,
    );
  });
});
