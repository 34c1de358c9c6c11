// The machine's network devices on PCI as plain data, and what may be done to them: the kernel's driver taken away, so that a port
// can drive the NIC, and given back. The words that `ringyard nic` (cli), a port kind that drives NICs, and what connects them share.
// Types only; a port kind has the rest.

import type { ErrorCode } from "./errors.ts";

/** Takes NICs away from the kernel's drivers, and gives them back. Addresses are PCI's: `0000:03:00.0`. Control thread. */
export interface NicAdmin {
  /** Every network device on PCI. */
  list(): HostNic[];
  /**
   * Binds a NIC to vfio-pci; one that has it already is fine. Throws RingyardError, and then its driver is what it was: NOT_FOUND,
   * UNSUPPORTED (no NIC), BUSY (a process drives it, or the host uses it and `force` is not set), MISSING (IOMMU, module), PERMISSION.
   */
  take(address: string, options?: TakeOptions): Promise<NicChange>;
  /** Gives it back to the driver it had; one that was not taken is fine. Throws RingyardError; BUSY while a process drives it. */
  give(address: string, options?: GiveOptions): Promise<NicChange>;
  /** The same for all that were taken and that no process drives: also what a switch left that was killed. */
  giveAll(options?: GiveOptions): Promise<GivenBack>;
}

export interface TakeOptions {
  /** Also where the host uses it, and where ringyard has no driver for it. */
  force?: boolean;
  /** Others that are being taken, too: of one IOMMU group, which none of them can leave alone. */
  together?: readonly string[];
  /** Who wants it: what a port took by itself, a port gives back. Default: a person. */
  by?: NicTaker;
}

export interface GiveOptions {
  /** Only what was taken by a port. Default: all. */
  by?: "port";
}

export type NicTaker = "person" | "port";

/** What became of a NIC that was to be taken or given. */
export interface NicChange {
  address: string;
  /** False where it was as wanted before. */
  changed: boolean;
  /** The driver that has it now, and had it before. */
  driver?: string;
  before?: string;
  /** The kernel's network devices that came or went. */
  netdevs: string[];
  /** What keeps it from being used all the same. */
  warnings: string[];
}

/** A network device on PCI, as plain data for `nic list`. Ids are four hexadecimal digits. */
export interface HostNic {
  address: string;
  vendor: string;
  device: string;
  /** As pci.ids has it, where the machine has that. */
  name?: string;
  /** The kernel's driver that has it now. */
  driver?: string;
  /** Its IOMMU group's number; absent without an IOMMU. */
  group?: string;
  netdevs: HostNetdev[];
  neighbours: NicNeighbour[];
  /** The driver of ours that it would have. */
  drivenAs?: string;
  /** Whether a port could drive it, taken or not. */
  usable: boolean;
  taken: boolean;
  /** Processes that drive it now. */
  users: NicUser[];
  /** Why it is not usable. */
  problems: NicProblem[];
  /** What taking it would disturb. */
  warnings: string[];
}

export interface HostNetdev {
  name: string;
  /** With prefix lengths; no link-local ones. */
  addresses: string[];
  defaultRoute: boolean;
  /** The bridge or bond that it belongs to. */
  master?: string;
}

/** Another device of the same IOMMU group. */
export interface NicNeighbour {
  address: string;
  driver?: string;
  /** Whether the group can be used as the device is now. */
  harmless: boolean;
}

export interface NicUser {
  pid: number;
  command: string;
}

export interface NicProblem {
  about: "driver" | "iommu" | "module" | "group";
  code: ErrorCode;
  message: string;
  next?: string;
}

/** What became of NICs that were given back together, by their addresses. */
export interface GivenBack {
  given: string[];
  failed: { name: string; reason: string }[];
  /** Not given back: a process drives them. */
  served: string[];
}
