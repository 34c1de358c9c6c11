// Names of vendors and devices from pci.ids, where the machine has it (package pci.ids, or hwdata): read once, looked through for
// the few NICs that there are.
//
//   8086  Intel Corporation
//   <tab>10d3  82574L Gigabit Network Connection
//   <tab><tab>…subsystems, not wanted here
//
// Any thread.

import type { Sysfs } from "./sysfs.ts";

const PLACES = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];

export interface PciName {
  vendor: string;
  /** Absent where only the vendor is known. */
  device?: string;
}

export class PciIds {
  private constructor(private readonly text: string) {}

  static read(machine: Sysfs): PciIds {
    for (const place of PLACES) {
      const text = machine.text(place);
      if (text !== undefined) return new PciIds(`\n${text}\n`);
    }
    return new PciIds("");
  }

  /** Ids as sysfs has them, four hexadecimal digits. Undefined where there is no file, or nobody told it. */
  find(vendor: string, device: string): PciName | undefined {
    const at = this.text.indexOf(`\n${vendor}  `);
    if (at < 0) return undefined;
    const nextVendor = /\n[0-9a-zA-Z]/g;
    nextVendor.lastIndex = at + 1;
    const part = this.text.slice(at, nextVendor.exec(this.text)?.index);
    const name = (line: string) => part.split(line)[1]?.split("\n")[0].trim();
    const named = name(`\n\t${device}  `);
    return { vendor: name(`\n${vendor}  `) ?? "", ...(named && { device: named }) };
  }
}
