// A piece of another process's memory file, mapped: what vhost-user front ends and vhost-vdpa users share with us.
//
//   file   |......[block ... piece ... block]......|      mapped from the block that the piece starts in to the one it ends in
//                                                         (on hugetlbfs a block is a huge page)
//
// A file that is too short for its piece is refused, since touching the hole would be SIGBUS; whether it can shrink later
// is reported (F_SEAL_SHRINK). Control thread only.

import { fstatSync, readFileSync } from "node:fs";
import { RingyardError } from "../core/errors.ts";
import { isMemoryFile, mapShared, PAGE_SIZE, sealedAgainstShrinking } from "../sys/memory.ts";

/** File systems whose server decides when an answer or a touched page comes: no thread may wait for one. */
const SERVED_ELSEWHERE = /^(fuse.*|virtiofs|nfs.*|9p|cifs|smb3|ceph)$/;

export interface FileMapping {
  /** Our address of the piece's first byte. */
  address: number;
  /** The mapping around it, for `unmap`. */
  base: number;
  mapped: number;
  /** Whether the file cannot shrink under us. */
  sealed: boolean;
}

/** Maps `size` bytes of `fd` from `offset`; `fd` stays the caller's. Throws RingyardError PROTOCOL or SysError. */
export function mapFile(fd: number, offset: number, size: number): FileMapping {
  if (isServedElsewhere(fd)) {
    const next = "use a memfd, /dev/shm or huge pages";
    throw new RingyardError("PROTOCOL", "memory region in a file that another process may serve", next);
  }
  const { size: fileSize, blksize } = fstatSync(fd);
  const end = offset + size;
  if (end > fileSize) {
    throw new RingyardError("PROTOCOL", `memory region ends at ${end} of a file of ${fileSize} bytes`);
  }
  if (offset % PAGE_SIZE !== 0) throw new RingyardError("PROTOCOL", "misaligned memory region");
  const block = Math.max(blksize, PAGE_SIZE);
  const start = Math.floor(offset / block) * block;
  const mapped = Math.ceil(end / block) * block - start;
  const base = mapShared(fd, mapped, start);
  const sealed = blksize <= PAGE_SIZE && sealedAgainstShrinking(fd);
  return { address: base + offset - start, base, mapped, sealed };
}

/**
 * Whether another process may serve the file: FUSE, NFS, and what is mounted where we cannot see it. Asks the file system itself nothing, since
 * already fstat(2) waits for its server.
 */
export function isServedElsewhere(fd: number): boolean {
  if (isMemoryFile(fd)) return false;
  const mount = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  // 36 35 98:0 /root /where options - TYPE source options
  const type = lines
    .find((line) => line.startsWith(`${mount} `))
    ?.split(" - ")[1]
    ?.split(" ")[0];
  return type === undefined || SERVED_ELSEWHERE.test(type);
}
