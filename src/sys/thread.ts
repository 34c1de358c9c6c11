// This thread's place: its CPU and its network namespace. Each acts on the calling thread only (pid 0, setns(2)).

import { check } from "./errno.ts";
import { closeFd, O_RDONLY, openFd } from "./fd.ts";
import { libc } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;

/** Binds the calling thread to one CPU. Throws SysError (EINVAL: no such CPU for this process). */
export function pinToCpu(cpu: number): void {
  const mask = new Uint8Array(128); // cpu_set_t: 1024 bits
  mask[cpu >> 3] = 1 << (cpu & 7);
  check(libc.sched_setaffinity(0, mask.length, mask), "sched_setaffinity", `cpu ${cpu}`);
}

/**
 * Runs `action` with the calling thread in the network namespace of `netnsFd`, and comes back. `action` must not await: the
 * thread is in the other namespace until it returns. Throws SysError (setns EINVAL: no network namespace).
 */
export function inNetns<T>(netnsFd: number, action: () => T): T {
  const home = openFd("/proc/thread-self/ns/net", O_RDONLY);
  try {
    check(libc.setns(netnsFd, CLONE_NEWNET), "setns");
    try {
      return action();
    } finally {
      check(libc.setns(home, CLONE_NEWNET), "setns", "back home");
    }
  } finally {
    closeFd(home);
  }
}
