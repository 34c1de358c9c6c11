// Two containers on VDUSE devices, inside a virtual machine with a kernel that has them: ringyard beside DPDK's VDUSE back end, in
// the same machine, taking turns. The machine is emulated, so every figure is small; what counts is how they compare.
//
//   host: this file ---boots---> machine: vduse-inside.ts ---a line for each sample---> host

import { trixieRoot } from "../../scripts/vm/trixie.ts";
import { runInside } from "../inside.ts";
import { DPDK_PACKAGES } from "../peers/trixie-dpdk.ts";
import { vduseAdaptive, vduseBusy, vduseUmem } from "../peers/vduse-ringyard.ts";
import { vduseTestpmd } from "../peers/vduse-testpmd.ts";
import type { Context, Suite } from "../suite.ts";
import { costOf, MANY, PING_MEAN, PING_MEDIAN, PING_MIN, TCP, TWO_PORTS } from "./vduse-subjects.ts";

const KERNEL = "6.12";
const HUGEPAGES = 256;
/**
 * Without `rep movsb` for copies, which the emulator does byte by byte: 64 KiB take the guest's libc 2 ms with it and 23 us
 * without, and read(2) of as much 158 us and 50 us. With it, what is measured is mostly iperf3's copies.
 */
export const CPU = "max,-erms,-fsrm";
export const VDUSE_SYSTEM_NAMES = [vduseBusy, vduseTestpmd, vduseAdaptive, vduseUmem].map(({ name }) => name);

async function run(context: Context): Promise<void> {
  const systems = VDUSE_SYSTEM_NAMES.filter((name) => context.systems.includes(name));
  if (systems.includes(vduseTestpmd.name)) await trixieRoot(DPDK_PACKAGES, { say: context.say });
  const machine = { kernel: KERNEL, hugepages: HUGEPAGES, qemuArgs: ["-cpu", CPU] };
  await runInside(context, machine, "bench/suites/vduse-inside.ts", systems);
}

export const vduse: Suite = {
  name: "vduse",
  about: "two containers on VDUSE devices in an emulated machine, beside DPDK's back end; 16 ports beside 2",
  bars: [
    { subject: TCP, against: vduseTestpmd.name, atLeast: 1.2 },
    { subject: PING_MIN, against: vduseTestpmd.name, atMost: 1 },
    { subject: PING_MEAN, against: vduseTestpmd.name, atMost: 1 },
    { subject: PING_MEDIAN, system: vduseAdaptive.name, against: vduseTestpmd.name, atMost: 3 },
    { subject: PING_MEAN, system: vduseAdaptive.name, against: vduseTestpmd.name, atMost: 3 },
    { subject: costOf(MANY), against: TWO_PORTS, atMost: 1 },
  ],
  run,
};
