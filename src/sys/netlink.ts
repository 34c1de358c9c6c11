// Netlink: one request and its answer, or a dump of many, on a socket of its own. The socket belongs to the network
// namespace of the thread that makes it, so `inNetns` decides which one is asked. The kernel acts and answers inside
// sendto(2), and goes on with a dump inside read(2): no read waits for anything else, sendto waits as long as the act takes.
//
//   nlmsghdr (16): size u32 | type u16 | flags u16 | sequence u32 | port u32      then the payload     (linux/netlink.h)
//   attribute:     size u16 | type u16 | payload, padded to 4                     some nest in a payload
//
// Any thread; cold. Message and attribute types are the callers'.

import { check, cString, SysError } from "./errno.ts";
import { closeFd, readAt } from "./fd.ts";
import { libc } from "./libc.ts";
import { mapAnonymous, unmap, viewOf } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
/** Objects came or went between two pieces of a dump. */
const NLM_F_DUMP_INTR = 0x10;
/** NLM_F_ROOT | NLM_F_MATCH: every object. */
const NLM_F_DUMP = 0x300;
const HEADER_SIZE = 16;
const ATTRIBUTE_SIZE = 4;
/** The rest of an attribute's type are flags, such as "nested". */
const NLA_TYPE_MASK = 0x3fff;
/** No answer about one object is longer (NLMSG_GOODSIZE is a page, a link with VFs 32 KiB), nor is a piece of a dump. */
const ANSWER_SIZE = 64 * 1024;

/** A dump that is interrupted this often is taken as it is. */
const DUMP_TRIES = 5;

export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;

/** Sends a request of `type` and returns the answer's payload, empty for a bare acknowledgement. Throws SysError. */
export function netlinkCall(protocol: number, type: number, payload: Uint8Array, what: string): DataView {
  return exchange(protocol, requestOf(type, NLM_F_REQUEST | NLM_F_ACK, payload), what, (receive) => {
    const [answer] = receive();
    if (answer.type !== NLMSG_ERROR) return answer.payload;
    throwError(answer.payload, what);
    return new DataView(new ArrayBuffer(0));
  });
}

/** Asks for every object of a kind and returns their payloads. Throws SysError. */
export function netlinkDump(protocol: number, type: number, payload: Uint8Array, what: string): DataView[] {
  const request = requestOf(type, NLM_F_REQUEST | NLM_F_DUMP, payload);
  for (let attempt = 1; ; attempt++) {
    const { objects, whole } = exchange(protocol, request, what, (receive) => collect(receive, what));
    if (whole || attempt === DUMP_TRIES) return objects;
  }
}

interface Message {
  type: number;
  flags: number;
  payload: DataView;
}

function requestOf(type: number, flags: number, payload: Uint8Array): Uint8Array {
  const request = new Uint8Array(HEADER_SIZE + payload.length);
  const header = new DataView(request.buffer);
  header.setUint32(0, request.length, true);
  header.setUint16(4, type, true);
  header.setUint16(6, flags, true);
  request.set(payload, HEADER_SIZE);
  return request;
}

/** Sends `request` on a new socket; `take` gets what reads the messages of one datagram. */
function exchange<T>(protocol: number, request: Uint8Array, what: string, take: (receive: () => Message[]) => T): T {
  const kernel = new Uint8Array(12); // struct sockaddr_nl, port 0: the kernel
  kernel[0] = AF_NETLINK;
  const fd = check(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), "socket", "AF_NETLINK");
  const buffer = mapAnonymous(ANSWER_SIZE);
  try {
    check(libc.sendto(fd, request, request.length, 0, kernel, kernel.length), "sendto", what);
    return take(() => {
      const size = check(readAt(fd, buffer, ANSWER_SIZE), "read", what);
      return messagesOf(new DataView(viewOf(buffer, 0, size).slice(0)));
    });
  } finally {
    unmap(buffer, ANSWER_SIZE);
    closeFd(fd);
  }
}

function messagesOf(datagram: DataView): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_SIZE <= datagram.byteLength; ) {
    const size = datagram.getUint32(at, true);
    if (size < HEADER_SIZE || at + size > datagram.byteLength) break;
    messages.push({
      type: datagram.getUint16(at + 4, true),
      flags: datagram.getUint16(at + 6, true),
      payload: new DataView(datagram.buffer, at + HEADER_SIZE, size - HEADER_SIZE),
    });
    at += (size + 3) & ~3;
  }
  return messages;
}

function collect(receive: () => Message[], what: string): { objects: DataView[]; whole: boolean } {
  const objects: DataView[] = [];
  let whole = true;
  for (;;) {
    for (const { type, flags, payload } of receive()) {
      if ((flags & NLM_F_DUMP_INTR) !== 0) whole = false;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        throwError(payload, what);
        return { objects, whole };
      }
      objects.push(payload);
    }
  }
}

/** NLMSG_ERROR and NLMSG_DONE begin with 0 or a negative errno. */
function throwError(payload: DataView, what: string): void {
  const error = payload.byteLength < 4 ? 0 : -payload.getInt32(0, true);
  if (error !== 0) throw new SysError(what, error);
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
