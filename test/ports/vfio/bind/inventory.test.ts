// What `nic list` says of a machine that stands in a folder: names, drivers, groups, and why a NIC cannot be driven.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { inspectNic, listNics } from "../../../../src/ports/vfio/bind/inventory.ts";
import { FakeMachine } from "./fake-machine.ts";

const E1000E = "0000:03:00.0";
const VIRTIO = "0000:01:00.0";

let machine: FakeMachine;
beforeEach(() => {
  machine = new FakeMachine();
});
afterEach(() => machine.remove());

const none = () => new Map<string, string[]>();
const list = (addresses: () => ReadonlyMap<string, string[]> = none) => listNics({ machine, addresses });
const only = (addresses?: () => ReadonlyMap<string, string[]>) => list(addresses)[0];

test("network devices alone are listed, in the order of the bus, with what the kernel made of them", () => {
  machine.driver("vfio-pci");
  machine.device(E1000E, { ids: "8086:10d3", driver: "e1000e", group: 18, netdev: "eth9" });
  machine.device(VIRTIO, { ids: "1af4:1041", driver: "virtio-pci", group: 16, netdev: "eth4" });
  machine.device("0000:00:1f.2", { ids: "8086:2922", class: "0x010601", driver: "ahci", group: 15 });
  expect(list()).toMatchObject([
    {
      address: VIRTIO,
      driver: "virtio-pci",
      group: "16",
      netdevs: [{ name: "eth4" }],
      drivenAs: "virtio-net-pci",
      usable: true,
    },
    { address: E1000E, driver: "e1000e", group: "18", netdevs: [{ name: "eth9" }], drivenAs: "e1000e", usable: true },
  ]);
  expect(list().map(({ taken, warnings, problems }) => ({ taken, warnings, problems }))).toEqual(
    Array(2).fill({ taken: false, warnings: [], problems: [] }),
  );
});

test("names come from pci.ids, of the device where it is known and else of the vendor", () => {
  machine.device(E1000E, { ids: "8086:10d3" });
  expect(only().name).toBeUndefined();
  machine.file(
    "usr/share/misc/pci.ids",
    "# a comment\n10d3  Not Intel\n8086  Intel Corporation\n\t10d2  Before\n\t10d3  82574L Gigabit\n\t\t8086 10d3  Sub\n8087  Next\n\t10d4  Foreign",
  );
  expect(only().name).toBe("Intel Corporation 82574L Gigabit");
  machine.device(E1000E, { ids: "8086:10d4" });
  expect(only().name).toBe("Intel Corporation 10d4");
  machine.device(E1000E, { ids: "1234:10d4" });
  expect(only().name).toBeUndefined();
});

test("each thing that is missing is a problem of its own, with what to do", () => {
  machine.device(E1000E, { ids: "8086:100e", driver: "e1000" });
  const { usable, problems } = only();
  expect(usable).toBe(false);
  expect(problems.map(({ about, code }) => [about, code])).toEqual([
    ["driver", "UNSUPPORTED"],
    ["iommu", "MISSING"],
    ["module", "MISSING"],
  ]);
  expect(problems[0].message).toContain("8086:100e");
  expect(problems[1].next).toContain("intel_iommu=on");
  expect(problems[2].next).toBe("modprobe vfio-pci");
});

test("the ids of each driver are known, and no others", () => {
  const drivenAs = (ids: string) => {
    machine.device(E1000E, { ids });
    return only().drivenAs;
  };
  expect(["1af4:1041", "1af4:1000", "8086:10d3", "8086:10c9"].map(drivenAs)).toEqual([
    "virtio-net-pci",
    "virtio-net-pci",
    "e1000e",
    "igb",
  ]);
  expect(["1af4:1042", "8086:1041", "1af4:10d3", "8086:10d4"].map(drivenAs)).toEqual(Array(4).fill(undefined));
});

test("a group is shared with what another driver has, not with bridges and what was taken", () => {
  machine.driver("vfio-pci");
  machine.device(VIRTIO, { ids: "1af4:1041", driver: "virtio-pci", group: 7 });
  machine.device("0000:00:01.0", { ids: "1b36:000c", class: "0x060400", driver: "pcieport", group: 7 });
  machine.device("0000:01:00.1", { ids: "1af4:1041", driver: "vfio-pci", group: 7 });
  machine.device("0000:01:00.2", { ids: "1af4:1045", class: "0x00ff00", group: 7 });
  machine.device("0000:09:00.0", { ids: "8086:1234", class: "0x040300", driver: "snd", group: 8 });
  expect(inspectNic({ machine, addresses: none }, VIRTIO)).toMatchObject({ usable: true });
  machine.device("0000:01:00.3", { ids: "8086:1234", class: "0x040300", driver: "snd", group: 7 });
  const { usable, problems, neighbours } = inspectNic({ machine, addresses: none }, VIRTIO);
  expect(usable).toBe(false);
  expect(problems.map(({ message }) => message)).toEqual(["its IOMMU group 7 is shared with 0000:01:00.3 (snd)"]);
  expect(neighbours).toHaveLength(4);
});

test("what the host uses it for is said: addresses, default routes, bridges", () => {
  machine.driver("vfio-pci");
  machine.device(E1000E, { ids: "8086:10d3", driver: "e1000e", group: 18, netdev: "eth9" });
  const header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT";
  const v6 = (to: string, device: string) => `${to} 00 ${"0".repeat(32)} 00 ${"0".repeat(32)} 00000400 1 0 3 ${device}`;
  const zero = "0".repeat(32);
  machine.file("proc/net/route", `${header}\neth9\t000A0A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0`);
  machine.file("proc/net/ipv6_route", v6(zero, "lo"));
  expect(only().warnings).toEqual([]);
  expect(only(() => new Map([["eth9", ["10.0.0.1/24", "fd00::1/64"]]])).warnings).toEqual([
    "eth9 has 10.0.0.1/24, has fd00::1/64",
  ]);
  machine.file("proc/net/route", `${header}\neth9\t00000000\t010A0A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0`);
  expect(only().warnings).toEqual(["eth9 carries the default route"]);
  machine.file("proc/net/route", header);
  machine.file("proc/net/ipv6_route", v6(zero, "eth9"));
  machine.symlink("sys/class/net/eth9/master", "../br0");
  expect(only().warnings).toEqual(["eth9 carries the default route, belongs to br0"]);
});

test("whoever drives a taken one is named, by group and by character device", () => {
  machine.driver("vfio-pci");
  machine.device(E1000E, { ids: "8086:10d3", driver: "vfio-pci", group: 18 });
  machine.process(77, "bun", "/dev/null", "/dev/vfio/18");
  machine.process(78, "bun", "/dev/vfio/19", "/dev/vfio/vfio");
  expect(only()).toMatchObject({
    taken: true,
    users: [{ pid: 77, command: "bun" }],
    warnings: ["process 77 (bun) uses it"],
  });
  machine.file("sys/bus/pci/devices/0000:03:00.0/vfio-dev/vfio4/dev", "1:2");
  machine.process(79, "qemu", "/dev/vfio/devices/vfio4");
  expect(only().users.map(({ pid }) => pid)).toEqual([77, 79]);
});
