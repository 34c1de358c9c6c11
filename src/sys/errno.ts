// Return codes into errors, in one place. errno is per thread and is only meaningful straight after the failing call, so
// the location is cached per thread (each Worker loads its own copy of this module) and read at once.

import { read } from "bun:ffi";
import { constants } from "node:os";
import { libc } from "./libc.ts";

const location = libc.__errno_location() as Parameters<typeof read.i32>[0];

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// node:os maps both names of 11 and 95; the ones man pages use win.
names.set(11, "EAGAIN").set(95, "EOPNOTSUPP");

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const EBADFD = 77;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EINPROGRESS = 115;

/** errno of this thread's last failed call. */
export function errno(): number {
  return read.i32(location, 0);
}

/** A failed system call: `open /dev/net/tun: EACCES`. */
export class SysError extends Error {
  override readonly name = "SysError";
  /** The symbolic name, `EACCES`. */
  readonly code: string;

  constructor(
    readonly syscall: string,
    readonly errno: number,
    subject?: string,
  ) {
    const code = names.get(errno) ?? `errno ${errno}`;
    super(`${syscall}${subject === undefined ? "" : ` ${subject}`}: ${code}`);
    this.code = code;
  }
}

/** Passes a return code through, or throws SysError where it is negative. */
export function check(result: number, syscall: string, subject?: string): number {
  if (result < 0) throw new SysError(syscall, errno(), subject);
  return result;
}

/** A NUL-terminated C string. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
