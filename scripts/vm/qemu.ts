// QEMU's command line for a virtual machine. Software emulation, since many machines that build and test have nothing else.
// Pure.

import { join } from "node:path";
import { RingyardError } from "../../src/core/errors.ts";
import { nicArguments, nicsOf, wiresCommand } from "./nics.ts";
import { INSTALLED, type Qemu, type QemuName } from "./qemus.ts";

export interface MachineOptions {
  /** MiB. */
  memory: number;
  processors: number;
  /** Of 2 MiB, reserved at boot and mounted on /dev/hugepages. */
  hugepages: number;
  /** An Intel IOMMU with interrupt remapping, for VFIO. */
  iommu: boolean;
  /** The network devices of nics.ts, and an IOMMU for them. */
  nics: boolean;
  /** Which QEMU runs it (qemus.ts). */
  qemu: QemuName;
  /** Handed on: `["-device", "e1000e"]`. */
  qemuArgs: readonly string[];
}

export const DEFAULT_OPTIONS: Readonly<MachineOptions> = {
  memory: 3072,
  processors: 2,
  hugepages: 0,
  iommu: false,
  nics: false,
  qemu: "installed",
  qemuArgs: [],
};

/** The virtio-serial ports that agent.sh looks for by name, each a socket NAME.sock in the machine's folder. */
export const PORTS = ["control", "out", "err"] as const;
export type Port = (typeof PORTS)[number];

const WIRES = join(import.meta.dir, "wires.sh");

export interface Image {
  readonly kernel: string;
  readonly initramfs: string;
  /** Sockets and console.log. */
  readonly folder: string;
  /** The writable share. */
  readonly results: string;
  /** Default: the machine's own. */
  readonly qemu?: Qemu;
}

export function qemuCommand(options: MachineOptions, image: Image): string[] {
  if (options.hugepages * 2 > options.memory - 512) {
    const needed = options.hugepages * 2 + 512;
    throw new RingyardError("LIMIT", `${options.hugepages} hugepages in ${options.memory} MiB`, `--memory ${needed}`);
  }
  const iommu = options.iommu || options.nics;
  const { command, igb } = image.qemu ?? INSTALLED;
  const nics = options.nics ? nicsOf({ igb }) : [];
  const append = [
    "console=ttyS0 quiet panic=-1",
    // What costs time in emulation, or complains when the host is slow.
    "mitigations=off nokaslr no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on",
    // Self-tests of the kernel's cryptography: the one of its random numbers may take minutes on a busy host.
    "cryptomgr.notests",
    // Before 8.1, QEMU translates a program anew at each address where it finds it.
    "norandmaps",
    ...(iommu ? ["intel_iommu=on"] : []),
  ];
  return [
    ...(options.nics ? wiresCommand(nics, WIRES) : []),
    ...command,
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", `${options.processors}`, "-m", `${options.memory}`],
    ...["-machine", iommu ? "q35,kernel-irqchip=split" : "q35"],
    ...["-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"],
    ...(iommu ? ["-device", "intel-iommu,intremap=on,caching-mode=on"] : []),
    ...["-chardev", `file,id=console,path=${image.folder}/console.log`, "-serial", "chardev:console"],
    ...["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"],
    ...["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"],
    ...["-fsdev", `local,id=results,path=${image.results},security_model=none`],
    ...["-device", "virtio-9p-pci,fsdev=results,mount_tag=results"],
    ...["-device", "virtio-serial-pci"],
    ...PORTS.flatMap((port) => [
      ...["-chardev", `socket,id=${port},path=${image.folder}/${port}.sock`],
      ...["-device", `virtserialport,chardev=${port},name=${port}`],
    ]),
    ...(options.nics ? [...qmpArguments(image.folder), ...nicArguments(nics, image.folder)] : []),
    ...["-kernel", image.kernel, "-initrd", image.initramfs, "-append", append.join(" ")],
    ...options.qemuArgs,
  ];
}

/**
 * A port "qmp" that leads to QEMU's own control protocol, for tests that pull a NIC or its cable (test/support/qmp.ts): QEMU
 * connects to itself. What runs inside may do to its QEMU what it likes, then.
 */
function qmpArguments(folder: string): string[] {
  const path = `${folder}/qmp.sock`;
  return [
    ...["-chardev", `socket,id=monitor,path=${path},server=on,wait=off`, "-mon", "chardev=monitor,mode=control"],
    ...["-chardev", `socket,id=qmp,path=${path}`, "-device", "virtserialport,chardev=qmp,name=qmp"],
  ];
}
