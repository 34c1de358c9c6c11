// On which processors the kernel runs a queue's callback, the driver's interrupt handler. It takes them in turn (drivers/vdpa/vdpa_user,
// vduse_vq_update_effective_cpu); one that a worker polls on makes the callback wait for its time slice, and the worker for the callback.
//
//   /sys/class/vduse/NAME/vqN/irq_cb_affinity      a mask in hex, words of 32 bits, highest first     (Linux 6.4)
//
// Control thread.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpuMask, parseCpus } from "../../core/cpus.ts";

const ONLINE = "/sys/devices/system/cpu/online";

/** Keeps a device's callbacks off the processors that workers are pinned to, where there are others; else leaves all as it is. */
export function keepCallsOff(name: string, queueCount: number, workerCpus: readonly number[]): void {
  const free = (parseCpus(readFileSync(ONLINE, "utf8")) ?? []).filter((cpu) => !workerCpus.includes(cpu));
  if (workerCpus.length === 0 || free.length === 0) return;
  const mask = cpuMask(free);
  for (let queue = 0; queue < queueCount; queue++) {
    const path = `/sys/class/vduse/${name}/vq${queue}/irq_cb_affinity`;
    if (existsSync(path)) writeFileSync(path, `${mask}\n`);
  }
}
