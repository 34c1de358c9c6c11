// Unix sockets with descriptors in ancillary data (SCM_RIGHTS), which Bun's own sockets cannot pass. Non-blocking; the
// Reactor says when to read. One mmapped page per thread holds msghdr, iovec and the control buffer, since the kernel
// follows pointers in them:
//
//   0 msghdr (56) | 64 iovec (16) | 128 control: cmsghdr (16) + MAX_FDS ints | 1024 data, DATA_SIZE bytes
//
// x86-64 and arm64 layouts (LP64, bits/socket.h). Control thread only.

import { check, cString, EAGAIN, ECONNREFUSED, EINPROGRESS, ENOENT, errno, SysError } from "./errno.ts";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { mapAnonymous, viewOf } from "./memory.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0x80800; // SOCK_CLOEXEC | SOCK_NONBLOCK
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 0x08;

/** sun_path holds 108 bytes with its NUL (linux/un.h). */
export const MAX_SOCKET_PATH = 107;
/** Descriptors taken from one message; more than any vhost-user message carries (VHOST_USER_MAX_RAM_SLOTS is separate). */
const MAX_FDS = 32;

const CONTROL = 128;
const DATA = 1024;
const DATA_SIZE = 64 * 1024 - DATA;
const PAGE = mapAnonymous(DATA + DATA_SIZE);
const view = new DataView(viewOf(PAGE, 0, DATA + DATA_SIZE));
const data = new Uint8Array(view.buffer, DATA, DATA_SIZE);

function address(path: string): Uint8Array {
  const bytes = path.startsWith("@") ? cString(`\0${path.slice(1)}`).subarray(0, -1) : cString(path);
  const sockaddr = new Uint8Array(2 + bytes.length);
  sockaddr[0] = AF_UNIX;
  sockaddr.set(bytes, 2);
  return sockaddr;
}

/** A listening socket at `path`. The caller has seen to a stale file. Throws SysError. */
export function listenUnix(path: string, backlog: number): number {
  const fd = check(libc.socket(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0), "socket");
  const sockaddr = address(path);
  if (libc.bind(fd, sockaddr, sockaddr.length) < 0 || libc.listen(fd, backlog) < 0) {
    const error = new SysError("bind", errno(), path);
    closeFd(fd);
    throw error;
  }
  return fd;
}

/** The next connection of a listening socket, or -1 where none waits. */
export function acceptUnix(fd: number): number {
  return libc.accept4(fd, null, null, SOCK_FLAGS);
}

/** What `connectUnix` returns where nobody listens, and where somebody does but has no room for another connection. */
export const NOBODY_LISTENS = -1;
export const LISTENER_FULL = -2;

/** Connects to `path`; NOBODY_LISTENS or LISTENER_FULL where that is not possible now. Throws SysError for anything else. */
export function connectUnix(path: string): number {
  const fd = check(libc.socket(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0), "socket");
  const sockaddr = address(path);
  if (libc.connect(fd, sockaddr, sockaddr.length) === 0) return fd;
  const code = errno();
  closeFd(fd);
  if (code === ECONNREFUSED || code === ENOENT) return NOBODY_LISTENS;
  if (code === EAGAIN || code === EINPROGRESS) return LISTENER_FULL;
  throw new SysError("connect", code, path);
}

/** Sends one datagram, as sd_notify(3) does; `@name` is the abstract namespace. Throws SysError. */
export function sendDatagram(path: string, text: string): void {
  const fd = check(libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_FLAGS, 0), "socket");
  const sockaddr = address(path);
  const bytes = new TextEncoder().encode(text);
  const sent = libc.sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, sockaddr, sockaddr.length);
  const code = errno();
  closeFd(fd);
  if (sent < 0) throw new SysError("sendto", code, path);
}

function prepare(size: number, controlSize: number): void {
  for (let offset = 0; offset < CONTROL; offset += 8) view.setBigUint64(offset, 0n, true);
  view.setBigUint64(16, BigInt(PAGE + 64), true); // msg_iov
  view.setBigUint64(24, 1n, true); // msg_iovlen
  if (controlSize > 0) view.setBigUint64(32, BigInt(PAGE + CONTROL), true); // msg_control
  view.setBigUint64(40, BigInt(controlSize), true); // msg_controllen
  view.setBigUint64(64, BigInt(PAGE + DATA), true); // iov_base
  view.setBigUint64(72, BigInt(size), true); // iov_len
}

/** What one receive brought. `size` 0 is the peer's end, -1 is "nothing yet". The caller owns `fds`. */
export interface Received {
  size: number;
  bytes: Uint8Array;
  fds: number[];
  /** The peer sent more descriptors than MAX_FDS: some are lost. */
  truncated: boolean;
}

/** Receives up to `size` bytes with descriptors. `bytes` is a copy. A broken connection counts as its end. */
export function receiveUnix(fd: number, size: number): Received {
  const wanted = Math.min(size, DATA_SIZE);
  prepare(wanted, 16 + MAX_FDS * 4);
  const got = libc.recvmsg(fd, PAGE, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    const ended = errno() !== EAGAIN;
    return { size: ended ? 0 : -1, bytes: data.slice(0, 0), fds: [], truncated: false };
  }
  const fds: number[] = [];
  const controlSize = Number(view.getBigUint64(40, true));
  if (
    controlSize >= 20 &&
    view.getInt32(CONTROL + 8, true) === SOL_SOCKET &&
    view.getInt32(CONTROL + 12, true) === SCM_RIGHTS
  ) {
    const cmsgSize = Number(view.getBigUint64(CONTROL, true));
    for (let offset = 16; offset + 4 <= cmsgSize; offset += 4) fds.push(view.getInt32(CONTROL + offset, true));
  }
  return { size: got, bytes: data.slice(0, got), fds, truncated: (view.getInt32(48, true) & MSG_CTRUNC) !== 0 };
}

/** Sends `bytes` with descriptors; returns false where the peer is gone or does not read. */
export function sendUnix(fd: number, bytes: Uint8Array, fds: readonly number[] = []): boolean {
  const controlSize = fds.length === 0 ? 0 : Math.ceil((16 + fds.length * 4) / 8) * 8;
  data.set(bytes);
  prepare(bytes.length, controlSize);
  if (controlSize > 0) {
    view.setBigUint64(CONTROL, BigInt(16 + fds.length * 4), true);
    view.setInt32(CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL + 12, SCM_RIGHTS, true);
    fds.forEach((passed, index) => {
      view.setInt32(CONTROL + 16 + index * 4, passed, true);
    });
  }
  return libc.sendmsg(fd, PAGE, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
}
