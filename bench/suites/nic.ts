// NIC to NIC, inside a virtual machine with emulated NICs and an IOMMU: ringyard beside DPDK's testpmd on the same two NICs, taking
// turns. Every figure is small, for the NICs are emulated, too; what counts is how they compare.

import { trixieRoot } from "../../scripts/vm/trixie.ts";
import { runInside } from "../inside.ts";
import { nicBusy, nicRingyard } from "../peers/nic-ringyard.ts";
import { NIC_MODELS } from "../peers/nic-system.ts";
import { nicTestpmd } from "../peers/nic-testpmd.ts";
import { DPDK_PACKAGES } from "../peers/trixie-dpdk.ts";
import type { Context, Suite } from "../suite.ts";
import { FRAME_SIZES, framesOf } from "./nic-subjects.ts";
import { CPU } from "./vduse.ts";

const HUGEPAGES = 256;

export const NIC_SYSTEM_NAMES = [nicRingyard.name, nicBusy.name, nicTestpmd.name];

async function run(context: Context): Promise<void> {
  const systems = NIC_SYSTEM_NAMES.filter((name) => context.systems.includes(name));
  if (systems.includes(nicTestpmd.name)) await trixieRoot(DPDK_PACKAGES, { say: context.say });
  const machine = { kernel: "6.12", nics: true, hugepages: HUGEPAGES, qemuArgs: ["-cpu", CPU] };
  await runInside(context, machine, "bench/suites/nic-inside.ts", systems);
}

export const nic: Suite = {
  name: "nic",
  about: "from NIC to NIC in an emulated machine (VFIO), beside testpmd on the same NICs",
  bars: NIC_MODELS.flatMap((model) =>
    FRAME_SIZES.map((size) => ({ subject: framesOf(model, size), against: nicTestpmd.name, atLeast: 1 })),
  ),
  run,
};
