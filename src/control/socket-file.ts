// The control socket's name in the file system. Nobody else may ever connect, a dead switch's socket is replaced, a
// living one's is not, and two switches that start together cannot both win:
//
//   bind PATH.PID (mode 0600 from birth)  --link(2)-->  PATH       link fails where PATH exists: then somebody has it
//   PATH is stale  --rename(2)-->  PATH.PID.old  -- still dead? --> unlink, link again
//
// One at a time, under the lock of PATH's folder: else a third could take PATH while a second looks at what it renamed, and finds the
// first alive. The second look after the rename is for whoever takes no lock. Control thread.

import { linkSync, lstatSync, renameSync, rmSync, type Stats, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { RingyardError } from "../core/errors.ts";
import { SysError } from "../sys/errno.ts";
import { closeFd, O_RDONLY, openFd, tryLock } from "../sys/fd.ts";
import { CONTROL_PATH_MAX } from "./paths.ts";

/** Each attempt is lost to another process that takes the path in the same moment. */
const ATTEMPTS = 8;
/** Who has the folder's lock needs it for milliseconds; but many may start together, on a machine that is busy. */
const LOCK_ATTEMPTS = 2000;
const LOCK_PAUSE_MS = 5;

/**
 * Publishes a listening socket at `path`. `bind` must bind it at the path it is given.
 * Throws BUSY where a living switch has the path, EXISTS where something else than a socket is there.
 */
export async function publishSocket(path: string, bind: (path: string) => void): Promise<void> {
  const size = Buffer.byteLength(path);
  if (size > CONTROL_PATH_MAX) {
    throw new RingyardError(
      "BAD_OPTION",
      `control path of ${size} bytes is too long`,
      `name one of at most ${CONTROL_PATH_MAX} with --control`,
    );
  }
  // Looked at first, so that the usual refusal leaves no trace at all.
  await refuseUnlessStale(path, path);
  const own = `${path}.${process.pid}`;
  bindPrivately(own, path, bind);
  let folder = -1;
  try {
    folder = openFd(dirname(path), O_RDONLY);
    await lock(folder);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        linkSync(own, path);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw systemError("link", path, error);
      }
      await removeStale(path);
    }
    throw new RingyardError("BUSY", `${path} is taken again and again`, "name another path with --control");
  } finally {
    rmSync(own, { force: true });
    closeFd(folder);
  }
}

/** Waits for the lock of a folder, and goes on without where it is not to be had: not every file system locks folders. */
async function lock(folder: number): Promise<void> {
  try {
    for (let attempt = 0; attempt < LOCK_ATTEMPTS && !tryLock(folder); attempt++) await Bun.sleep(LOCK_PAUSE_MS);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
}

/** Removes the socket's name, if it is still ours: `inode` as `socketInode` gave it. */
export function withdrawSocket(path: string, inode: number): void {
  if (socketInode(path) === inode) rmSync(path, { force: true });
}

/** The inode of a socket file, or -1. */
export function socketInode(path: string): number {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() ? found.ino : -1;
}

function bindPrivately(own: string, path: string, bind: (path: string) => void): void {
  rmSync(own, { force: true });
  const umask = process.umask(0o177);
  try {
    bind(own);
  } catch (error) {
    throw systemError("bind", path, error);
  } finally {
    process.umask(umask);
  }
}

async function removeStale(path: string): Promise<void> {
  await refuseUnlessStale(path, path);
  const old = `${path}.${process.pid}.old`;
  try {
    renameSync(path, old);
  } catch {
    return; // Somebody else removed it.
  }
  try {
    await refuseUnlessStale(old, path);
  } catch (error) {
    // It came alive in between: give it its name back.
    if (socketInode(path) < 0) linkSync(old, path);
    throw error;
  } finally {
    unlinkSync(old);
  }
}

/** Returns where nothing listens at `at`; messages speak of `path`. */
async function refuseUnlessStale(at: string, path: string): Promise<void> {
  const found = lookAt(at, path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new RingyardError(
      "EXISTS",
      `${path} exists and is no socket`,
      "remove it, or name another path with --control",
    );
  }
  let code: string | undefined;
  try {
    const socket = await Bun.connect({ unix: at, socket: { data() {} } });
    socket.end();
  } catch (error) {
    code = (error as NodeJS.ErrnoException).code;
  }
  if (code === "ECONNREFUSED" || code === "ENOENT") return;
  if (code !== undefined) throw systemError("connect to", path, code);
  throw new RingyardError(
    "BUSY",
    `a switch is already running at ${path}`,
    "stop it, or name another path with --control",
  );
}

function lookAt(at: string, path: string): Stats | undefined {
  try {
    return lstatSync(at, { throwIfNoEntry: false });
  } catch (error) {
    throw systemError("look at", path, error);
  }
}

function systemError(what: string, path: string, error: unknown): RingyardError {
  const code = typeof error === "string" ? error : ((error as NodeJS.ErrnoException).code ?? String(error));
  return new RingyardError("SYSTEM", `cannot ${what} ${path}: ${code}`, "name another path with --control");
}
