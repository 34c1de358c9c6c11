// A TAP device: made or attached, inspected, changed. One descriptor per queue; each carries whole frames behind a 12-byte
// virtio-net header (IFF_VNET_HDR).
//
//   new       made in our namespace --RTM_SETLINK: move, rename, up--> the target. It goes when its descriptors are closed
//   existing  a persistent one (`ip tuntap add`) that nobody uses is attached where it is, and stays
//
// A new device is not made inside the target: a tun descriptor holds the namespace it was opened in (tun_chr_open), and a
// container's namespace would then outlive the container. A device that was moved goes with it, and the descriptor says
// EBADFD from then on (seen on 6.18: 17 ms after `ip netns del`; made inside, never). Whoever moves the device later keeps
// it working too. Control thread only.

import { RingyardError } from "../../core/errors.ts";
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from "../../mem/batch.ts";
import { EBADFD, EBUSY, EINVAL, SysError } from "../../sys/errno.ts";
import { closeFd, ioctl, ioctlValue, O_NONBLOCK, O_RDWR, openFd } from "../../sys/fd.ts";
import {
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN_EXCL,
  IFF_VNET_HDR,
  struct_ifreq,
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNGETDEVNETNS,
  TUNGETIFF,
  TUNSETCARRIER,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
} from "../../uapi/if_tun.ts";
import { NET_HEADER_SIZE } from "../../virtio/net-header.ts";
import { findLink, type Link, setLink } from "../link/link.ts";
import { enter, openNetns } from "../link/netns.ts";
import { explain, TUN_PATH } from "./failures.ts";

/** The kernel replaces %d by the first free number. */
const SCRATCH_NAME = "ringyard%d";
/** ETH_DATA_LEN, as ether_setup leaves it. */
const NEW_TAP_MTU = 1500;

export interface TapRequest {
  name: string;
  /** Path of the network namespace; absent: ours. */
  netns?: string;
  mac?: string;
  mtu?: number;
  queues: number;
  /** OFFLOAD_* forms the kernel may hand us. */
  offload: number;
}

export interface TapDevice {
  /** One per queue, non-blocking. */
  readonly fds: readonly number[];
  /** Whether the device was there before, and stays. */
  readonly attached: boolean;
  /** OFFLOAD_* forms that were asked for and that the kernel knows, in both directions. */
  readonly offload: number;
  /** Its MTU where nobody asks for another. */
  readonly defaultMtu: number;
}

/** Makes or attaches a device and brings it up. Throws RingyardError, and then leaves nothing behind. */
export function openTap(request: TapRequest): TapDevice {
  const fds: number[] = [];
  let netnsFd = -1;
  try {
    if (request.netns !== undefined) netnsFd = openNetns(request.netns);
    const existing = enter(netnsFd, () => findLink(request.name));
    const offload =
      existing === null ? createTap(request, netnsFd, fds) : enter(netnsFd, () => attachTap(request, existing, fds));
    return { fds, attached: existing !== null, offload, defaultMtu: existing?.mtu ?? NEW_TAP_MTU };
  } catch (error) {
    for (const fd of fds) closeFd(fd);
    throw explain(error, request);
  } finally {
    closeFd(netnsFd);
  }
}

/** Closes the descriptors: a device that was made goes, one that was attached stays. */
export function closeTap(device: TapDevice): void {
  for (const fd of device.fds) closeFd(fd);
}

/** What the device is called and looks like now, wherever it was moved; null when it is gone. */
export function inspectTap(fd: number): { name: string; link: Link | null } | null {
  const name = nameOf(fd);
  if (name === null) return null;
  try {
    return { name, link: inDeviceNetns(fd, () => findLink(name)) };
  } catch (error) {
    // It may go or move between two questions.
    if (error instanceof SysError) return { name, link: null };
    throw error;
  }
}

/** Whether the device was deleted, or went with its namespace. */
export function tapIsGone(fd: number): boolean {
  return nameOf(fd) === null;
}

/** Tells the kernel whether the device has a carrier, as `ip link` shows it. A device that is gone is fine. */
export function setTapCarrier(fd: number, up: boolean): void {
  if (nameOf(fd) !== null) ioctl(fd, TUNSETCARRIER, new Int32Array([up ? 1 : 0]), "TUNSETCARRIER");
}

/** Changes the MTU of a running device. Throws RingyardError. */
export function setTapMtu(fd: number, mtu: number): void {
  const name = nameOf(fd);
  if (name === null) throw new RingyardError("NOT_FOUND", "the tap device is gone", "delete the port and add it again");
  try {
    inDeviceNetns(fd, () => {
      const link = findLink(name);
      if (link !== null) setLink(link.index, { mtu });
    });
  } catch (error) {
    throw explain(error, { name, mtu });
  }
}

/** Makes a device and removes it again: the one answer that holds in user namespaces too. Throws RingyardError. */
export function tryTap(): void {
  const fds: number[] = [];
  try {
    openQueue(SCRATCH_NAME, IFF_TAP | IFF_NO_PI, fds);
  } catch (error) {
    throw explain(error, { name: SCRATCH_NAME });
  } finally {
    for (const fd of fds) closeFd(fd);
  }
}

/** Returns the forms in force, as `attachTap` does. */
function createTap(request: TapRequest, netnsFd: number, fds: number[]): number {
  const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (request.queues > 1 ? IFF_MULTI_QUEUE : 0);
  const name = openQueue(netnsFd < 0 ? request.name : SCRATCH_NAME, flags | IFF_TUN_EXCL, fds);
  while (fds.length < request.queues) openQueue(name, flags, fds);
  const offload = setForm(fds[0], request.offload);
  const index = findLink(name)?.index ?? 0;
  // The MTU alone first: it is the one value the kernel may refuse for what it is.
  if (request.mtu !== undefined) setLink(index, { mtu: request.mtu });
  const place = netnsFd < 0 ? {} : { netnsFd, name: request.name };
  setLink(index, { ...place, mac: request.mac, up: true });
  return offload;
}

/** In the device's namespace. It was looked at first: TUNSETIFF would change the flags of one that is in use. */
function attachTap(request: TapRequest, link: Link, fds: number[]): number {
  const { name, queues } = request;
  if (link.tun?.type !== IFF_TAP) {
    const what = link.kind === "" ? "network device" : `network device of kind ${link.kind}`;
    throw new RingyardError("EXISTS", `tap ${name}: there is a ${what} with this name`, "choose another name");
  }
  if (!link.tun.persistent || link.tun.queues > 0) throw busy(name);
  if (queues > 1 && !link.tun.multiQueue) {
    const next = `ip tuntap del ${name} mode tap, or queues=1`;
    throw new RingyardError("EXISTS", `tap ${name}: the device there was made for one queue`, next);
  }
  const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (link.tun.multiQueue ? IFF_MULTI_QUEUE : 0);
  try {
    for (let queue = 0; queue < queues; queue++) openQueue(name, flags, fds);
  } catch (error) {
    // Of a device with one queue, only the kernel knows whether it is taken.
    throw error instanceof SysError && error.errno === EBUSY ? busy(name) : error;
  }
  const offload = setForm(fds[0], request.offload);
  if (request.mtu !== undefined) setLink(link.index, { mtu: request.mtu });
  setLink(link.index, { mac: request.mac, up: true });
  return offload;
}

function busy(name: string): RingyardError {
  return new RingyardError("BUSY", `tap ${name}: another port or process has it`, "stop that, or choose another name");
}

/** Opens one more queue of device `name`; the descriptor is in `fds` before anything can fail. Returns the real name. */
function openQueue(name: string, flags: number, fds: number[]): string {
  const fd = openFd(TUN_PATH, O_RDWR | O_NONBLOCK);
  fds.push(fd);
  const request = new Uint8Array(struct_ifreq.size);
  new TextEncoder().encodeInto(name, request);
  new DataView(request.buffer).setUint16(struct_ifreq.fields.ifr_flags[0], flags, true);
  ioctl(fd, TUNSETIFF, request, "TUNSETIFF");
  return nameIn(request);
}

/**
 * The header's size, and the forms in which the kernel may hand us frames; both hold for the whole device. Returns the forms
 * in force: a kernel before 6.2 does without UDP segmentation, also in what we write.
 */
function setForm(fd: number, offload: number): number {
  ioctl(fd, TUNSETVNETHDRSZ, new Int32Array([NET_HEADER_SIZE]), "TUNSETVNETHDRSZ");
  try {
    ioctlValue(fd, TUNSETOFFLOAD, tunForms(offload), "TUNSETOFFLOAD");
    return offload;
  } catch (error) {
    const unknown = error instanceof SysError && error.errno === EINVAL && (offload & OFFLOAD_USO) !== 0;
    if (!unknown) throw error;
  }
  const without = offload & ~OFFLOAD_USO;
  ioctlValue(fd, TUNSETOFFLOAD, tunForms(without), "TUNSETOFFLOAD");
  return without;
}

/** TUN_F_* of an OFFLOAD_* set. */
function tunForms(offload: number): number {
  let forms = 0;
  if ((offload & OFFLOAD_CSUM) !== 0) forms |= TUN_F_CSUM;
  if ((offload & OFFLOAD_TSO4) !== 0) forms |= TUN_F_TSO4;
  if ((offload & OFFLOAD_TSO6) !== 0) forms |= TUN_F_TSO6;
  if ((offload & OFFLOAD_ECN) !== 0) forms |= TUN_F_TSO_ECN;
  if ((offload & OFFLOAD_USO) !== 0) forms |= TUN_F_USO4 | TUN_F_USO6;
  return forms;
}

function inDeviceNetns<T>(fd: number, action: () => T): T {
  const netnsFd = ioctlValue(fd, TUNGETDEVNETNS, 0, "TUNGETDEVNETNS");
  try {
    return enter(netnsFd, action);
  } finally {
    closeFd(netnsFd);
  }
}

function nameOf(fd: number): string | null {
  const request = new Uint8Array(struct_ifreq.size);
  try {
    ioctl(fd, TUNGETIFF, request, "TUNGETIFF");
  } catch (error) {
    if (error instanceof SysError && error.errno === EBADFD) return null;
    throw error;
  }
  return nameIn(request);
}

function nameIn(request: Uint8Array): string {
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}
