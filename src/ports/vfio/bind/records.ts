// What is remembered of the NICs that were taken, so that each gets back what it had, also from another process after a crash:
//
//   /run/ringyard/nics/0000:03:00.0.json     { driver: "e1000e", override: "", by: "person" }
//
// One file for each NIC, written under another name and renamed: it is whole, and there before the driver is taken away. /run is
// empty after a boot, and so are the drivers' overrides. One place for all switches of a machine: NICs are the machine's.
// Control thread.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RingyardError } from "../../../core/errors.ts";
import type { NicTaker } from "../../../core/nics.ts";
import { pciAddress } from "./address.ts";

export const RECORDS = "/run/ringyard/nics";

export interface NicRecord {
  /** The driver that it had; "" for none. */
  driver: string;
  /** What stood in driver_override; "" for nothing. */
  override: string;
  by: NicTaker;
}

export class Records {
  constructor(private readonly folder = RECORDS) {}

  /** Addresses that there are records of. */
  addresses(): string[] {
    try {
      const names = readdirSync(this.folder).map((name) => /^(.+)\.json$/.exec(name)?.[1] ?? "");
      return names.filter((name) => pciAddress(name) === name).sort();
    } catch {
      return [];
    }
  }

  /** Undefined where there is none, or none that can be read. */
  read(address: string): NicRecord | undefined {
    try {
      const { driver, override, by } = JSON.parse(readFileSync(this.path(address), "utf8"));
      if (typeof driver !== "string" || typeof override !== "string") return undefined;
      return { driver, override, by: by === "port" ? "port" : "person" };
    } catch {
      return undefined;
    }
  }

  /** Throws RingyardError: what cannot be remembered is not taken. */
  write(address: string, record: NicRecord): void {
    const path = this.path(address);
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
      renameSync(`${path}.${process.pid}`, path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const kind = code === "EACCES" || code === "EPERM" ? "PERMISSION" : "SYSTEM";
      const next =
        kind === "PERMISSION" ? "taking a NIC needs root: sudo ringyard" : "without it the NIC could not be given back";
      throw new RingyardError(kind, `${address}: cannot write ${path}: ${code}`, next);
    }
  }

  remove(address: string): void {
    rmSync(this.path(address), { force: true });
  }

  private path(address: string): string {
    return join(this.folder, `${address}.json`);
  }
}
