// The port kind `vfio:ADDRESS`: a NIC that ringyard takes from the kernel and drives by itself.
//
//   vfio:0000:03:00.0?iommu=auto&queues=2&rxdesc=512&txdesc=512&mac=02:…&promisc=on
//
// Control thread only.

import { existsSync, readdirSync } from "node:fs";
import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import type { Port, PortHost, PortKind, PortProbe, PortSpec, TargetProblem } from "../port.ts";
import { powerOfTwo } from "../power-of-two.ts";
import { pciAddress } from "./bind/address.ts";
import { machineNics } from "./bind/binder.ts";
import { MAX_DESCRIPTORS, MIN_DESCRIPTORS, VfioPort } from "./port.ts";

const GROUPS = "/sys/kernel/iommu_groups";

const descriptors = powerOfTwo(MIN_DESCRIPTORS, MAX_DESCRIPTORS);

export const vfio: PortKind = {
  kind: "vfio",
  summary: "a NIC taken from the kernel (ringyard nic list shows them)",
  targetForm: "PCI-ADDRESS",
  options: {
    iommu: z.enum(["auto", "type1", "iommufd"]).optional(),
    rxdesc: descriptors.optional(),
    txdesc: descriptors.optional(),
    promisc: z.enum(["on", "off"]).optional(),
  },
  check,
  probe,
  async removeLeftovers() {
    const { given, failed, served } = await machineNics().giveAll({ by: "port" });
    return { removed: given, failed, served };
  },
  async open(spec: PortSpec, host: PortHost): Promise<Port> {
    const wrong = check(spec.target);
    if (wrong !== undefined) throw new RingyardError("BAD_URI", `vfio ${wrong.message}`, wrong.next);
    const port = new VfioPort(spec, host, pciAddress(spec.target) as string);
    try {
      await port.start();
      return port;
    } catch (error) {
      await port.close();
      throw error;
    }
  },
};

function check(target: string): TargetProblem | undefined {
  if (pciAddress(target) !== undefined) return undefined;
  const message = `${quoted(target.slice(0, 40))} is no PCI address`;
  return { message, next: "write it as 0000:03:00.0; ringyard nic list shows them" };
}

function probe(): PortProbe {
  if (!existsSync(GROUPS) || readdirSync(GROUPS).length === 0) {
    const next = "switch it on in the firmware, and boot with intel_iommu=on (AMD's is on by itself)";
    return { available: false, reason: "the kernel has no IOMMU", next };
  }
  if (!existsSync("/sys/bus/pci/drivers/vfio-pci")) {
    return { available: false, reason: "the kernel's vfio-pci is not loaded", next: "modprobe vfio-pci" };
  }
  return { available: true };
}
