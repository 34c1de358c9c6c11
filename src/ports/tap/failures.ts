// What can go wrong with a TAP device, in words: each errno of the few system calls it takes, with the next step.
// Control thread only.

import { RingyardError } from "../../core/errors.ts";
import { EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENXIO, EPERM, SysError } from "../../sys/errno.ts";

export const TUN_PATH = "/dev/net/tun";

/** 65535 bytes less the Ethernet header (drivers/net/tun.c, tun_net_initialize). */
export const TAP_MTU_MAX = 65521;

/** Turns what a system call threw into an error for a person; a RingyardError passes as it is. */
export function explain(error: unknown, request: { name: string; mtu?: number }): unknown {
  if (!(error instanceof SysError)) return error;
  const { name, mtu } = request;
  const denied = error.errno === EPERM || error.errno === EACCES;
  if (error.syscall === "open") {
    // ENODEV, ENXIO: the node is there, the driver is not.
    if (error.errno === ENOENT || error.errno === ENODEV || error.errno === ENXIO) {
      const next = `modprobe tun, or start the container with --device ${TUN_PATH}`;
      return new RingyardError("MISSING", `tap: no ${TUN_PATH} on this machine`, next);
    }
    if (denied) {
      const next = `run as root, and a container with --device ${TUN_PATH}`;
      return new RingyardError("PERMISSION", `tap: may not open ${TUN_PATH}`, next);
    }
  }
  if (denied) {
    const next = "run as root or with CAP_NET_ADMIN";
    return new RingyardError("PERMISSION", `tap ${name}: may not make network devices here (${error.message})`, next);
  }
  // Somebody took the name since it was looked up.
  if (error.errno === EBUSY || error.errno === EEXIST) {
    return new RingyardError("EXISTS", `tap ${name}: there is a network device with this name`, "choose another name");
  }
  if (error.errno === EINVAL && mtu !== undefined && mtu > TAP_MTU_MAX) {
    return new RingyardError("BAD_OPTION", `tap ${name}: mtu ${mtu} is too large`, `use at most ${TAP_MTU_MAX}`);
  }
  return new RingyardError("SYSTEM", `tap ${name}: ${error.message}`);
}
