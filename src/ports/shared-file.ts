// A piece of another process's memory file, mapped: what vhost-user front ends and vhost-vdpa users share with us.
//
//   file   |......[block ... piece ... block]......|      mapped from the block that the piece starts in to the one it ends in
//                                                         (on hugetlbfs a block is a huge page)
//
// A file that is too short for its piece is refused, since touching the hole would be SIGBUS; whether it can shrink later
// is reported (F_SEAL_SHRINK). Control thread only.

import { fstatSync, statfsSync } from "node:fs";
import { RingyardError } from "../core/errors.ts";
import { mapShared, PAGE_SIZE, sealedAgainstShrinking } from "../sys/memory.ts";

/** File systems whose server decides when a touched page comes (linux/magic.h): a worker must not wait for one. */
const SERVED_ELSEWHERE: ReadonlySet<number> = new Set([
  0x65735546, // FUSE_SUPER_MAGIC
  0x6969, // NFS_SUPER_MAGIC
  0x01021997, // V9FS_MAGIC
  0xff534d42, // CIFS_SUPER_MAGIC
  0xfe534d42, // SMB2_SUPER_MAGIC
  0x00c36400, // CEPH_SUPER_MAGIC
]);

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
  const { size: fileSize, blksize } = fstatSync(fd);
  const filesystem = statfsSync(`/proc/self/fd/${fd}`).type;
  if (SERVED_ELSEWHERE.has(filesystem)) {
    throw new RingyardError("PROTOCOL", "memory region in a file that another process serves");
  }
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
