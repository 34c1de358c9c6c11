// Why memory could not be pinned for DMA, in words that say what to raise. The kernel answers ENOMEM for two things: the limit of
// locked memory (RLIMIT_MEMLOCK, from which CAP_IPC_LOCK frees a process) and memory itself. type1 counts what one process locked,
// iommufd what all processes of a user did. Control thread.

import { readFileSync } from "node:fs";
import { RingyardError } from "../../../core/errors.ts";
import { ENOMEM, ENOSPC, SysError } from "../../../sys/errno.ts";
import type { Machine } from "./machine.ts";

/** Bit in CapEff (linux/capability.h). */
const CAP_IPC_LOCK = 14;
const MIB = 2 ** 20;

/** Bytes that this process may lock; Infinity where there is no limit. */
function lockLimit(machine: Machine): number {
  const status = readFileSync(`${machine.self}/status`, "utf8");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if (((effective >> BigInt(CAP_IPC_LOCK)) & 1n) === 1n) return Number.POSITIVE_INFINITY;
  const limits = readFileSync(`${machine.self}/limits`, "utf8");
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/** An error of mapping `size` bytes where `mapped` are mapped already. */
export function mapError(machine: Machine, error: unknown, size: number, mapped: number): unknown {
  if (!(error instanceof SysError)) return error;
  if (error.errno === ENOSPC) {
    const next = "write a larger number to /sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
    return new RingyardError("LIMIT", "no more DMA mappings are allowed in this address space", next);
  }
  if (error.errno !== ENOMEM) {
    const next = "memory of a file system on a disk cannot be pinned, nor memory that was unmapped";
    return new RingyardError("SYSTEM", `cannot map ${mib(size)} for DMA (${error.message})`, next);
  }
  const limit = lockLimit(machine);
  if (limit === Number.POSITIVE_INFINITY) {
    const next = "free memory, or use fewer descriptors";
    return new RingyardError("LIMIT", `the machine has no ${mib(size)} to pin for DMA`, next);
  }
  // The next power of two and as much again: other memory of the process, or of the user, counts too.
  const kib = 2 ** Math.ceil(Math.log2((mapped + size) / 1024)) * 2;
  return new RingyardError(
    "LIMIT",
    `cannot lock ${mib(size)} for DMA beside ${mib(mapped)}: the limit of locked memory is ${mib(limit)}`,
    `ulimit -l ${kib} in the shell that starts ringyard, or LimitMEMLOCK=${kib}K in its unit`,
  );
}

/** `64 MiB`, and KiB below one. */
function mib(size: number): string {
  return size < MIB ? `${Math.ceil(size / 1024)} KiB` : `${Math.ceil(size / MIB)} MiB`;
}
