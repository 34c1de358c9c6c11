// Mappings: the memory that a guest, the kernel or another thread also touches.
//
// `mapShared` returns an address; `viewOf` makes an ArrayBuffer over it without a finalizer, so the mapping's owner calls
// `unmap`, and only after every thread has dropped its views: a later access is a fault that no script can catch.
// Any thread; a view belongs to the thread that made it, the address to the process.

import { toArrayBuffer } from "bun:ffi";
import { check, cString, errno, SysError } from "./errno.ts";
import { libc } from "./libc.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

const F_SEAL_SHRINK = 2;
export const PAGE_SIZE = 4096;

/** Maps `size` bytes of `fd` from `offset`, read-write (Atomics.load faults on a read-only mapping). Throws SysError. */
export function mapShared(fd: number, size: number, offset: number): number {
  return map(size, MAP_SHARED | MAP_NORESERVE, fd, offset);
}

/** Maps anonymous memory that lives until `unmap`; zeroed, page-aligned. Throws SysError. */
export function mapAnonymous(size: number): number {
  return map(size, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

function map(size: number, flags: number, fd: number, offset: number): number {
  const address = libc.mmap(null, size, PROT_READ_WRITE, flags, fd, offset);
  // MAP_FAILED is (void *)-1, which arrives as null, -1 or 2^64 - 1 depending on the FFI's path.
  if (!(address > 0) || address >= 2 ** 53) throw new SysError("mmap", errno(), `of ${size} bytes`);
  return address;
}

export function unmap(address: number, size: number): void {
  check(libc.munmap(address, size), "munmap");
}

/** A view of mapped memory, at most 4 GiB. The caller guarantees that the mapping outlives it. */
export function viewOf(address: number, offset: number, size: number): ArrayBuffer {
  return toArrayBuffer(address as Parameters<typeof toArrayBuffer>[0], offset, size);
}

/** An anonymous file of `size` bytes that other processes can map; sealed against shrinking. Throws SysError. */
export function memfd(name: string, size: number): number {
  const fd = check(libc.memfd_create(cString(name), MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  check(libc.ftruncate(fd, size), "ftruncate");
  check(libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), "fcntl(F_ADD_SEALS)");
  return fd;
}

/** Whether the kernel's own memory is behind a file (memfd, tmpfs, hugetlbfs): no other file system knows of seals. */
export function isMemoryFile(fd: number): boolean {
  return libc.fcntl(fd, F_GET_SEALS, 0) >= 0;
}

/** Whether the peer can no longer shrink this file under us (which would make any touch a SIGBUS). */
export function sealedAgainstShrinking(fd: number): boolean {
  const seals = libc.fcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & F_SEAL_SHRINK) !== 0;
}
