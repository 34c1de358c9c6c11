// What the device code asks of the machine: the kernel's files and the calls that only VFIO answers. Tests hand in folders of
// their own for sysfs and /dev, and an ioctl that plays the kernel; reads, writes and eventfds are the real ones.

import { closeFd, ioctl, ioctlValue, O_RDWR, openFd } from "../../../sys/fd.ts";
import { mapShared } from "../../../sys/memory.ts";

export interface Machine {
  /** `/sys` */
  readonly sysfs: string;
  /** `/dev` */
  readonly dev: string;
  /** `/proc/self`: limits and capabilities of this process. */
  readonly self: string;
  /** Each throws SysError. */
  open(path: string): number;
  ioctl(fd: number, request: number, argument: Uint8Array, what: string): number;
  ioctlValue(fd: number, request: number, value: number, what: string): number;
  /** Maps a piece of a device's file. */
  map(fd: number, size: number, offset: number): number;
  close(fd: number): void;
}

/** The one that this process runs on. */
export const thisMachine: Machine = {
  sysfs: "/sys",
  dev: "/dev",
  self: "/proc/self",
  open: (path) => openFd(path, O_RDWR),
  ioctl,
  ioctlValue,
  map: mapShared,
  close: closeFd,
};
