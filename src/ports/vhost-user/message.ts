// vhost-user messages on the wire (QEMU docs/interop/vhost-user.rst, "Message Specification"), native byte order:
//
//   request u32 | flags u32 (version 1, reply, need_reply) | size u32 | payload, `size` bytes | descriptors beside it
//
// `MessageReader` takes them off a non-blocking socket, however the bytes are cut, and guards sizes before it reads a
// payload. Control thread only.

import { RingyardError } from "../../core/errors.ts";
import { closeFd } from "../../sys/fd.ts";
import { receiveUnix, sendUnix } from "../../sys/unix.ts";
import {
  struct_vhost_user_header,
  VHOST_USER_REPLY_MASK,
  VHOST_USER_VERSION,
  VHOST_USER_VERSION_MASK,
} from "../../uapi/vhost_user.ts";

const HEADER_SIZE = struct_vhost_user_header.size;
/** The largest payload of any message known: SET_CONFIG, 12 + 256 bytes, or a memory table, 8 + 8 * 32; and room. */
const MAX_PAYLOAD = 1024;

export interface Message {
  request: number;
  flags: number;
  payload: DataView;
  /** Owned by whoever takes the message. */
  fds: number[];
}

export class MessageReader {
  private header = new Uint8Array(HEADER_SIZE);
  private have = 0;
  private payload = new Uint8Array(0);
  private wanted = -1;
  private fds: number[] = [];

  constructor(private readonly socket: number) {}

  /**
   * The next whole message; "wait" until more bytes come, "end" when the peer has hung up. Throws RingyardError PROTOCOL
   * for a header that cannot be and for a message cut short: the connection is of no use after that.
   */
  next(): Message | "wait" | "end" {
    for (;;) {
      const target = this.wanted < 0 ? HEADER_SIZE - this.have : this.wanted - this.have;
      if (target > 0) {
        const got = receiveUnix(this.socket, target);
        this.fds.push(...got.fds);
        if (got.size < 0) return "wait";
        if (got.truncated || this.fds.length > MAX_MESSAGE_FDS) {
          throw protocolError("too many descriptors in one message");
        }
        if (got.size === 0) {
          if (this.have > 0 || this.wanted >= 0) throw protocolError("the connection ended inside a message");
          return "end";
        }
        (this.wanted < 0 ? this.header : this.payload).set(got.bytes, this.have);
        this.have += got.size;
        if (got.size < target) continue;
      }
      if (this.wanted < 0) this.startPayload();
      else return this.take();
    }
  }

  private startPayload(): void {
    const view = new DataView(this.header.buffer);
    const size = view.getUint32(8, true);
    if ((view.getUint32(4, true) & VHOST_USER_VERSION_MASK) !== VHOST_USER_VERSION) {
      throw protocolError(`message version ${view.getUint32(4, true) & VHOST_USER_VERSION_MASK} is not 1`);
    }
    if (size > MAX_PAYLOAD) throw protocolError(`payload of ${size} bytes is over ${MAX_PAYLOAD}`);
    this.wanted = size;
    this.have = 0;
    this.payload = new Uint8Array(size);
  }

  private take(): Message {
    const view = new DataView(this.header.buffer);
    const message = {
      request: view.getUint32(0, true),
      flags: view.getUint32(4, true),
      payload: new DataView(this.payload.buffer),
      fds: this.fds,
    };
    this.fds = [];
    this.wanted = -1;
    this.have = 0;
    return message;
  }

  /** Closes descriptors of a message that never became whole. */
  close(): void {
    for (const fd of this.fds) closeFd(fd);
    this.fds = [];
  }
}

/** "at most 8" regions with a descriptor each is the most any message carries. */
const MAX_MESSAGE_FDS = 8;

export function protocolError(message: string): RingyardError {
  return new RingyardError("PROTOCOL", message, "the connection is closed; fix the front end and let it reconnect");
}

/** Answers `request` with `payload`. Returns false where the peer is gone. */
export function sendReply(socket: number, request: number, payload: Uint8Array): boolean {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, HEADER_SIZE);
  return sendUnix(socket, bytes);
}

/** A u64 payload of two words. */
export function u64Payload(lo: number, hi = 0): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lo, true);
  view.setUint32(4, hi, true);
  return bytes;
}

/** A u64 field as a number; one of 2^53 or more (no address, no size) throws RingyardError PROTOCOL. */
export function readU64(view: DataView, offset: number, what: string): number {
  const hi = view.getUint32(offset + 4, true);
  if (hi > 0x1fffff) throw protocolError(`${what} is above 2^53`);
  return view.getUint32(offset, true) + hi * 2 ** 32;
}
