// What this machine and this process offer the switch, read from /proc and /sys for `ringyard doctor`. No side effects.

import { readFileSync } from "node:fs";
import { arch, release } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { parseCpus } from "../core/cpus.ts";
import { RingyardError } from "../core/errors.ts";

export interface HostFact {
  name: string;
  /** False where it keeps something from working. */
  ok: boolean;
  value: string;
  next?: string;
}

/** Text of a file, or null. Tests hand in another one. */
export type ReadText = (path: string) => string | null;

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

export function hostFacts(read: ReadText = readText): HostFact[] {
  return [
    bunFact(),
    kernelFact(),
    netAdminFact(read),
    cpuFact(read),
    quotaFact(read),
    memlockFact(read),
    hugepageFact(read),
  ];
}

function bunFact(): HostFact {
  const wanted = manifest.dependencies.bun;
  const ok = Bun.version === wanted;
  return {
    name: "bun",
    ok,
    value: ok ? wanted : `${Bun.version}, made for ${wanted}`,
    ...(ok ? {} : { next: "npm ci" }),
  };
}

function kernelFact(): HostFact {
  const ok = process.platform === "linux" && ["x64", "arm64"].includes(arch());
  const value = `${process.platform} ${release()} ${arch()}`;
  return ok ? { name: "kernel", ok, value } : { name: "kernel", ok, value, next: "use Linux on x86-64 or arm64" };
}

const CAP_NET_ADMIN = 12n; // linux/capability.h

function netAdminFact(read: ReadText): HostFact {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(read("/proc/self/status") ?? "")?.[1] ?? "0";
  const ok = ((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 1n;
  const value = ok ? "CAP_NET_ADMIN" : "no CAP_NET_ADMIN: no tap ports";
  return ok ? { name: "privileges", ok, value } : { name: "privileges", ok, value, next: "run as root: sudo ringyard" };
}

/** The CPUs that this process may run on, as the kernel lists them: `0-1,4`. */
function allowedList(read: ReadText): string {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(read("/proc/self/status") ?? "")?.[1] ?? "0";
}

function cpuFact(read: ReadText): HostFact {
  const list = allowedList(read);
  return { name: "cpus", ok: true, value: `${parseCpus(list)?.length ?? 1} to run on (${list})` };
}

/** Throws where a worker could not be pinned. `place` is who asked for that. */
export function checkCpus(cpus: readonly number[], place = "cpus"): void {
  const list = allowedList(readText);
  const allowed = parseCpus(list);
  const foreign = cpus.find((cpu) => allowed !== null && !allowed.includes(cpu));
  if (foreign === undefined) return;
  throw new RingyardError("BAD_OPTION", `${place}: cpu ${foreign} is not for this process`, `choose from ${list}`);
}

/** Throws where a port wants a worker on a processor on which the switch has none. */
export function checkPortCpu(place: string, cpu: number, cpus: readonly number[]): void {
  if (cpus.includes(cpu)) return;
  const next = cpus.length === 0 ? "start the switch with cpus, or leave it out" : `choose from ${cpus.join(", ")}`;
  throw new RingyardError("BAD_OPTION", `${place}: cpu: the switch has no worker on cpu ${cpu}`, next);
}

/** A quota of any group above this process slows it down, however idle the machine is (cgroup v2, cpu.max). */
function quotaFact(read: ReadText): HostFact {
  const group = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  let least = Number.POSITIVE_INFINITY;
  const names = group.split("/").filter((name) => name !== "");
  for (let depth = names.length; depth >= 0; depth--) {
    const limit = read(join("/sys/fs/cgroup", ...names.slice(0, depth), "cpu.max"));
    const [quota, period] = (limit ?? "max").trim().split(" ").map(Number);
    if (quota > 0 && period > 0) least = Math.min(least, quota / period);
  }
  const value = least === Number.POSITIVE_INFINITY ? "none" : `${least.toFixed(2)} of a CPU, by the cgroup's cpu.max`;
  return { name: "cpu quota", ok: true, value };
}

function memlockFact(read: ReadText): HostFact {
  const soft = /^Max locked memory\s+(\S+)/m.exec(read("/proc/self/limits") ?? "")?.[1] ?? "unknown";
  return { name: "memlock", ok: true, value: `${soft}${soft === "unlimited" ? "" : " bytes"}; nothing needs more` };
}

function hugepageFact(read: ReadText): HostFact {
  const free = /^HugePages_Free:\s+(\d+)/m.exec(read("/proc/meminfo") ?? "")?.[1] ?? "0";
  return { name: "hugepages", ok: true, value: `${free} free; not needed` };
}
