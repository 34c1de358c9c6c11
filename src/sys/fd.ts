// File descriptors as plain numbers: open, close, read, write, ioctl, eventfd. Any thread.
// `readAt`, `writevAt` and `signal` run per frame or burst: they return -1 instead of throwing.

import { closeSync, readlinkSync } from "node:fs";
import { check, cString, EAGAIN, errno, SysError } from "./errno.ts";
import { ioctlByValue, libc } from "./libc.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "./memory.ts";

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
const F_GETFL = 3;
const F_SETFL = 4;
const LOCK_EX_NB = 2 | 4;
const EFD_CLOEXEC_NONBLOCK = O_CLOEXEC | O_NONBLOCK;

/** Opens a path. Throws SysError naming it. */
export function openFd(path: string, flags: number): number {
  return check(libc.open(cString(path), flags | O_CLOEXEC, 0), "open", path);
}

/** Closes a descriptor that this process owns; -1 is fine. */
export function closeFd(fd: number): void {
  if (fd >= 0) closeSync(fd);
}

/** Whether `fd` is an eventfd: anything else a peer passes in its place could block or end the thread that signals it. */
export function isEventFd(fd: number): boolean {
  return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventfd]";
}

/** Makes calls on a descriptor return instead of waiting. The open file is shared: a peer that passed it could undo this. */
export function setNonBlocking(fd: number): void {
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl(F_GETFL)");
  check(libc.fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl(F_SETFL)");
}

/** Takes the lock of an open file or folder (flock), which goes with the descriptor; false where another has it. */
export function tryLock(fd: number): boolean {
  if (libc.flock(fd, LOCK_EX_NB) === 0) return true;
  const code = errno();
  if (code === EAGAIN) return false;
  throw new SysError("flock", code);
}

/** An ioctl with a struct. Throws SysError naming `what`. */
export function ioctl(fd: number, request: number, argument: NodeJS.TypedArray, what: string): number {
  return check(libc.ioctl(fd, request, argument), "ioctl", what);
}

/** An ioctl whose argument is a number, or that has none. Throws SysError naming `what`. */
export function ioctlValue(fd: number, request: number, value: number, what: string): number {
  return check(ioctlByValue(fd, request, value), "ioctl", what);
}

/** An ioctl whose argument is the address of mapped memory; -1 on any failure. Hot. */
export function ioctlAt(fd: number, request: number, address: number): number {
  return ioctlByValue(fd, request, address) as number;
}

/** A non-blocking eventfd. */
export function eventFd(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC_NONBLOCK), "eventfd");
}

// eventfd(2) reads and writes 8 bytes: word 0 is the 1 that `signal` adds, word 1 takes what `clearSignal` reads (both of 8
// bytes); word 2 is what `preadWord` and `pwriteWord` carry.
const scratch = mapAnonymous(PAGE_SIZE);
const scratchView = new DataView(viewOf(scratch, 0, PAGE_SIZE));
scratchView.setUint32(0, 1, true);
const WORD = 16;

/** Gives back what this module holds for the calling thread: the last call of a Worker that ends before its process. */
export function endThread(): void {
  unmap(scratch, PAGE_SIZE);
}

/** Adds 1 to an eventfd: wakes whoever waits for it. A full counter (EAGAIN) is as good as a signal. Hot. */
export function signal(fd: number): void {
  libc.write(fd, scratch, 8);
}

/** Reads an eventfd empty; false where it was. */
export function clearSignal(fd: number): boolean {
  return libc.read(fd, scratch + 8, 8) === 8;
}

/** read(2) into mapped memory; -1 on any failure. Hot. */
export function readAt(fd: number, address: number, size: number): number {
  return libc.read(fd, address, size);
}

/** write(2) from mapped memory; -1 on any failure. Hot. */
export function writeAt(fd: number, address: number, size: number): number {
  return libc.write(fd, address, size);
}

/** pread(2) of a little-endian word of 1, 2 or 4 bytes at `offset`; -1 where that fails. Hot. */
export function preadWord(fd: number, offset: number, size: number): number {
  if (libc.pread(fd, scratch + WORD, size, offset) !== size) return -1;
  if (size === 4) return scratchView.getUint32(WORD, true);
  return size === 2 ? scratchView.getUint16(WORD, true) : scratchView.getUint8(WORD);
}

/** pwrite(2) of the low `size` bytes (1, 2 or 4) of `value`, little-endian; false where that fails. Hot. */
export function pwriteWord(fd: number, offset: number, size: number, value: number): boolean {
  scratchView.setUint32(WORD, value, true);
  return libc.pwrite(fd, scratch + WORD, size, offset) === size;
}

/** writev(2); `iov` is the address of `count` iovecs in mapped memory; -1 on any failure. Hot. */
export function writevAt(fd: number, iov: number, count: number): number {
  return libc.writev(fd, iov, count);
}

/** memcpy(3) between mapped addresses; the caller has checked both ends. Hot. */
export function copyAt(to: number, from: number, size: number): void {
  libc.memcpy(to, from, size);
}
