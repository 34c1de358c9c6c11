// Why a device is not had: each reason is one line that names the place and the next step.

import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { RingyardError } from "../../../../src/core/errors.ts";
import { openVfioDevice } from "../../../../src/ports/vfio/device/open.ts";
import { EACCES, EBUSY, EINVAL, EIO, ENOENT, EPERM } from "../../../../src/sys/errno.ts";
import { useCleanup } from "../../../support/cleanup.ts";
import { type FakeDevice, FakeKernel } from "./fake-kernel.ts";

const defer = useCleanup();
const ADDRESS = "0000:03:00.0";

function kernelWith(...devices: Partial<FakeDevice>[]): FakeKernel {
  const kernel = new FakeKernel();
  defer(() => kernel.close());
  for (const device of devices) kernel.add({ address: ADDRESS, group: "7", driver: "vfio-pci", ...device });
  return kernel;
}

function refusal(kernel: FakeKernel, door: "auto" | "type1" | "iommufd" = "auto", address = ADDRESS): string {
  try {
    openVfioDevice(address, { door, machine: kernel.machine }).close();
    return "it opens";
  } catch (error) {
    const { code, advice } = error as RingyardError;
    return `${code}: ${advice}`;
  }
}

describe("before the device is touched", () => {
  test("what is no address, or nobody's", () => {
    expect(refusal(kernelWith(), "auto", "../../etc")).toBe(
      'BAD_URI: "../../etc" is no PCI address: write it as ringyard nic list does: 0000:03:00.0',
    );
    expect(refusal(kernelWith())).toBe(`NOT_FOUND: no PCI device ${ADDRESS}: ringyard nic list`);
  });

  test("a device of the kernel's, or of nobody's", () => {
    expect(refusal(kernelWith({ driver: "e1000e" }))).toBe(
      `BUSY: ${ADDRESS} is driven by e1000e, not by vfio-pci: ringyard nic take ${ADDRESS}`,
    );
    expect(refusal(kernelWith({ driver: "" }))).toBe(
      `BUSY: ${ADDRESS} is driven by nobody, not by vfio-pci: ringyard nic take ${ADDRESS}`,
    );
  });

  test("no IOMMU", () => {
    expect(refusal(kernelWith({ group: "" }))).toBe(
      `UNSUPPORTED: ${ADDRESS} has no IOMMU before it: turn on VT-d or AMD-Vi in the firmware, and on Intel boot with intel_iommu=on`,
    );
  });

  test("no module", () => {
    const kernel = kernelWith({ driver: "e1000e" });
    rmSync(join(kernel.root, "sys/bus/pci/drivers/vfio-pci"), { recursive: true });
    expect(refusal(kernel)).toBe("MISSING: the kernel module vfio-pci is not loaded: modprobe vfio-pci");
  });

  test("a door that this kernel does not have", () => {
    const next = "use iommu=type1, or a kernel with IOMMUFD and VFIO_DEVICE_CDEV";
    expect(refusal(kernelWith({}), "iommufd")).toBe(`MISSING: this kernel has no /dev/iommu: ${next}`);
  });
});

describe("by what the kernel answers", () => {
  test("a group that others keep: they are named, bridges and those of vfio-pci are not", () => {
    const kernel = kernelWith(
      {},
      { address: "0000:03:00.1", driver: "e1000e" },
      { address: "0000:03:00.2", driver: "vfio-pci" },
      { address: "0000:00:1c.0", driver: "pcieport", deviceClass: 0x060400 },
      { address: "0000:03:00.3", driver: "" },
    );
    kernel.viable = false;
    expect(refusal(kernel)).toBe(
      `BUSY: ${ADDRESS} shares IOMMU group 7 with 0000:03:00.1 (e1000e): ` +
        `give those to vfio-pci too (ringyard nic take), or put ${ADDRESS} in another slot`,
    );
  });

  test("another process has it, by either door", () => {
    const kernel = kernelWith({ node: "vfio0" });
    const who = `fuser -v /dev/vfio/7 /dev/vfio/devices/vfio0 names it`;
    kernel.fail.set("open 7", EBUSY);
    expect(refusal(kernel, "type1")).toBe(`BUSY: ${ADDRESS} is in use by another process: ${who}`);
    kernel.fail.set("VFIO_DEVICE_BIND_IOMMUFD", EINVAL);
    expect(refusal(kernel, "iommufd")).toBe(`BUSY: ${ADDRESS} is in use by another process: ${who}`);
  });

  test("interrupts that nobody keeps apart", () => {
    const kernel = kernelWith({ node: "vfio0" });
    kernel.fail.set("VFIO_SET_IOMMU", EPERM).set("VFIO_DEVICE_ATTACH_IOMMUFD_PT", EPERM);
    for (const door of ["type1", "iommufd"] as const) {
      expect(refusal(kernel, door)).toStartWith("UNSUPPORTED: the machine does not remap interrupts");
    }
  });

  test("this process has it", () => {
    for (const door of ["type1", "iommufd"] as const) {
      const kernel = kernelWith({ node: "vfio0" });
      const device = openVfioDevice(ADDRESS, { door, machine: kernel.machine });
      defer(() => device.close());
      expect(refusal(kernel, door)).toBe(`BUSY: ${ADDRESS} is a port of this switch already`);
      device.close();
      expect(refusal(kernel, door)).toBe("it opens");
    }
  });

  test("no VFIO, no permission, and what else there may be", () => {
    const kernel = kernelWith({});
    kernel.fail.set("open vfio", ENOENT);
    expect(refusal(kernel)).toEndWith(": modprobe -a vfio-pci vfio_iommu_type1");
    kernel.fail.set("open 7", EACCES);
    expect(refusal(kernel)).toStartWith(`PERMISSION: ${ADDRESS} may not be opened (open `);
    kernel.fail.set("open 7", EIO);
    expect(refusal(kernel)).toStartWith(`SYSTEM: ${ADDRESS} cannot be opened by type1 (open `);
  });
});

test("auto takes the newer door where there is one, and says which it was", () => {
  for (const [node, door] of [
    ["vfio0", "iommufd"],
    [undefined, "type1"],
  ] as const) {
    const kernel = kernelWith({ node });
    const device = openVfioDevice(ADDRESS, { machine: kernel.machine });
    defer(() => device.close());
    expect(device.details()).toMatchObject({ iommu: door, iommu_group: 7, dma_mapped: 0 });
  }
});
