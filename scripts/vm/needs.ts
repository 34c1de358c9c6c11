// What a test file that runs in a virtual machine needs of it, said in the file itself, one need a line:
//
//   // VM: hugepages 256                      of 2 MiB, on /dev/hugepages
//   // VM: memory 4096                        MiB
//   // VM: processors 2                       where threads must race; runs alone, in the end; without this line one, but two in the long run
//   // VM: nested                             nothing more, but it runs guests inside: once more where that spoils the run (console.ts)
//   // VM: iommu
//   // VM: nics                               the network devices of nics.ts, and an IOMMU
//   // VM: qemu backports                     a newer QEMU (qemus.ts), whose NICs are igb, too
//   // VM: kernels sid                        not on the others; without this line on 6.12 and sid
//   // VM: also build                         on these too, when the tests run in full (`npm run test:long`)
//   // VM: prepare test/support/peer.ts       a program that the host runs before the boot, to fill the cache
//
// Files of one boot share a machine that has what each of them needs; those that want other devices or another QEMU have a boot
// of their own (`machineKind`). Pure.

import { RingyardError } from "../../src/core/errors.ts";
import { QEMU_NAMES, type QemuName } from "./qemus.ts";

const NUMBERS = ["hugepages", "memory", "processors"] as const;
const FLAGS = ["nested", "iommu", "nics"] as const;
const USUAL_KERNELS: readonly string[] = ["6.12", "sid"];

export interface Needs {
  hugepages?: number;
  memory?: number;
  processors?: number;
  nested?: boolean;
  iommu?: boolean;
  nics?: boolean;
  qemu?: QemuName;
  kernels?: readonly string[];
  also?: readonly string[];
  prepare: readonly string[];
}

/** Reads the lines of a test file; `path` is for the error. */
export function readNeeds(text: string, path: string): Needs {
  const prepare: string[] = [];
  const needs: Needs = { prepare };
  for (const [line, name, value] of text.matchAll(/^\/\/ VM: (\S+)[ \t]*(.*)$/gm)) {
    if (name === "prepare" && value !== "") prepare.push(value.trim());
    else if ((name === "kernels" || name === "also") && value !== "") needs[name] = value.trim().split(/[ ,]+/);
    else if (isFlag(name) && value === "") needs[name] = true;
    else if (name === "qemu" && isQemu(value.trim())) needs.qemu = value.trim() as QemuName;
    else if (isNumber(name) && /^\d+$/.test(value)) needs[name] = Number(value);
    else throw new RingyardError("BAD_OPTION", `${path}: "${line}" is no need`, "see scripts/vm/needs.ts");
  }
  return needs;
}

/** Whether a file with these needs runs on `kernel`; `full`: in the long run. */
export function runsOn(kernel: string, { kernels = USUAL_KERNELS, also = [] }: Needs, full: boolean): boolean {
  return kernels.includes(kernel) || (full && also.includes(kernel));
}

function isNumber(name: string): name is (typeof NUMBERS)[number] {
  return (NUMBERS as readonly string[]).includes(name);
}

function isFlag(name: string): name is (typeof FLAGS)[number] {
  return (FLAGS as readonly string[]).includes(name);
}

function isQemu(value: string): value is QemuName {
  return (QEMU_NAMES as readonly string[]).includes(value);
}

/** Files with the same kind may share a boot. */
export function machineKind({ nics = false, qemu = "installed", processors = 1 }: Needs): string {
  return `${nics ? "nics" : "plain"} ${qemu} ${processors}`;
}

/** A machine that has what all of them need; they are of one kind. */
export function together(all: readonly Needs[]): Needs {
  const highest = (name: (typeof NUMBERS)[number]) => {
    const values = all.flatMap((needs) => needs[name] ?? []);
    return values.length === 0 ? {} : { [name]: Math.max(...values) };
  };
  const flag = (name: "iommu" | "nics") => (all.some((needs) => needs[name]) ? { [name]: true } : {});
  const qemu = all.find((needs) => needs.qemu !== undefined)?.qemu;
  const prepare = [...new Set(all.flatMap((needs) => needs.prepare))];
  return {
    ...highest("hugepages"),
    ...highest("memory"),
    ...highest("processors"),
    ...flag("iommu"),
    ...flag("nics"),
    ...(qemu && { qemu }),
    prepare,
  };
}
