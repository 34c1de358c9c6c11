// The command line of `npm run vm`. Pure.

import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_KERNEL, KERNEL_NAMES } from "./kernels.ts";
import { DEFAULT_OPTIONS } from "./qemu.ts";
import { QEMU_NAMES, type QemuName } from "./qemus.ts";

export interface Options {
  kernel: string;
  memory: number;
  processors: number;
  hugepages: number;
  iommu: boolean;
  nics: boolean;
  qemu: QemuName;
  timeout: number;
  qemuArg: string[];
}

export interface Request {
  options: Options;
  /** Words as they are, or where there is only one, a text for a shell. */
  command: readonly string[] | string;
}

function number(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("a whole number is wanted");
  return value;
}

/** Words of the command keep their dashes: options of ours come before it. */
export function parse(argv: readonly string[], configure: (command: Command) => void = () => {}): Request {
  const command = new Command("vm")
    .description("Runs a command in a virtual machine with a kernel of its own and the host's root, read-only.")
    .argument("<command...>", "a program and its arguments, or one text for a shell")
    .addOption(new Option("--kernel <name>", "to boot").choices(KERNEL_NAMES).default(DEFAULT_KERNEL))
    .option("--memory <MiB>", "of the machine", number, DEFAULT_OPTIONS.memory)
    .option("--processors <count>", "of the machine", number, DEFAULT_OPTIONS.processors)
    .option("--hugepages <count>", "of 2 MiB, mounted on /dev/hugepages", number, DEFAULT_OPTIONS.hugepages)
    .option("--iommu", "an emulated Intel IOMMU, for VFIO", false)
    .option(
      "--nics",
      "NICs for VFIO with partners that the guest's kernel drives, and the IOMMU (scripts/vm/nics.ts)",
      false,
    )
    .addOption(new Option("--qemu <name>", "that runs it").choices(QEMU_NAMES).default(DEFAULT_OPTIONS.qemu))
    .option("--timeout <seconds>", "after which the command is ended", number, 600)
    .option(
      "--qemu-arg <word>",
      "handed on to QEMU; repeat it for each word",
      (word, all: string[]) => [...all, word],
      [],
    )
    .passThroughOptions()
    .allowExcessArguments();
  configure(command);
  command.parse([...argv], { from: "user" });
  const words = command.args;
  return { options: command.opts<Options>(), command: words.length === 1 ? words[0] : words };
}
