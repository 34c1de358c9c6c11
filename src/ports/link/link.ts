// Network devices by rtnetlink, seen from the calling thread's namespace: look one up by name, change one.
//
//   RTM_GETLINK, RTM_SETLINK:  ifinfomsg (16) | attributes (sys/netlink.ts), some of them nested
//
// One RTM_SETLINK moves a device into a namespace, renames it there and brings it up, in this order
// (net/core/rtnetlink.c, do_setlink). Any thread; each call may wait for the kernel's RTNL lock.

import { ENODEV, SysError } from "../../sys/errno.ts";
import {
  attribute,
  attributesOf,
  NETLINK_ROUTE,
  netlinkCall,
  stringAttribute,
  textOf,
  u32Attribute,
} from "../../sys/netlink.ts";
import { IFF_UP } from "../../uapi/if_tun.ts";
import {
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_TUN_MULTI_QUEUE,
  IFLA_TUN_NUM_DISABLED_QUEUES,
  IFLA_TUN_NUM_QUEUES,
  IFLA_TUN_PERSIST,
  IFLA_TUN_TYPE,
  RTM_GETLINK,
  RTM_SETLINK,
  struct_ifinfomsg,
} from "../../uapi/rtnetlink.ts";

/** What the kernel takes for a name (dev_valid_name; `%` asks it to choose one), in ASCII. */
export const DEVICE_NAME = /^(?!\.{1,2}$)[!-$&-.0-9;-~]{1,15}$/;

export interface Link {
  index: number;
  /** What made it: "tun", "veth", "bridge", ... or "" for a physical device. */
  kind: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** For kind "tun". */
  tun?: TunLink;
}

export interface TunLink {
  /** IFF_TUN or IFF_TAP. */
  type: number;
  persistent: boolean;
  multiQueue: boolean;
  /** Queues that some process has open. */
  queues: number;
}

export interface LinkChanges {
  mac?: string;
  mtu?: number;
  name?: string;
  /** Descriptor of the namespace to move it to. */
  netnsFd?: number;
  up?: boolean;
}

/** The device called `name` in this thread's namespace, or null. Throws SysError. */
export function findLink(name: string): Link | null {
  const payload = message(0, 0, [stringAttribute(IFLA_IFNAME, name)]);
  let answer: DataView;
  try {
    answer = netlinkCall(NETLINK_ROUTE, RTM_GETLINK, payload, "RTM_GETLINK");
  } catch (error) {
    if (error instanceof SysError && error.errno === ENODEV) return null;
    throw error;
  }
  const attributes = attributesOf(answer, struct_ifinfomsg.size);
  const info = attributes.get(IFLA_LINKINFO);
  const infos = info === undefined ? new Map<number, DataView>() : attributesOf(info, 0);
  const kind = textOf(infos.get(IFLA_INFO_KIND));
  const data = infos.get(IFLA_INFO_DATA);
  return {
    index: answer.getInt32(struct_ifinfomsg.fields.ifi_index[0], true),
    kind,
    mac: macText(attributes.get(IFLA_ADDRESS)),
    mtu: attributes.get(IFLA_MTU)?.getUint32(0, true) ?? 0,
    up: (answer.getUint32(struct_ifinfomsg.fields.ifi_flags[0], true) & IFF_UP) !== 0,
    tun: kind === "tun" && data !== undefined ? tunLink(attributesOf(data, 0)) : undefined,
  };
}

/** Changes the device with `index` in this thread's namespace. Throws SysError. */
export function setLink(index: number, changes: LinkChanges): void {
  const attributes: Uint8Array[] = [];
  if (changes.netnsFd !== undefined) attributes.push(u32Attribute(IFLA_NET_NS_FD, changes.netnsFd));
  if (changes.mac !== undefined) attributes.push(attribute(IFLA_ADDRESS, macBytes(changes.mac)));
  if (changes.mtu !== undefined) attributes.push(u32Attribute(IFLA_MTU, changes.mtu));
  if (changes.name !== undefined) attributes.push(stringAttribute(IFLA_IFNAME, changes.name));
  netlinkCall(NETLINK_ROUTE, RTM_SETLINK, message(index, changes.up ? IFF_UP : 0, attributes), "RTM_SETLINK");
}

function tunLink(data: Map<number, DataView>): TunLink {
  const number = (type: number) => data.get(type)?.getUint32(0, true) ?? 0;
  const flag = (type: number) => data.get(type)?.getUint8(0) === 1;
  return {
    type: data.get(IFLA_TUN_TYPE)?.getUint8(0) ?? 0,
    persistent: flag(IFLA_TUN_PERSIST),
    multiQueue: flag(IFLA_TUN_MULTI_QUEUE),
    queues: flag(IFLA_TUN_MULTI_QUEUE) ? number(IFLA_TUN_NUM_QUEUES) + number(IFLA_TUN_NUM_DISABLED_QUEUES) : 0,
  };
}

function message(index: number, up: number, attributes: Uint8Array[]): Uint8Array {
  const head = new DataView(new ArrayBuffer(struct_ifinfomsg.size));
  head.setInt32(struct_ifinfomsg.fields.ifi_index[0], index, true);
  head.setUint32(struct_ifinfomsg.fields.ifi_flags[0], up, true);
  head.setUint32(struct_ifinfomsg.fields.ifi_change[0], up, true);
  return Buffer.concat([new Uint8Array(head.buffer), ...attributes]);
}

/** A link-layer address's text; "" for one that is absent. */
export function macText(view: DataView | undefined): string {
  if (view === undefined) return "";
  return [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}
