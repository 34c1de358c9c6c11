// Where the control socket lies unless `--control` says otherwise: the same answer for the switch and for its clients.
//
//   root            /run/ringyard/control.sock
//   a user          $XDG_RUNTIME_DIR/ringyard/control.sock, or /tmp/ringyard-UID/control.sock without a session
//
// The directory is made with mode 0700 and must belong to us: in /tmp anyone could have made it before.

import { lstatSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { RingyardError } from "../core/errors.ts";
import { fitsLine } from "../core/quote.ts";

/** sun_path has 108 bytes with its NUL (linux/un.h); the longest name used is `PATH.PID.old` (socket-file.ts), a PID has 7 digits. */
export const CONTROL_PATH_MAX = 107 - ".4194304.old".length;

export function defaultControlPath(
  uid = process.getuid?.() ?? 0,
  env: Record<string, string | undefined> = process.env,
): string {
  if (uid === 0) return "/run/ringyard/control.sock";
  const base = env.XDG_RUNTIME_DIR;
  // It is said in lines for people, and --control takes no other either.
  if (base?.startsWith("/") && fitsLine(base)) return join(base, "ringyard", "control.sock");
  return `/tmp/ringyard-${uid}/control.sock`;
}

/** Makes the directory of a default path. A directory that a person named is theirs to make. */
export function makeControlDirectory(path: string): void {
  const directory = dirname(path);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") {
      throw new RingyardError("SYSTEM", `cannot make ${directory}: ${code}`, "name another place with --control PATH");
    }
  }
  const found = lstatSync(directory);
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return;
  throw new RingyardError(
    "PERMISSION",
    `${directory} is not a directory that only we can write`,
    "remove it, or name another place with --control PATH",
  );
}
