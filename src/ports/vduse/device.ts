// A VDUSE device (/dev/vduse/NAME) as its one owner drives it: the ioctls, each as a method (linux/vduse.h). None of them
// waits for anybody; the messages that come the other way are responder.ts. Control thread only.

import { readlinkSync } from "node:fs";
import { EINVAL, EPERM, SysError } from "../../sys/errno.ts";
import { closeFd, ioctl, ioctlValue } from "../../sys/fd.ts";
import {
  struct_vduse_config_data,
  struct_vduse_iotlb_entry,
  struct_vduse_iotlb_entry_v2,
  struct_vduse_iova_info,
  struct_vduse_iova_umem,
  struct_vduse_vq_config,
  struct_vduse_vq_eventfd,
  struct_vduse_vq_info,
  VDUSE_DEV_GET_FEATURES,
  VDUSE_DEV_INJECT_CONFIG_IRQ,
  VDUSE_DEV_SET_CONFIG,
  VDUSE_EVENTFD_DEASSIGN,
  VDUSE_IOTLB_DEREG_UMEM,
  VDUSE_IOTLB_GET_FD,
  VDUSE_IOTLB_GET_FD2,
  VDUSE_IOTLB_GET_INFO,
  VDUSE_IOTLB_REG_UMEM,
  VDUSE_IOVA_CAP_UMEM,
  VDUSE_VQ_GET_INFO,
  VDUSE_VQ_INJECT_IRQ,
  VDUSE_VQ_SETUP,
  VDUSE_VQ_SETUP_KICKFD,
} from "../../uapi/vduse.ts";
import type { Features } from "../../virtio/features.ts";

/** A queue as its driver has set it up; addresses are IOVAs. */
export interface QueueInfo {
  size: number;
  desc: number;
  avail: number;
  used: number;
  /** Where the driver starts a split ring; not where it is now. */
  availIndex: number;
  ready: boolean;
}

/** A piece of the driver's address space, and the file that backs it. */
export interface IotlbEntry {
  start: number;
  size: number;
  /** Of the first byte, in the file. */
  offset: number;
  perm: number;
  /** Whether the kernel's own driver is behind it: the file is the domain's, its pages are the kernel's, and it cannot shrink. */
  ofKernel: boolean;
  /** The caller's to close. */
  fd: number;
}

/** Regions end below this: what an address in a descriptor may be (mem/guest-memory.ts). */
const ADDRESS_END = 2n ** 53n;
const LAST_ADDRESS = 2n ** 64n - 1n;

export class VduseDevice {
  /** `apiVersion` of the device, where it is known: an adopted one does not tell. */
  constructor(
    readonly fd: number,
    readonly apiVersion: number,
  ) {}

  /** Announces a queue; all of them before the device goes on the vDPA bus. */
  setupQueue(index: number, maxSize: number): void {
    const { size, fields } = struct_vduse_vq_config;
    const config = new DataView(new ArrayBuffer(size));
    config.setUint32(fields.index[0], index, true);
    config.setUint16(fields.max_size[0], maxSize, true);
    ioctl(this.fd, VDUSE_VQ_SETUP, bytes(config), "VDUSE_VQ_SETUP");
  }

  queue(index: number): QueueInfo {
    const { size, fields } = struct_vduse_vq_info;
    const info = new DataView(new ArrayBuffer(size));
    info.setUint32(fields.index[0], index, true);
    ioctl(this.fd, VDUSE_VQ_GET_INFO, bytes(info), "VDUSE_VQ_GET_INFO");
    return {
      size: info.getUint32(fields.num[0], true),
      desc: Number(info.getBigUint64(fields.desc_addr[0], true)),
      avail: Number(info.getBigUint64(fields.driver_addr[0], true)),
      used: Number(info.getBigUint64(fields.device_addr[0], true)),
      availIndex: info.getUint16(fields["split.avail_index"][0], true),
      ready: info.getUint8(fields.ready[0]) !== 0,
    };
  }

  /** Kicks of a queue come through this eventfd; the kernel forgets it at each reset. */
  setKick(index: number, eventFd: number | null): void {
    const { size, fields } = struct_vduse_vq_eventfd;
    const setup = new DataView(new ArrayBuffer(size));
    setup.setUint32(fields.index[0], index, true);
    setup.setInt32(fields.fd[0], eventFd ?? VDUSE_EVENTFD_DEASSIGN, true);
    ioctl(this.fd, VDUSE_VQ_SETUP_KICKFD, bytes(setup), "VDUSE_VQ_SETUP_KICKFD");
  }

  /** Interrupts the driver of a queue; false where no driver is running. */
  injectIrq(index: number): boolean {
    return unlessIdle(() => ioctl(this.fd, VDUSE_VQ_INJECT_IRQ, new Uint32Array([index]), "VDUSE_VQ_INJECT_IRQ"));
  }

  /** Tells the driver that the configuration changed; false where no driver is running (no DRIVER_OK). */
  injectConfigIrq(): boolean {
    return unlessIdle(() => ioctlValue(this.fd, VDUSE_DEV_INJECT_CONFIG_IRQ, 0, "VDUSE_DEV_INJECT_CONFIG_IRQ"));
  }

  /** The features the driver took. */
  features(): Features {
    const word = new Uint32Array(2);
    ioctl(this.fd, VDUSE_DEV_GET_FEATURES, word, "VDUSE_DEV_GET_FEATURES");
    return { lo: word[0], hi: word[1] };
  }

  /** Writes the configuration space from byte `offset` on. */
  setConfig(offset: number, data: Uint8Array): void {
    const { size, fields } = struct_vduse_config_data;
    const config = new Uint8Array(size + data.length);
    const view = new DataView(config.buffer);
    view.setUint32(fields.offset[0], offset, true);
    view.setUint32(fields.length[0], data.length, true);
    config.set(data, size);
    ioctl(this.fd, VDUSE_DEV_SET_CONFIG, config, "VDUSE_DEV_SET_CONFIG");
  }

  /** The first region at or after `start`, or null. Throws SysError where the device is broken. */
  region(start: number): IotlbEntry | null {
    return this.apiVersion >= 1 ? this.regionV2(start) : this.regionV1(start);
  }

  private regionV1(start: number): IotlbEntry | null {
    const { size, fields } = struct_vduse_iotlb_entry;
    return this.getRegion(VDUSE_IOTLB_GET_FD, "VDUSE_IOTLB_GET_FD", size, fields, start);
  }

  private regionV2(start: number): IotlbEntry | null {
    const { size, fields } = struct_vduse_iotlb_entry_v2;
    return this.getRegion(VDUSE_IOTLB_GET_FD2, "VDUSE_IOTLB_GET_FD2", size, fields, start);
  }

  private getRegion(
    request: number,
    what: string,
    size: number,
    fields: Record<"offset" | "start" | "last" | "perm", readonly [number, number]>,
    start: number,
  ): IotlbEntry | null {
    const entry = new DataView(new ArrayBuffer(size));
    entry.setBigUint64(fields.start[0], BigInt(start), true);
    entry.setBigUint64(fields.last[0], LAST_ADDRESS, true);
    const fd = unlessAbsent(() => ioctl(this.fd, request, bytes(entry), what));
    if (fd === null) return null;
    const first = entry.getBigUint64(fields.start[0], true);
    const last = entry.getBigUint64(fields.last[0], true);
    if (last >= ADDRESS_END) {
      // No address in there can be reached by a descriptor: the frames that name one are counted as malformed.
      closeFd(fd);
      return null;
    }
    return {
      start: Number(first),
      size: Number(last - first) + 1,
      offset: Number(entry.getBigUint64(fields.offset[0], true)),
      perm: entry.getUint8(fields.perm[0]),
      ofKernel: readlinkSync(`/proc/self/fd/${fd}`).startsWith("anon_inode:"),
      fd,
    };
  }

  /** Size of the bounce area that would take our memory (UMEM), or 0: there is none before the driver's first buffer. */
  bounceSize(): number {
    const { size, fields } = struct_vduse_iova_info;
    const info = new DataView(new ArrayBuffer(size));
    const found = unlessAbsent(() => ioctl(this.fd, VDUSE_IOTLB_GET_INFO, bytes(info), "VDUSE_IOTLB_GET_INFO"));
    if (found === null || (info.getUint32(fields.capability[0], true) & VDUSE_IOVA_CAP_UMEM) === 0) return 0;
    return Number(info.getBigUint64(fields.last[0], true)) + 1;
  }

  /** Puts our memory at `address` in the place of the bounce area's pages; it stays pinned until `takeMemory`. */
  giveMemory(address: number, size: number): void {
    ioctl(this.fd, VDUSE_IOTLB_REG_UMEM, umem(address, size), "VDUSE_IOTLB_REG_UMEM");
  }

  /** Takes our memory back; the kernel copies what is in flight to pages of its own. */
  takeMemory(size: number): void {
    ioctl(this.fd, VDUSE_IOTLB_DEREG_UMEM, umem(0, size), "VDUSE_IOTLB_DEREG_UMEM");
  }

  close(): void {
    closeFd(this.fd);
  }
}

function umem(address: number, length: number): Uint8Array {
  const { size, fields } = struct_vduse_iova_umem;
  const view = new DataView(new ArrayBuffer(size));
  view.setBigUint64(fields.uaddr[0], BigInt(address), true);
  view.setBigUint64(fields.size[0], BigInt(length), true);
  return bytes(view);
}

function bytes(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

/** The kernel refuses interrupts while no driver runs (EINVAL), and everything for a broken device (EPERM). */
function unlessIdle(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof SysError && (error.errno === EINVAL || error.errno === EPERM)) return false;
    throw error;
  }
}

/** EINVAL: no region there, or no address space yet. */
function unlessAbsent(action: () => number): number | null {
  try {
    return action();
  } catch (error) {
    if (error instanceof SysError && error.errno === EINVAL) return null;
    throw error;
  }
}
