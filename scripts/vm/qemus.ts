// The QEMU that runs a virtual machine, by the names that `--qemu` takes:
//   installed   the machine's own
//   backports   of Debian trixie-backports, in a folder of the cache (trixie.ts): newer devices, such as igb
// A program of another Debian runs here by that Debian's dynamic loader, which needs no chroot: the host's root, its kernels and
// sockets stay where they are.

import { join } from "node:path";
import { trixieRoot } from "./trixie.ts";

export const QEMU_NAMES = ["installed", "backports"] as const;
export type QemuName = (typeof QEMU_NAMES)[number];

const PACKAGES = ["qemu-system-x86"];
const BACKPORTS = { backports: true } as const;

export interface Qemu {
  /** The program, with what must come before its own arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Whether it has the 82576 (igb), which came with QEMU 8.0. */
  readonly igb: boolean;
}

export const INSTALLED: Qemu = { command: ["qemu-system-x86_64"], env: {}, igb: false };

/** Finds it, or makes its folder: about a minute, as root, once. */
export async function findQemu(name: QemuName, say: (line: string) => void): Promise<Qemu> {
  if (name === "installed") return INSTALLED;
  return qemuIn(await trixieRoot(PACKAGES, { ...BACKPORTS, say }));
}

/** The QEMU of a folder of Debian. */
export function qemuIn(root: string): Qemu {
  const libraries = join(root, "usr/lib/x86_64-linux-gnu");
  return {
    command: [
      join(libraries, "ld-linux-x86-64.so.2"),
      ...["--library-path", libraries],
      join(root, "usr/bin/qemu-system-x86_64"),
      // It looks for its firmware beside itself, and "itself" is the loader.
      ...["-L", join(root, "usr/share/qemu"), "-L", join(root, "usr/share/seabios")],
    ],
    env: { QEMU_MODULE_DIR: join(libraries, "qemu") },
    igb: true,
  };
}
