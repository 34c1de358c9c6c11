// The part of sysfs and procfs that taking a NIC needs: texts, lists, links, and writes that the kernel acts in.
//
//   /sys/bus/pci/devices/0000:03:00.0/    vendor device class driver -> driver_override iommu_group -> net/eth0 virtioN/net/eth0
//   /sys/bus/pci/drivers/vfio-pci/        bind unbind        /sys/bus/pci/drivers_probe        /sys/kernel/iommu_groups/N/devices/
//
// A write to bind, unbind or drivers_probe runs a driver's probe or remove inside write(2), for seconds: so writes are
// asynchronous, on a thread of the file system's pool, and the control thread goes on. `root` is "/" but in tests.

import { constants, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { RingyardError } from "../../../core/errors.ts";

export const DEVICES = "sys/bus/pci/devices";
export const DRIVERS = "sys/bus/pci/drivers";

export class Sysfs {
  constructor(readonly root = "/") {}

  /** A file's text without blanks around it; undefined where it cannot be read. */
  text(path: string): string | undefined {
    try {
      return readFileSync(join(this.root, path), "utf8").trim();
    } catch {
      // Devices come and go.
      return undefined;
    }
  }

  /** The names in a folder, sorted; none where there is no such folder. */
  list(path: string): string[] {
    try {
      return readdirSync(join(this.root, path)).sort();
    } catch {
      return [];
    }
  }

  /** The last word of what a link points to: a driver's name, a group's number. */
  link(path: string): string | undefined {
    try {
      return basename(readlinkSync(join(this.root, path)));
    } catch {
      return undefined;
    }
  }

  has(path: string): boolean {
    return this.list(path).length > 0 || this.text(path) !== undefined;
  }

  /** One write(2); `subject` is for the error. Throws RingyardError: PERMISSION, or SYSTEM with the kernel's code. */
  async write(path: string, text: string, subject: string): Promise<void> {
    try {
      const file = await open(join(this.root, path), constants.O_WRONLY);
      try {
        await file.write(text);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw writeFailure(error, path, subject);
    }
  }
}

export function writeFailure(error: unknown, path: string, subject: string): RingyardError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EROFS") {
    const next = "/sys is mounted read-only here: run it on the host, or in a privileged container";
    return new RingyardError("PERMISSION", `${subject}: cannot write /${path}`, next);
  }
  if (code === "EACCES" || code === "EPERM") {
    const next = "binding drivers needs root (CAP_DAC_OVERRIDE in the host's namespace): sudo ringyard";
    return new RingyardError("PERMISSION", `${subject}: may not write /${path}`, next);
  }
  return new RingyardError("SYSTEM", `${subject}: /${path}: ${code ?? error}`, "dmesg says more");
}
