// Netlink: one request, one answer, on a socket of its own. The socket belongs to the network namespace of the thread that
// makes it, so `inNetns` decides which one is asked. The kernel answers inside sendto(2): the read never waits.
//
//   nlmsghdr (16): size u32 | type u16 | flags u16 | sequence u32 | port u32      then the payload     (linux/netlink.h)
//   attribute:     size u16 | type u16 | payload, padded to 4                     some nest in a payload
//
// Control thread only; cold. Message and attribute types are the callers'.

import { check, cString, SysError } from "./errno.ts";
import { closeFd, readAt } from "./fd.ts";
import { libc } from "./libc.ts";
import { mapAnonymous, unmap, viewOf } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST_ACK = 1 | 4;
const HEADER_SIZE = 16;
const ATTRIBUTE_SIZE = 4;
/** The rest of an attribute's type are flags, such as "nested". */
const NLA_TYPE_MASK = 0x3fff;
/** The kernel builds no answer longer than this for one object (NLMSG_GOODSIZE is a page, a link with VFs 32 KiB). */
const ANSWER_SIZE = 64 * 1024;

export const NETLINK_ROUTE = 0;

/** Sends a request of `type` and returns the answer's payload, empty for a bare acknowledgement. Throws SysError. */
export function netlinkCall(protocol: number, type: number, payload: Uint8Array, what: string): DataView {
  const request = new Uint8Array(HEADER_SIZE + payload.length);
  const header = new DataView(request.buffer);
  header.setUint32(0, request.length, true);
  header.setUint16(4, type, true);
  header.setUint16(6, NLM_F_REQUEST_ACK, true);
  request.set(payload, HEADER_SIZE);
  const kernel = new Uint8Array(12); // struct sockaddr_nl, port 0: the kernel
  kernel[0] = AF_NETLINK;

  const fd = check(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), "socket", "AF_NETLINK");
  const buffer = mapAnonymous(ANSWER_SIZE);
  try {
    check(libc.sendto(fd, request, request.length, 0, kernel, kernel.length), "sendto", what);
    const size = check(readAt(fd, buffer, ANSWER_SIZE), "read", what);
    const answer = new DataView(viewOf(buffer, 0, size).slice(0));
    if (answer.getUint16(4, true) !== NLMSG_ERROR) return new DataView(answer.buffer, HEADER_SIZE);
    const error = -answer.getInt32(HEADER_SIZE, true);
    if (error !== 0) throw new SysError(what, error);
    return new DataView(new ArrayBuffer(0));
  } finally {
    unmap(buffer, ANSWER_SIZE);
    closeFd(fd);
  }
}

/** One attribute. */
export function attribute(type: number, payload: Uint8Array): Uint8Array {
  const size = ATTRIBUTE_SIZE + payload.length;
  const bytes = new Uint8Array((size + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, size, true);
  view.setUint16(2, type, true);
  bytes.set(payload, ATTRIBUTE_SIZE);
  return bytes;
}

export function u32Attribute(type: number, value: number): Uint8Array {
  return attribute(type, new Uint8Array(new Uint32Array([value]).buffer));
}

export function stringAttribute(type: number, value: string): Uint8Array {
  return attribute(type, cString(value));
}

/** Attributes by type, from byte `start` on. */
export function attributesOf(view: DataView, start: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  let at = start;
  while (at + ATTRIBUTE_SIZE <= view.byteLength) {
    const size = view.getUint16(at, true);
    if (size < ATTRIBUTE_SIZE || at + size > view.byteLength) break;
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    found.set(type, new DataView(view.buffer, view.byteOffset + at + ATTRIBUTE_SIZE, size - ATTRIBUTE_SIZE));
    at += (size + 3) & ~3;
  }
  return found;
}

/** An attribute's string, without its NUL; "" for one that is absent. */
export function textOf(view: DataView | undefined): string {
  if (view === undefined) return "";
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
