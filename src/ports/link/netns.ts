// A network namespace: from the word in an option to a descriptor, and into it. Any thread; it enters for itself alone.

import { RingyardError } from "../../core/errors.ts";
import { phrase } from "../../core/quote.ts";
import { EACCES, EINVAL, ENOENT, EPERM, SysError } from "../../sys/errno.ts";
import { closeFd, O_NONBLOCK, openFd } from "../../sys/fd.ts";
import { inNetns } from "../../sys/thread.ts";

/** Where a namespace's file is: `ip netns` keeps names in /run/netns (ip-netns(8)). */
export function netnsPath(value: string): string {
  if (value.startsWith("/")) return value;
  return /^\d+$/.test(value) ? `/proc/${value}/ns/net` : `/run/netns/${value}`;
}

/** A descriptor of the namespace, which can be entered. Throws RingyardError. */
export function openNetns(path: string): number {
  let fd = -1;
  try {
    // A path may name anything; a FIFO must not stop us.
    fd = openFd(path, O_NONBLOCK);
    enter(fd, () => undefined);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw explainNetns(error, path);
  }
}

/** Runs `action`, which must not await, inside the namespace of `netnsFd`; -1 is ours. */
export function enter<T>(netnsFd: number, action: () => T): T {
  return netnsFd < 0 ? action() : inNetns(netnsFd, action);
}

/** Why the namespace at `path` cannot be entered. */
function explainNetns(error: unknown, path: string): unknown {
  if (!(error instanceof SysError)) return error;
  const shown = phrase(path);
  const [, name] = /^\/run\/netns\/([^/]+)$/.exec(path) ?? [];
  if (error.errno === ENOENT) {
    const next = name === undefined ? "see that its process runs" : `ip netns add ${phrase(name)}`;
    return new RingyardError("NOT_FOUND", `no network namespace at ${shown}`, next);
  }
  if (error.errno === EPERM || error.errno === EACCES) {
    return new RingyardError("PERMISSION", `may not enter the network namespace at ${shown}`, "run as root");
  }
  if (error.errno === EINVAL) {
    return new RingyardError(
      "BAD_OPTION",
      `${shown} is not a network namespace`,
      "netns takes a name, a PID or a path",
    );
  }
  return new RingyardError("SYSTEM", `network namespace at ${shown}: ${error.message}`);
}
