// Generic netlink: a family's number, asked of the controller, and calls to the family.
//
//   message type: the family's number        payload: genlmsghdr (4) | attributes (sys/netlink.ts)
//
// The kernel takes one call to a family at a time. Any thread, but see who calls: ports/vdpa/bus.ts.

import { attributesOf, NETLINK_GENERIC, netlinkCall, netlinkDump, stringAttribute } from "../../sys/netlink.ts";
import {
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_CMD_GETFAMILY,
  GENL_ID_CTRL,
  struct_genlmsghdr,
} from "../../uapi/genetlink.ts";

export type Attributes = Map<number, DataView>;

/**
 * The number of the family called `name`; not to be kept, since a family that is unloaded and loaded gets another one.
 * Throws SysError (ENOENT: not loaded, or not for this network namespace).
 */
export function familyNumber(name: string): number {
  const payload = message(CTRL_CMD_GETFAMILY, [stringAttribute(CTRL_ATTR_FAMILY_NAME, name)]);
  const answer = netlinkCall(NETLINK_GENERIC, GENL_ID_CTRL, payload, `the generic netlink family ${name}`);
  return attributesOf(answer, struct_genlmsghdr.size).get(CTRL_ATTR_FAMILY_ID)?.getUint16(0, true) ?? 0;
}

/** Throws SysError. */
export function genlCall(family: number, command: number, attributes: Uint8Array[], what: string): Attributes {
  const answer = netlinkCall(NETLINK_GENERIC, family, message(command, attributes), what);
  return attributesOf(answer, struct_genlmsghdr.size);
}

/** Throws SysError. */
export function genlDump(family: number, command: number, what: string): Attributes[] {
  const objects = netlinkDump(NETLINK_GENERIC, family, message(command, []), what);
  return objects.map((object) => attributesOf(object, struct_genlmsghdr.size));
}

function message(command: number, attributes: Uint8Array[]): Uint8Array {
  const head = new Uint8Array(struct_genlmsghdr.size);
  head[struct_genlmsghdr.fields.cmd[0]] = command;
  head[struct_genlmsghdr.fields.version[0]] = 1;
  return Buffer.concat([head, ...attributes]);
}
