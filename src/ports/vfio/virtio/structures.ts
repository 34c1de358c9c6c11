// Where a virtio device on PCI keeps its structures (virtio 1.2, 4.1.4): vendor capabilities in configuration space, each
// naming a kind, a BAR, an offset and a length.
//
//   cap_vndr 9 | next | len | cfg_type | bar | id | pad 2 | offset u32 | length u32 | notify_off_multiplier u32 (NOTIFY only)
//
// A device may offer a kind several times, best first, and the first that can be used is taken (4.1.4.1). What a device says
// is checked against its BARs. Control thread, cold.

import { RingyardError } from "../../../core/errors.ts";
import { PCI_CAP_ID_VNDR } from "../../../uapi/pci_regs.ts";
import { struct_virtio_net_config } from "../../../uapi/virtio_net.ts";
import {
  struct_virtio_pci_cap,
  struct_virtio_pci_common_cfg,
  struct_virtio_pci_notify_cap,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
} from "../../../uapi/virtio_pci.ts";
import type { PciFunction } from "../nic.ts";

const LAST_BAR = 5;
const AT = struct_virtio_pci_cap.fields;

/** One structure: `length` bytes at `offset` of BAR `bar`. */
export interface Structure {
  bar: number;
  offset: number;
  length: number;
}

export interface VirtioStructures {
  common: Structure;
  notify: Structure & { multiplier: number };
  isr: Structure;
  /** struct virtio_net_config, as much as the device has of it. */
  device: Structure;
}

/** Finds the four structures. Throws RingyardError UNSUPPORTED for a device without the modern interface. */
export function findStructures(device: PciFunction): VirtioStructures {
  const { config } = device;
  const offered = config.capabilities(PCI_CAP_ID_VNDR).map((at) => ({
    at,
    kind: config.read8(at + AT.cfg_type[0]),
    length: config.read8(at + AT.cap_len[0]),
    structure: {
      bar: config.read8(at + AT.bar[0]),
      offset: config.read32(at + AT.offset[0]) >>> 0,
      length: config.read32(at + AT.length[0]) >>> 0,
    },
  }));
  const find = (kind: number, what: string, size: number, alignment: number, capability: number) => {
    const fitting = offered.filter((each) => each.kind === kind && each.length >= capability);
    if (fitting.length === 0) throw notModern(device, `has no ${what} capability`);
    const usable = fitting.find(({ structure }) => isUsable(device, structure, size, alignment));
    if (usable === undefined) throw notModern(device, `has its ${what} outside its BARs`);
    return usable;
  };
  const plain = struct_virtio_pci_cap.size;
  const common = find(VIRTIO_PCI_CAP_COMMON_CFG, "common configuration", struct_virtio_pci_common_cfg.size, 4, plain);
  const notify = find(VIRTIO_PCI_CAP_NOTIFY_CFG, "notification", 2, 2, struct_virtio_pci_notify_cap.size);
  const isr = find(VIRTIO_PCI_CAP_ISR_CFG, "ISR status", 1, 1, plain);
  const netConfig = struct_virtio_net_config.fields.max_virtqueue_pairs[0];
  const net = find(VIRTIO_PCI_CAP_DEVICE_CFG, "device configuration", netConfig, 4, plain);
  const multiplier = config.read32(notify.at + struct_virtio_pci_notify_cap.fields.notify_off_multiplier[0]) >>> 0;
  return {
    common: common.structure,
    notify: { ...notify.structure, multiplier },
    isr: isr.structure,
    device: net.structure,
  };
}

function isUsable(device: PciFunction, structure: Structure, size: number, alignment: number): boolean {
  const { bar, offset, length } = structure;
  if (bar > LAST_BAR || length < size || offset % alignment !== 0) return false;
  try {
    return offset + length <= device.bar(bar).size;
  } catch {
    // A BAR of I/O ports, or none at all: the next one of its kind may do.
    return false;
  }
}

function notModern(device: PciFunction, what: string): RingyardError {
  return new RingyardError(
    "UNSUPPORTED",
    `NIC ${device.address} is no modern virtio device: it ${what}`,
    "with QEMU, start it with disable-modern=off",
  );
}

/** Where queue register `offset` (a queue_notify_off) is in the notification BAR, or -1 where that is outside (4.1.4.4). */
export function notifyOffset({ notify }: VirtioStructures, offset: number): number {
  const at = offset * notify.multiplier;
  return at + 2 <= notify.length && at % 2 === 0 ? notify.offset + at : -1;
}
