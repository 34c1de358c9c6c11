// Limits of this process (getrlimit(2)). Any thread; they are the whole process's.

import { libc } from "./libc.ts";

const RLIMIT_MEMLOCK = 8;

/** struct rlimit { rlim_t rlim_cur, rlim_max }; RLIM_INFINITY is all ones. */
const UNLIMITED = 2n ** 64n - 1n;

/**
 * Lets this process pin as much memory as it may: without limit where it is privileged (CAP_SYS_RESOURCE), else up to its hard
 * limit. Returns whether that is more than before.
 */
export function raiseLockedMemoryLimit(): boolean {
  const limit = new BigUint64Array(2);
  if (libc.getrlimit(RLIMIT_MEMLOCK, limit) !== 0) return false;
  const [soft, hard] = limit;
  for (const wanted of [UNLIMITED, hard]) {
    if (wanted > soft && libc.setrlimit(RLIMIT_MEMLOCK, new BigUint64Array([wanted, wanted])) === 0) return true;
  }
  return false;
}
