// Two containers on VDUSE devices, inside a virtual machine with a kernel that has them: ringyard beside DPDK's VDUSE back end, in
// the same machine, taking turns. The machine is emulated, so every figure is small; what counts is how they compare.
//
//   host: this file ---boots---> machine: vduse-inside.ts ---a line for each sample---> host

import { bootVm } from "../../scripts/vm/machine.ts";
import { trixieRoot } from "../../scripts/vm/trixie.ts";
import { vduseAdaptive, vduseBusy, vduseNoUmem } from "../peers/vduse-ringyard.ts";
import { DPDK_PACKAGES, vduseTestpmd } from "../peers/vduse-testpmd.ts";
import type { Context, Suite } from "../suite.ts";
import { COST, type Line, PING_MEAN, PING_MEDIAN, PING_MIN, TCP, TWO_PORTS } from "./vduse-subjects.ts";

const KERNEL = "6.12";
const HUGEPAGES = 256;
/**
 * Without `rep movsb` for copies, which the emulator does byte by byte: 64 KiB take the guest's libc 2 ms with it and 23 us
 * without, and read(2) of as much 158 us and 50 us. With it, what is measured is mostly iperf3's copies.
 */
const CPU = "max,-erms,-fsrm";
/** For one round of everything, with patience for a busy host. */
const ROUND_LIMIT_S = 900;

export const VDUSE_SYSTEM_NAMES = [vduseBusy, vduseTestpmd, vduseAdaptive, vduseNoUmem].map(({ name }) => name);

/** Calls `take` with each whole line. */
function byLine(take: (line: string) => void): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) take(line);
  };
}

async function run(context: Context): Promise<void> {
  const systems = VDUSE_SYSTEM_NAMES.filter((name) => context.systems.includes(name));
  if (systems.includes(vduseTestpmd.name)) await trixieRoot(DPDK_PACKAGES, { say: context.say });
  const vm = await bootVm({ kernel: KERNEL, hugepages: HUGEPAGES, qemuArgs: ["-cpu", CPU], say: context.say });
  const close = context.undo.defer(() => vm.close());
  const take = byLine((text) => {
    if (!text.startsWith("{")) return context.say(text);
    const line: Line = JSON.parse(text);
    if ("sample" in line) context.sample(line.sample);
    else if ("failed" in line) context.failed(...line.failed);
    else context.say(line.say);
  });
  const words = ["bun", "bench/suites/vduse-inside.ts", `${context.rounds}`, `${context.seconds}`, systems.join()];
  const { code } = await vm.run(words, {
    seconds: context.rounds * ROUND_LIMIT_S,
    stdout: take,
    stderr: byLine(context.say),
  });
  if (code !== 0) context.failed("the rounds", `ended with ${code}`);
  for (const complaint of await vm.complaints()) context.failed("the kernel", complaint);
  await close();
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
    { subject: COST, against: TWO_PORTS, atMost: 1 },
  ],
  run,
};
