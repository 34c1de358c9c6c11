// NICs taken from the kernel's drivers and given back, on a real kernel with a real IOMMU: by the command, by ports, and a hundred times
// by what both call; also after a process that drove one was killed.
//
// VM: nics
// VM: kernels 6.12
// VM: also sid build

import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { GivenBack, HostNic } from "../../src/core/nics.ts";
import { machineNics } from "../../src/ports/vfio/bind/binder.ts";
import { RECORDS } from "../../src/ports/vfio/bind/records.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { nicNamed, putBack, requireNics, takeAway } from "../support/nics.ts";
import { type Finished, run, useProcesses } from "../support/process.ts";
import { ringyard } from "../support/ringyard.ts";
import { sized } from "../support/scale.ts";
import { RINGYARD, useSwitch } from "../support/switch.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 240_000;
const CYCLES = sized(10, 100);
const PCI = "/sys/bus/pci/devices";

const suite = requireNics("virtio-net-pci", "e1000e");
const defer = useCleanup();
const spawn = useProcesses();
const startSwitch = useSwitch();
const admin = machineNics();

const find = (address: string): HostNic => admin.list().find((nic) => nic.address === address)!;
const records = () => (existsSync(RECORDS) ? readdirSync(RECORDS) : []);
const text = (path: string) => readFileSync(path, "utf8").trim();

async function done(...words: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await ringyard("nic", ...words);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return stdout;
}

async function refused(...words: string[]): Promise<Pick<Finished, "stderr" | "exitCode">> {
  const { stdout, stderr, exitCode } = await ringyard("nic", ...words);
  expect(stdout).toBe("");
  return { stderr, exitCode };
}

suite("the machine's NICs", () => {
  test(
    "are listed with drivers, groups, and why not",
    async () => {
      const nics = JSON.parse(await done("list", "--json")) as HostNic[];
      const [virtio, e1000e, shared, twin, other] = ["virtio0", "e1000e0", "shared0", "shared1", "other"].map(
        (id) => nics.find(({ address }) => address === nicNamed(id).address)!,
      );
      expect(virtio).toMatchObject({ driver: "virtio-pci", drivenAs: "virtio-net-pci", usable: true, taken: false });
      expect(e1000e).toMatchObject({
        driver: "e1000e",
        drivenAs: "e1000e",
        usable: true,
        neighbours: [],
        problems: [],
      });
      for (const { address, netdevs } of [virtio, e1000e]) {
        expect(netdevs).toHaveLength(1);
        const { mac } = ["virtio0", "e1000e0"].map(nicNamed).find((nic) => nic.address === address)!;
        expect(text(`/sys/class/net/${netdevs[0].name}/address`)).toBe(mac);
      }
      expect(shared).toMatchObject({ usable: false, group: twin.group, neighbours: [{ address: twin.address }] });
      expect(shared.problems.map(({ about }) => about)).toEqual(["group"]);
      expect(other.problems.map(({ about }) => about)).toEqual(["driver"]);
      const table = await done("list");
      expect(table).toMatch(
        new RegExp(`^${e1000e.address} +8086:10d3 +e1000e +eth\\d+ +\\d+ +yes +driven as e1000e`, "m"),
      );
      expect(table).toContain(`is shared with ${twin.address} (virtio-pci)`);
    },
    LIMIT_MS,
  );

  test.each(["e1000e0", "virtio0"].slice(0, sized(1, 2)))(
    "%s is taken and given back by the command, once each",
    async (id) => {
      const { address, mac } = nicNamed(id);
      const { driver, group } = find(address);
      expect(await done("take", address)).toMatch(
        new RegExp(`^${address}: ${driver} -> vfio-pci \\(eth\\d+ is gone\\)\n$`),
      );
      expect(find(address)).toMatchObject({ driver: "vfio-pci", taken: true, usable: true, netdevs: [] });
      expect(existsSync(`/dev/vfio/${group}`)).toBe(true);
      expect(await done("take", address)).toBe(`${address}: was taken before\n`);
      expect(await done("give", address)).toMatch(
        new RegExp(`^${address}: vfio-pci -> ${driver} \\(eth\\d+ is back\\)\n$`),
      );
      const { netdevs, taken } = find(address);
      expect({ taken, mac: text(`/sys/class/net/${netdevs[0].name}/address`) }).toEqual({ taken: false, mac });
      expect(text(`${PCI}/${address}/driver_override`)).toBe("(null)");
      expect(await done("give", address)).toBe(`${address}: has ${driver}, nothing to do\n`);
      expect(records()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "are left alone while the host uses them, unless forced",
    async () => {
      const { address } = nicNamed("e1000e0");
      const { name } = find(address).netdevs[0];
      await run(["ip", "addr", "add", "10.99.0.1/24", "dev", name]);
      await run(["ip", "link", "set", name, "up"]);
      const busy = `ringyard: ${address}: the host uses it: ${name} has 10.99.0.1/24`;
      const { stderr, exitCode } = await refused("take", address);
      expect({ exitCode, begins: stderr.startsWith(busy), stderr }).toMatchObject({ exitCode: 1, begins: true });
      expect(stderr).toContain("--force");
      expect(find(address).driver).toBe("e1000e");
      await done("take", address, "--force");
      await done("give", address);
      expect(find(address).warnings).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "are root's to take",
    async () => {
      const { address } = nicNamed("e1000e0");
      const [bun, main] = RINGYARD;
      const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const { stderr, exitCode } = await run([...nobody, bun, main, "nic", "take", address], { allowFailure: true });
      expect(stderr).toMatch(
        new RegExp(`^ringyard: ${address}: cannot write .*: taking a NIC needs root: sudo ringyard\n$`),
      );
      expect({ exitCode, driver: find(address).driver }).toEqual({ exitCode: 1, driver: "e1000e" });
    },
    LIMIT_MS,
  );

  test(
    "of one group go together or not at all",
    async () => {
      const [a, b] = [nicNamed("shared0").address, nicNamed("shared1").address];
      const { stderr } = await refused("take", a);
      expect(stderr).toContain(`its IOMMU group ${find(a).group} is shared with ${b} (virtio-pci)`);
      const taken = JSON.parse(await done("take", a, b, "--json"));
      expect(taken.changes.map(({ address, driver }: HostNic) => [address, driver])).toEqual([
        [a, "vfio-pci"],
        [b, "vfio-pci"],
      ]);
      expect(find(a)).toMatchObject({ usable: true, problems: [] });
      await admin.give(b);
      expect(find(a)).toMatchObject({ usable: false, taken: true });
      await admin.give(a);
    },
    LIMIT_MS,
  );

  test(
    "that are driven are not touched; what a killed process left is given back by --all",
    async () => {
      const { address } = nicNamed("virtio0");
      await admin.take(address);
      defer(() => admin.giveAll());
      const holder = spawn(["bash", "-c", `exec 9<>/dev/vfio/${find(address).group}; echo held; exec sleep 1000`]);
      await holder.says("held");
      await until("the program to be sleep", () => find(address).users[0]?.command === "sleep");
      const busy = `ringyard: ${address}: process ${holder.pid} (sleep) drives it`;
      for (const verb of ["take", "give"]) {
        const { stderr, exitCode } = await refused(verb, address);
        expect({ exitCode, begins: stderr.startsWith(busy), stderr }).toMatchObject({ exitCode: 1, begins: true });
      }
      expect(await admin.giveAll()).toEqual({ given: [], failed: [], served: [address] } satisfies GivenBack);
      await holder.stop("SIGKILL");
      expect(await done("give", "--all")).toBe(`given back: ${address}\n`);
      expect(find(address)).toMatchObject({ driver: "virtio-pci", taken: false });
      expect(await done("give", "--all")).toBe("");
      expect(records()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "that a switch drives are the switch's, and after it was killed --all gives them back",
    async () => {
      const { address } = nicNamed("e1000e0");
      const ringyardUp = await startSwitch({ uplink: `vfio:${address}` });
      expect(find(address)).toMatchObject({ taken: true, users: [{ pid: ringyardUp.pid }] });
      const { stderr, exitCode } = await refused("give", address);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`${ringyardUp.pid}`) });
      expect(await admin.giveAll()).toMatchObject({ given: [], served: [address] });
      await ringyardUp.kill();
      expect(find(address)).toMatchObject({ taken: true, users: [] });
      expect(await done("give", "--all")).toBe(`given back: ${address}\n`);
      expect(find(address)).toMatchObject({ driver: "e1000e", taken: false });
    },
    LIMIT_MS,
  );

  test(
    "that a port took by itself are given back by it, those that a person took are not",
    async () => {
      const [byPort, byPerson] = [nicNamed("e1000e0").address, nicNamed("virtio0").address];
      await admin.take(byPerson);
      defer(() => admin.giveAll());
      const ringyardUp = await startSwitch({ a: `vfio:${byPort}`, b: `vfio:${byPerson}` });
      expect([byPort, byPerson].map((address) => find(address).taken)).toEqual([true, true]);
      expect(await ringyardUp.stop()).toBe(0);
      expect([byPort, byPerson].map((address) => find(address).driver)).toEqual(["e1000e", "vfio-pci"]);
      expect(await done("give", "--all")).toBe(`given back: ${byPerson}\n`);
    },
    LIMIT_MS,
  );

  test.each(["e1000e1", "virtio1"])(
    `%s is taken and given ${CYCLES} times, and nothing is left behind`,
    async (id) => {
      const { address, mac } = nicNamed(id);
      const { driver } = find(address);
      const cycle = async () => {
        expect(await admin.take(address)).toMatchObject({ changed: true, driver: "vfio-pci" });
        expect(await admin.give(address)).toMatchObject({
          changed: true,
          driver,
          netdevs: [expect.stringMatching(/^eth/)],
        });
      };
      await cycle();
      const before = holdings();
      for (let count = 1; count < CYCLES; count++) await cycle();
      expect(heldDifference(before, holdings())).toEqual([]);
      expect(text(`/sys/class/net/${find(address).netdevs[0].name}/address`)).toBe(mac);
      expect(records()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "one that was pulled out is forgotten, and its successor is the kernel's",
    async () => {
      const { address, id } = nicNamed("e1000e1");
      await admin.take(address);
      await takeAway(id);
      const now = await putBack(id);
      expect(now).toBe(address);
      await until("the kernel's driver to have it", () => find(address).driver === "e1000e");
      expect(await admin.giveAll()).toMatchObject({ failed: [], served: [] });
      expect(find(address)).toMatchObject({ driver: "e1000e", taken: false });
      expect(records()).toEqual([]);
    },
    LIMIT_MS,
  );
});
