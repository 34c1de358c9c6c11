// The kernel's network devices of a NIC, and what the host uses them for: whoever takes the NIC away takes that away, too.
//
//   DEVICE/net/eth0                    a driver's own          DEVICE/virtio3/net/eth0        virtio-pci's has a bus of its own between
//
// A device that was moved into a container's namespace is not to be seen from here. Control thread.

import type { HostNetdev } from "../../../core/nics.ts";
import { listAddresses } from "../../link/address.ts";
import { DEVICES, Sysfs } from "./sysfs.ts";

const NETDEVS = "sys/class/net";

/** `eth0` -> `10.0.0.1/24`, …; the tests hand in others. */
export type Addresses = () => ReadonlyMap<string, readonly string[]>;

/** Addresses of this namespace that somebody chose: the kernel gives link-local ones to every device that is up. */
export function hostAddresses(): ReadonlyMap<string, readonly string[]> {
  const machine = new Sysfs();
  const names = new Map(
    machine.list(NETDEVS).map((name) => [Number(machine.text(`${NETDEVS}/${name}/ifindex`)), name]),
  );
  const chosen = [...listAddresses()].map(([index, addresses]) => {
    return [names.get(index) ?? "", addresses.filter((address) => !/^fe[89ab][0-9a-f]:/i.test(address))] as const;
  });
  return new Map(chosen);
}

/** The network devices of the NIC at a PCI address. */
export function netdevsOf(machine: Sysfs, address: string, addresses: Addresses = hostAddresses): HostNetdev[] {
  const device = `${DEVICES}/${address}`;
  const folders = [
    device,
    ...machine.list(device).flatMap((name) => (/^virtio\d+$/.test(name) ? `${device}/${name}` : [])),
  ];
  const names = folders.flatMap((folder) => machine.list(`${folder}/net`));
  if (names.length === 0) return [];
  const routes = defaultRoutes(machine);
  const known = addresses();
  return names.map((name) => {
    const master = machine.link(`sys/class/net/${name}/master`);
    return {
      name,
      addresses: [...(known.get(name) ?? [])],
      defaultRoute: routes.has(name),
      ...(master !== undefined && { master }),
    };
  });
}

/** `eth0, which has 10.0.0.1/24 and the default route`; undefined for one that the host does not use. */
export function netdevUse({ name, addresses, defaultRoute, master }: HostNetdev): string | undefined {
  const uses = [
    ...addresses.map((address) => `has ${address}`),
    ...(defaultRoute ? ["carries the default route"] : []),
    ...(master === undefined ? [] : [`belongs to ${master}`]),
  ];
  return uses.length === 0 ? undefined : `${name} ${uses.join(", ")}`;
}

/** Devices that a default route goes through, of IPv4 and IPv6. */
function defaultRoutes(machine: Sysfs): Set<string> {
  const lines = (path: string) => (machine.text(path) ?? "").split("\n").map((line) => line.trim().split(/\s+/));
  // Iface Destination Gateway Flags RefCnt Use Metric Mask …
  const v4 = lines("proc/net/route").filter(([, to, , , , , , mask]) => to === "00000000" && mask === "00000000");
  // Destination, its prefix length, …, the device last; `lo` has the routes that refuse.
  const v6 = lines("proc/net/ipv6_route").filter(([to, prefix]) => /^0{32}$/.test(to) && prefix === "00");
  return new Set([
    ...v4.map(([name]) => name),
    ...v6.map((words) => words[words.length - 1]).filter((name) => name !== "lo"),
  ]);
}
