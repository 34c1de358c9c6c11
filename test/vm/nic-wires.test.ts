// The wires of the machine's NICs, before ringyard drives any: NIC and partner, both in the kernel's hands, pass what a NIC passes. And
// what is done to them from outside: cables pulled, a NIC taken away and put back.
//
// VM: nics
// VM: qemu backports
// VM: kernels 6.12
// VM: also sid build

import { expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { WIRE_MTU } from "../../scripts/vm/nics.ts";
import { useNamespaces } from "../support/netns.ts";
import { nicAddress, nics, putBack, requireNics, setCable, takeAway } from "../support/nics.ts";
import { qmp } from "../support/qmp.ts";
import { askNeighbours } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 300_000;
const JUMBO = 9000;
/** IPv4 and ICMP headers before a ping's bytes. */
const PING_HEADERS = 28;
const PING_WAIT_S = 20;
const MODELS = ["virtio-net-pci", "e1000e", "igb"] as const;

const suite = requireNics(...MODELS);
const namespace = useNamespaces();
const netdev = (address: string) => {
  const device = `/sys/bus/pci/devices/${address}`;
  const virtio = readdirSync(device).find((name) => /^virtio\d+$/.test(name));
  return readdirSync(virtio === undefined ? `${device}/net` : `${device}/${virtio}/net`)[0];
};
const carrier = (name: string) => readFileSync(`/sys/class/net/${name}/carrier`, "utf8").trim();

suite("the wires of the NICs", () => {
  test.each(MODELS)(
    "%s and its partner hear each other, in long frames too",
    async (model) => {
      const [{ address, partner }] = nics(model);
      const [near, far] = [await namespace(), await namespace()];
      const name = netdev(address);
      await Bun.$`ip link set ${name} netns ${near.name}`;
      await Bun.$`ip link set ${partner.netdev} netns ${far.name}`;
      await askNeighbours(near, name, PING_WAIT_S);
      await askNeighbours(far, partner.netdev, PING_WAIT_S);
      await near.configure(name, "10.88.0.1/24", JUMBO);
      await far.configure(partner.netdev, "10.88.0.2/24", JUMBO);
      await until("the link to be up", async () => (await near.ip(`link show ${name}`)).includes("LOWER_UP"));
      for (const size of [56, 1500 - PING_HEADERS, JUMBO - PING_HEADERS]) {
        const words = ["-M", "do", "-c", "1", "-W", `${PING_WAIT_S}`, "-s", `${size}`];
        // It fails for a loss. One to a process: why, traffic.ts says.
        for (let count = 0; count < 3; count++) await near.run(["ping", ...words, "10.88.0.2"]);
      }
      // A socket that a killed program left may hold a namespace for minutes. Its NIC is back at once.
      const held = openSync(far.path, "r");
      near.remove();
      far.remove();
      expect(existsSync(`/sys/class/net/${partner.netdev}`)).toBe(true);
      expect(existsSync(`/sys/class/net/${name}`)).toBe(true);
      closeSync(held);
    },
    LIMIT_MS,
  );

  test("are no limit to a frame's length", async () => {
    const [{ partner }] = nics("virtio-net-pci");
    await Bun.$`ip link set ${partner.netdev} mtu ${WIRE_MTU}`;
    await Bun.$`ip link set ${partner.netdev} mtu 1500`;
  });

  test("carry what asks for segmentation, on virtio: tap and device agreed on it", async () => {
    const [{ address, partner }] = nics("virtio-net-pci");
    for (const name of [netdev(address), partner.netdev]) {
      const features = await Bun.$`ethtool -k ${name}`.text();
      expect(features).toMatch(/^tcp-segmentation-offload: on/m);
      expect(features).toMatch(/^tx-checksumming: on/m);
    }
    expect(await Bun.$`ethtool -l ${netdev(address)}`.text()).toMatch(/Combined:\s+4/);
  });

  test(
    "are pulled and plugged at both ends",
    async () => {
      const [{ id, address, partner }] = nics("e1000e");
      const ends = [netdev(address), partner.netdev];
      for (const end of ends) await Bun.$`ip link set ${end} up`;
      for (const up of [false, true]) {
        await until("the links to be up", () => ends.every((end) => carrier(end) === "1"));
        if (up) break;
        await setCable(id, false);
        await until("the links to be down", () => ends.every((end) => carrier(end) === "0"));
        await setCable(id, true);
      }
      for (const end of ends) await Bun.$`ip link set ${end} down`;
    },
    LIMIT_MS,
  );
});

suite("the machine's QEMU", () => {
  test("answers, and says what it cannot do", async () => {
    expect(await qmp("query-status")).toMatchObject({ running: true });
    expect(await qmp("query-nonsense").catch((error: Error) => error.message)).toContain("has not been found");
    const both = await Promise.all([qmp("query-name"), qmp("query-status")]);
    expect(both[1]).toMatchObject({ status: "running" });
  });

  test.each(MODELS)(
    "takes %s away and puts it back where it was, five times",
    async (model) => {
      const [, { id, address }] = nics(model);
      for (let count = 0; count < 5; count++) {
        await takeAway(id);
        await until("it to be gone", () => nicAddress(id) === undefined);
        expect(await putBack(id)).toBe(address);
        await until("its driver", () => existsSync(`/sys/bus/pci/devices/${address}/driver`));
      }
    },
    LIMIT_MS,
  );
});
