// Every network device on PCI: which driver has it, its IOMMU group and who shares that, and whether ringyard can drive it.
//
// A group is what the IOMMU can tell apart: all its devices are one program's or none's. One is viable when each of its devices is
// bound to vfio-pci, to nothing, or to what does no DMA of its own (drivers/vfio/group.c, vfio_dev_viable). Reads only.
// Control thread.

import type { HostNic, NicNeighbour, NicProblem } from "../../../core/nics.ts";
import { type KnownDriver, NIC_DRIVERS } from "../drivers.ts";
import { type Addresses, hostAddresses, netdevsOf, netdevUse } from "./netdevs.ts";
import { PciIds } from "./pci-ids.ts";
import { DEVICES, DRIVERS, type Sysfs } from "./sysfs.ts";
import { usersOf, userText } from "./users.ts";

export const VFIO_PCI = "vfio-pci";
/** PCI_BASE_CLASS_NETWORK, of linux/pci_ids.h, in the first of three bytes. */
const NETWORK_CLASS = 0x02;
/** Drivers beside vfio-pci that leave a group viable. */
const HARMLESS = ["pcieport", "pci-stub"];

/** Where the inventory looks; the tests hand in another machine. */
export interface Sources {
  machine: Sysfs;
  addresses?: Addresses;
  drivers?: readonly KnownDriver[];
}

/** Addresses of the network devices, in the order of the bus. */
function nicAddresses(machine: Sysfs): string[] {
  return machine.list(DEVICES).filter((address) => isNetwork(machine, address));
}

export function isNetwork(machine: Sysfs, address: string): boolean {
  return number(machine.text(`${DEVICES}/${address}/class`)) >>> 16 === NETWORK_CLASS;
}

function hasVfioPci(machine: Sysfs): boolean {
  return machine.list(DRIVERS).includes(VFIO_PCI);
}

export function listNics(sources: Sources): HostNic[] {
  const ids = PciIds.read(sources.machine);
  return nicAddresses(sources.machine).map((address) => inspectNic(sources, address, ids));
}

/** One of them. */
export function inspectNic(sources: Sources, address: string, ids = PciIds.read(sources.machine)): HostNic {
  const { machine, addresses = hostAddresses, drivers = NIC_DRIVERS } = sources;
  const device = `${DEVICES}/${address}`;
  const vendor = (machine.text(`${device}/vendor`) ?? "").replace(/^0x/, "");
  const model = (machine.text(`${device}/device`) ?? "").replace(/^0x/, "");
  const name = ids.find(vendor, model);
  const group = machine.link(`${device}/iommu_group`);
  const driver = machine.link(`${device}/driver`);
  const known = drivers.find(({ matches }) => matches(number(vendor, 16), number(model, 16)));
  const neighbours = neighboursOf(machine, address, group);
  const problems = problemsOf(machine, `${vendor}:${model}`, group, known, neighbours);
  const netdevs = netdevsOf(machine, address, addresses);
  const users = driver === VFIO_PCI ? usersOf(machine, address, group) : [];
  return {
    address,
    vendor,
    device: model,
    ...(name && { name: [name.vendor, name.device ?? model].join(" ") }),
    ...(driver !== undefined && { driver }),
    ...(group !== undefined && { group }),
    netdevs,
    neighbours,
    ...(known && { drivenAs: known.name }),
    usable: problems.length === 0,
    taken: driver === VFIO_PCI,
    users,
    problems,
    warnings: [
      ...netdevs.flatMap((netdev) => netdevUse(netdev) ?? []),
      ...users.map((user) => `${userText(user)} uses it`),
    ],
  };
}

/** The other devices of the group, with bridges left out: they are the way there. */
function neighboursOf(machine: Sysfs, address: string, group: string | undefined): NicNeighbour[] {
  if (group === undefined) return [];
  return machine
    .list(`sys/kernel/iommu_groups/${group}/devices`)
    .filter((other) => other !== address)
    .map((other) => {
      const driver = machine.link(`${DEVICES}/${other}/driver`);
      const harmless = driver === undefined || driver === VFIO_PCI || HARMLESS.includes(driver);
      return { address: other, ...(driver !== undefined && { driver }), harmless };
    });
}

function problemsOf(
  machine: Sysfs,
  ids: string,
  group: string | undefined,
  known: KnownDriver | undefined,
  neighbours: readonly NicNeighbour[],
): NicProblem[] {
  const problems: NicProblem[] = [];
  if (known === undefined)
    problems.push({ about: "driver", code: "UNSUPPORTED", message: `ringyard has no driver for ${ids}` });
  if (group === undefined) problems.push(noIommu());
  if (!hasVfioPci(machine)) problems.push(noVfioPci());
  problems.push(...groupProblems(group, neighbours));
  return problems;
}

function noIommu(): NicProblem {
  const next = "turn on the IOMMU: VT-d or AMD-Vi in the firmware, and intel_iommu=on on the kernel's command line";
  return { about: "iommu", code: "MISSING", message: "no IOMMU keeps its DMA in bounds", next };
}

function noVfioPci(): NicProblem {
  return {
    about: "module",
    code: "MISSING",
    message: "the kernel's vfio-pci is not loaded",
    next: "modprobe vfio-pci",
  };
}

/** None where the group is this device's alone, but for what is in `together`. */
export function groupProblems(
  group: string | undefined,
  neighbours: readonly NicNeighbour[],
  together: readonly string[] = [],
): NicProblem[] {
  const foreign = neighbours.filter(({ address, harmless }) => !harmless && !together.includes(address));
  return group === undefined || foreign.length === 0 ? [] : [sharedGroup(group, foreign)];
}

function sharedGroup(group: string, foreign: readonly NicNeighbour[]): NicProblem {
  const who = foreign.map(({ address, driver }) => `${address} (${driver})`).join(", ");
  const next = "take those along with it, or put the NIC into another slot";
  return { about: "group", code: "UNSUPPORTED", message: `its IOMMU group ${group} is shared with ${who}`, next };
}

function number(text = "", base?: number): number {
  return base === undefined ? Number(text || 0) : Number.parseInt(text || "0", base);
}
