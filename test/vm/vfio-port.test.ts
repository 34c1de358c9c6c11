// A NIC as a port of the switch, each driver on a real kernel: a container on a TAP port and a host at the other end of the NIC's
// wire, who is the kernel's own driver, reach each other; cables are pulled, NICs taken away, the switch killed, with frames on
// their way. The runner fails a file after which the kernel complains, of a DMA fault for one.
//
// VM: kernels 6.12 build
// VM: also sid
// VM: nics
// VM: qemu backports

import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { useCleanup } from "../support/cleanup.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { type Nic, nics, partnerHost, putBack, requireNics, setCable, takeAway } from "../support/nics.ts";
import { sized } from "../support/scale.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { address, type Host, iperf, ping, randomFile, transfer } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 240_000;
const FILE_SIZE = sized(2_000_000, 4_000_000);
/**
 * TCP each way, and of it what has surely arrived when all is sent: all but what small buffers keep from a receiver that got no
 * processor. However fast: this does not judge speed.
 */
const STREAM = ["-n", "2M", "-w", "128K"];
const ARRIVED = 500_000;
const JUMBO = 9000;
/** IPv4 and ICMP headers before a ping's bytes. */
const PING_HEADERS = 28;
const EVERY = ["virtio-net-pci", "e1000e", "igb"] as const;
/** One for each driver; in the long run every device. */
const MODELS = EVERY.slice(0, sized(2, EVERY.length));
/** Its own in each life of the switch: its neighbours remember it. */
const TAP_MAC = "02:00:00:00:88:01";
/** Those that all is done to; in the long run with every one, and on every kernel. */
const THOROUGH = EVERY.slice(0, sized(process.env.RINGYARD_VM === "6.12" ? 1 : 0, EVERY.length));
const DOOR = process.env.RINGYARD_VM === "build" ? "iommufd" : "type1";

const start = useSwitch();
const makeNamespace = useNamespaces();
const defer = useCleanup();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-vfio-"));
defer(() => rmSync(scratch, { recursive: true, force: true }));
const suite = requireNics(...EVERY);

/** Of the test that runs. */
let ringyards: SwitchProcess[] = [];
let namespaces: Namespace[] = [];
/** Makes a NIC again what the machine began with. */
let restore: (() => Promise<void>) | undefined;

async function startSwitch(ports: Record<string, string>): Promise<SwitchProcess> {
  const ringyard = await start(ports);
  ringyards.push(ringyard);
  return ringyard;
}

async function namespace(): Promise<Namespace> {
  const made = await makeNamespace();
  namespaces.push(made);
  return made;
}

/** A NIC is one switch's, and its partner goes from namespace to namespace. */
afterEach(async () => {
  for (const ringyard of ringyards) await ringyard.stop();
  for (const each of namespaces) each.remove();
  await restore?.();
  restore = undefined;
  ringyards = [];
  namespaces = [];
}, LIMIT_MS);

/** The partner of a NIC, moved into a namespace of its own. */
async function farHost(nic: Nic, number: number, mtu?: number): Promise<Host> {
  return await partnerHost(nic, await namespace(), number, mtu);
}

/** Interrupts that the kernel has counted for a device. */
function interrupts({ address }: Nic): number {
  const lines = readFileSync("/proc/interrupts", "utf8").split("\n");
  const ours = lines.filter((line) => line.includes("vfio-") && line.includes(address));
  const counts = (line: string) => line.split(/\s+/).filter((word) => /^\d+$/.test(word));
  return ours.flatMap(counts).reduce((sum, count) => sum + Number(count), 0);
}

async function carrier(ringyard: SwitchProcess, up: boolean): Promise<void> {
  const there = async () => (await ringyard.port("uplink")).carrier === up;
  await until(`the link to be ${up ? "up" : "down"}`, there, { context: () => ringyard.output });
}

/** A switch with a NIC and a container, and who is at the other ends of them. */
async function connect(
  nic: Nic,
  query = "",
  mtu?: number,
): Promise<{ ringyard: SwitchProcess; near: Host; far: Host }> {
  const inside: Namespace = await namespace();
  const far = await farHost(nic, 2, mtu);
  const tap = `tap:eth0?netns=${inside.name}&mac=${TAP_MAC}${mtu === undefined ? "" : `&mtu=${mtu}`}`;
  const ringyard = await startSwitch({ uplink: `vfio:${nic.address}${query}`, web: tap });
  const near = await address(inside, 1);
  await carrier(ringyard, true);
  return { ringyard, near, far };
}

suite("a NIC as a port", () => {
  describe.each(MODELS)("%s", (model: NicModel) => {
    test(
      "moves pings, TCP and bytes between a container and the wire, and tells of it",
      async () => {
        const [nic] = nics(model);
        const { ringyard, near, far } = await connect(nic);
        await ping(near, far.ip);
        await ping(far, near.ip6);
        await ping(near, far.ip, 1500 - PING_HEADERS, true);
        const before = interrupts(nic);
        await ping(far, near.ip);
        expect(interrupts(nic)).toBeGreaterThan(before);
        for (const words of [[], ["-R"]]) expect(await iperf(near, far, ...STREAM, ...words)).toBeGreaterThan(ARRIVED);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(near, far, path)).toBe(print);
        expect(await transfer(far, near, path)).toBe(print);
        const port = await ringyard.port("uplink");
        expect(port.errors).toEqual({});
        expect(port.details).toMatchObject({ deviceState: "running", iommu: DOOR, deviceMac: nic.mac, promisc: true });
        expect(port.details.interrupts).toStartWith("msix");
        expect(port.details.dmaMiB).toBeGreaterThan(0);
        expect(port.details.link).toStartWith("up");
      },
      LIMIT_MS,
    );
  });

  describe.each([...THOROUGH])("%s", (model: NicModel) => {
    test(
      "takes jumbo frames where it is told to",
      async () => {
        const { near, far } = await connect(nics(model)[0], `?mtu=${JUMBO}`, JUMBO);
        await ping(near, far.ip, JUMBO - PING_HEADERS, true);
        await ping(far, near.ip, JUMBO - PING_HEADERS, true);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(far, near, path)).toBe(print);
      },
      LIMIT_MS,
    );

    test(
      "sees its cable pulled and plugged, and comes back from a port that goes under load",
      async () => {
        const [nic] = nics(model);
        const { ringyard, near, far } = await connect(nic);
        await setCable(nic.id, false);
        await carrier(ringyard, false);
        await setCable(nic.id, true);
        await carrier(ringyard, true);
        await ping(near, far.ip);
        for (let count = 0; count < 3; count++) {
          const flood = far.inside.spawn(["ping", "-f", "-q", near.ip]);
          const { rxFrames } = await ringyard.port("uplink");
          await until("the flood", async () => (await ringyard.port("uplink")).rxFrames > rxFrames + 50);
          await ringyard.request("port.del", { name: "uplink" });
          await ringyard.request("port.add", { name: "uplink", uri: `vfio:${nic.address}` });
          await carrier(ringyard, true);
          await flood.stop("SIGINT");
          await ping(near, far.ip);
        }
      },
      LIMIT_MS,
    );

    test(
      "is killed with frames on their way, and goes on in its next life",
      async () => {
        const { ringyard, near, far } = await connect(nics(model)[0]);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        const cut = far.inside.spawn(["ping", "-f", "-q", "-s", "8000", near.ip]);
        const flood = near.inside.spawn(["ping", "-f", "-q", "-s", "8000", far.ip]);
        const { txFrames } = await ringyard.port("uplink");
        await until("the floods", async () => (await ringyard.port("uplink")).txFrames > txFrames + 100);
        await ringyard.kill();
        for (const each of [cut, flood]) await each.stop("SIGINT");
        await ringyard.start();
        await carrier(ringyard, true);
        // A TAP device goes with its process: this is another one.
        await address(near.inside, 1);
        await ping(far, near.ip);
        expect(await transfer(near, far, path)).toBe(print);
      },
      LIMIT_MS,
    );

    test(
      "is taken away while traffic runs: the rest goes on, and another takes its place",
      async () => {
        const [nic] = nics(model);
        const { ringyard, near, far } = await connect(nic);
        const flood = far.inside.spawn(["ping", "-f", "-q", near.ip]);
        await until("the flood", async () => (await ringyard.port("uplink")).rxFrames > 50);
        await takeAway(nic.id);
        const gone = async () => (await ringyard.port("uplink")).details.deviceState === "taken back by the kernel";
        await until("the port to let go", gone, { context: () => ringyard.output });
        expect((await ringyard.port("web")).carrier).toBe(true);
        await flood.stop("SIGINT");
        const place = await putBack(nic.id);
        await ringyard.request("port.del", { name: "uplink" });
        await ringyard.request("port.add", { name: "uplink", uri: `vfio:${place}` });
        await carrier(ringyard, true);
        await ping(near, far.ip);
      },
      LIMIT_MS,
    );

    test(
      "is bridged with another",
      async () => {
        const [one, two] = nics(model);
        const [a, b] = [await farHost(one, 1), await farHost(two, 2)];
        const ringyard = await startSwitch({ uplink: `vfio:${one.address}`, other: `vfio:${two.address}` });
        await carrier(ringyard, true);
        await until("the other link", async () => (await ringyard.port("other")).carrier);
        await ping(a, b.ip);
        await ping(b, a.ip, 1500 - PING_HEADERS, true);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(a, b, path)).toBe(print);
        expect(await iperf(b, a, ...STREAM)).toBeGreaterThan(ARRIVED);
        for (const name of ["uplink", "other"]) expect((await ringyard.port(name)).errors).toEqual({});
      },
      LIMIT_MS,
    );
  });

  test.each(THOROUGH.filter((model) => model === "virtio-net-pci"))(
    "a %s without MSI-X works by INTx, one interrupt after the other, and tells of its cable",
    async (model) => {
      const { id } = nics(model)[0];
      const exchange = async (changes: Record<string, number>) => {
        await takeAway(id);
        await putBack(id, changes);
      };
      await exchange({ vectors: 0 });
      restore = () => exchange({});
      const [nic] = nics(model);
      const { ringyard, near, far } = await connect(nic);
      const before = interrupts(nic);
      // Each wakes a worker that sleeps: one that is not woken answers nobody any more.
      for (let round = 0; round < 5; round++) {
        await ping(near, far.ip);
        await ping(far, near.ip6);
      }
      expect(interrupts(nic)).toBeGreaterThan(before);
      const { path, print } = await randomFile(scratch, FILE_SIZE);
      expect(await transfer(near, far, path)).toBe(print);
      expect(await transfer(far, near, path)).toBe(print);
      await setCable(nic.id, false);
      await carrier(ringyard, false);
      await setCable(nic.id, true);
      await carrier(ringyard, true);
      await ping(far, near.ip);
      const { details, errors } = await ringyard.port("uplink");
      expect([details.interrupts, errors]).toEqual(["intx, 1 of 1", {}]);
    },
    LIMIT_MS,
  );
});
