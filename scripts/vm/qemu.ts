// QEMU's command line for a virtual machine. Software emulation, since many machines that build and test have nothing else.
// Pure.

import { RingyardError } from "../../src/core/errors.ts";

export interface MachineOptions {
  /** MiB. */
  memory: number;
  processors: number;
  /** Of 2 MiB, reserved at boot and mounted on /dev/hugepages. */
  hugepages: number;
  /** An Intel IOMMU with interrupt remapping, for VFIO. */
  iommu: boolean;
  /** Handed on: `["-device", "e1000e"]`. */
  qemuArgs: readonly string[];
}

export const DEFAULT_OPTIONS: Readonly<MachineOptions> = {
  memory: 3072,
  processors: 2,
  hugepages: 0,
  iommu: false,
  qemuArgs: [],
};

/** The virtio-serial ports that agent.sh looks for by name, each a socket NAME.sock in the machine's folder. */
export const PORTS = ["control", "out", "err"] as const;
export type Port = (typeof PORTS)[number];

export interface Image {
  readonly kernel: string;
  readonly initramfs: string;
  /** Sockets and console.log. */
  readonly folder: string;
  /** The writable share. */
  readonly results: string;
}

export function qemuCommand(options: MachineOptions, image: Image): string[] {
  if (options.hugepages * 2 > options.memory - 512) {
    const needed = options.hugepages * 2 + 512;
    throw new RingyardError("LIMIT", `${options.hugepages} hugepages in ${options.memory} MiB`, `--memory ${needed}`);
  }
  const append = [
    "console=ttyS0 quiet panic=-1",
    // What costs time in emulation, or complains when the host is slow.
    "mitigations=off nokaslr no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on",
    // Self-tests of the kernel's cryptography: the one of its random numbers may take minutes on a busy host.
    "cryptomgr.notests",
    ...(options.iommu ? ["intel_iommu=on"] : []),
  ];
  return [
    "qemu-system-x86_64",
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", `${options.processors}`, "-m", `${options.memory}`],
    ...["-machine", options.iommu ? "q35,kernel-irqchip=split" : "q35"],
    ...["-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"],
    ...(options.iommu ? ["-device", "intel-iommu,intremap=on,caching-mode=on"] : []),
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
    ...["-kernel", image.kernel, "-initrd", image.initramfs, "-append", append.join(" ")],
    ...options.qemuArgs,
  ];
}
