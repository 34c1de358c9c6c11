// What the tests of TAP ports need of the machine, and how they look at it from outside: with iproute2, never with the
// code under test. Main thread of a test process.

import { existsSync } from "node:fs";
import { release } from "node:os";
import { requirePeer, type Suite } from "./skip.ts";

/** A name for a device that no other test process uses: our own namespace is everybody's. */
export const TAP_NAME = `ryt${process.pid}`;

/** Whether TAP devices here know UDP segmentation (TUN_F_USO4, TUN_F_USO6): since Linux 6.2. */
export const KERNEL_HAS_USO = Bun.semver.order(`${/^\d+\.\d+/.exec(release())![0]}.0`, "6.2.0") >= 0;

/** `describe` where TAP devices and namespaces can be made; see `requirePeer`. */
export function requireTap(): Suite {
  if (process.getuid?.() !== 0) return requirePeer("TAP devices", false, "run the tests as root");
  if (Bun.which("ip") === null) return requirePeer("TAP devices", false, "apt install iproute2");
  return requirePeer("TAP devices", existsSync("/dev/net/tun"), "no /dev/net/tun: modprobe tun");
}

/** A device as `ip -details link` shows it. */
export interface LinkView {
  ifname: string;
  link_type: string;
  address: string;
  mtu: number;
  flags: string[];
  linkinfo?: { info_kind: string; info_data?: Record<string, unknown> };
}

/** The devices in a namespace (by name), or in ours. */
export function links(namespace?: string): LinkView[] {
  const where = namespace === undefined ? [] : ["-n", namespace];
  const { stdout, stderr, success } = Bun.spawnSync(["ip", ...where, "-json", "-details", "link"]);
  if (!success) throw new Error(`ip link: ${stderr.toString().trim()}`);
  return JSON.parse(stdout.toString());
}

export function linkNames(namespace?: string): string[] {
  return links(namespace)
    .map(({ ifname }) => ifname)
    .sort();
}
