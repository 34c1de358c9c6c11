// The devices that ringyard has drivers for, by PCI ids. Pure.

import type { NicDriver } from "../nic.ts";

/** What the inventory wants to know of a driver. */
export type KnownDriver = Pick<NicDriver, "name" | "matches">;

export const KNOWN: readonly KnownDriver[] = [
  // 1041 is a modern device; 1000 is a transitional one, whose modern interface is used (virtio 1.2, 4.1.2.1).
  known("virtio-net-pci", 0x1af4, 0x1041, 0x1000),
  known("e1000e", 0x8086, 0x10d3),
  known("igb", 0x8086, 0x10c9),
];

function known(name: string, vendor: number, ...devices: number[]): KnownDriver {
  return { name, matches: (found, device) => found === vendor && devices.includes(device) };
}
