// The device behind a played kernel: what it asks for, in which order it lets go, and that nothing stays open, whatever fails.

import { describe, expect, test } from "bun:test";
import type { RingyardError } from "../../../../src/core/errors.ts";
import { dmaSpacesInUse, openVfioDevice } from "../../../../src/ports/vfio/device/open.ts";
import type { VfioDevice } from "../../../../src/ports/vfio/device/vfio-device.ts";
import { EBUSY, EINVAL, ENOMEM, ENOTTY } from "../../../../src/sys/errno.ts";
import { clearSignal } from "../../../../src/sys/fd.ts";
import { PAGE_SIZE } from "../../../../src/sys/memory.ts";
import { PCI_CAP_ID_MSIX, PCI_CAP_ID_VNDR, PCI_COMMAND, PCI_COMMAND_MASTER } from "../../../../src/uapi/pci_regs.ts";
import {
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../../../src/uapi/vfio.ts";
import { useCleanup } from "../../../support/cleanup.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { type FakeDevice, FakeKernel } from "./fake-kernel.ts";

const defer = useCleanup();
const ADDRESS = "0000:03:00.0";
const IRQS = {
  [VFIO_PCI_INTX_IRQ_INDEX]: 1,
  [VFIO_PCI_MSI_IRQ_INDEX]: 1,
  [VFIO_PCI_MSIX_IRQ_INDEX]: 5,
  [VFIO_PCI_REQ_IRQ_INDEX]: 1,
};

function kernelWith(device: Partial<FakeDevice> = {}): FakeKernel {
  const kernel = new FakeKernel();
  defer(() => kernel.close());
  kernel.add({
    address: ADDRESS,
    group: "7",
    driver: "vfio-pci",
    irqs: IRQS,
    regions: { 0: { size: 65536, mmap: true } },
    ...device,
  });
  return kernel;
}

function open(kernel: FakeKernel, door: "auto" | "type1" | "iommufd" = "auto"): VfioDevice {
  const device = openVfioDevice(ADDRESS, { door, machine: kernel.machine });
  defer(() => device.close());
  return device;
}

function failure(action: () => unknown): string {
  try {
    action();
    return "nothing was thrown";
  } catch (error) {
    const { code, advice } = error as RingyardError;
    return `${code}: ${advice}`;
  }
}

describe.each(["type1", "iommufd"] as const)("by %s", (door) => {
  const withNode = () => kernelWith({ node: "vfio0" });

  test("it has ids, registers, memory and interrupts, and gives all of it back", () => {
    const kernel = withNode();
    const before = holdings();
    const device = open(kernel, door);
    expect([device.vendor, device.device, device.space.door]).toEqual([0x8086, 0x10d3, door]);
    device.bar(0).write32(0x5400, 0x12345678);
    expect(device.bar(0).read32(0x5400)).toBe(0x12345678);
    expect(device.bar(0)).toBe(device.bar(0));
    const memory = device.allocate(10_000);
    expect(memory.size).toBe(3 * PAGE_SIZE);
    expect(kernel.mapped).toEqual(new Map([[memory.iova, memory.size]]));
    expect(device.space.mappedSize).toBe(memory.size);
    expect(device.enableInterrupts(5)).toHaveLength(5);
    device.close();
    device.close();
    for (const late of [() => device.bar(0), () => device.allocate(1), () => device.enableInterrupts(1)]) {
      expect(failure(late)).toBe(`BAD_REQUEST: ${ADDRESS} is closed`);
    }
    device.setBusMaster(true);
    expect(device.config.read16(0)).toBe(0xffff);
    expect(kernel.mapped.size + kernel.vectors.size + dmaSpacesInUse(kernel.machine).length).toBe(0);
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("a step that fails leaves nothing open", () => {
    const kernel = withNode();
    open(kernel, door).close();
    const steps = [...new Set(kernel.calls)];
    expect(steps.length).toBeGreaterThan(8);
    const before = holdings();
    for (const step of steps) {
      kernel.fail.set(step, EINVAL);
      try {
        open(kernel, door).close();
      } catch {
        // Some steps may fail without harm: a reset, an interrupt that the device does not have.
      }
      kernel.fail.clear();
      expect({ step, left: heldDifference(before, holdings()) }).toEqual({ step, left: [] });
      expect({ step, spaces: dmaSpacesInUse(kernel.machine).length }).toEqual({ step, spaces: 0 });
    }
  });

  test("two devices share one address space, which goes with the last", () => {
    const kernel = withNode();
    kernel.add({ address: "0000:04:00.0", group: "8", driver: "vfio-pci", node: "vfio1", irqs: IRQS });
    const first = open(kernel, door);
    const second = openVfioDevice("0000:04:00.0", { door, machine: kernel.machine });
    defer(() => second.close());
    expect(second.space).toBe(first.space);
    const guest = second.space.map(0x7f00_0000_0000, 2 ** 21);
    first.close();
    expect(dmaSpacesInUse(kernel.machine)).toEqual([second.space]);
    expect(second.space.mappedSize).toBe(2 ** 21);
    second.close();
    expect(dmaSpacesInUse(kernel.machine)).toEqual([]);
    // The kernel took it away with the space: whoever held it may say so later.
    second.space.unmap(guest);
    expect(failure(() => second.space.map(0x7f00_0000_0000, PAGE_SIZE))).toStartWith(
      "BAD_REQUEST: no device is in this",
    );
  });

  test("two devices of one group share that, too", () => {
    const kernel = withNode();
    kernel.add({ address: "0000:03:00.1", group: "7", driver: "vfio-pci", node: "vfio1", irqs: IRQS });
    const before = holdings();
    const first = open(kernel, door);
    const second = openVfioDevice("0000:03:00.1", { door, machine: kernel.machine });
    defer(() => second.close());
    second.allocate(PAGE_SIZE);
    first.close();
    expect(kernel.mapped.size).toBe(1);
    second.allocate(PAGE_SIZE);
    second.close();
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("memory that cannot be locked is explained, and nothing is left of it", () => {
    const kernel = withNode();
    kernel.limits(8 * 2 ** 20);
    const device = open(kernel, door);
    device.allocate(2 ** 20);
    const before = holdings();
    kernel.fail.set(door === "type1" ? "VFIO_IOMMU_MAP_DMA" : "IOMMU_IOAS_MAP", ENOMEM);
    expect(failure(() => device.allocate(64 * 2 ** 20))).toBe(
      "LIMIT: cannot lock 64 MiB for DMA beside 1 MiB: the limit of locked memory is 8 MiB: " +
        "ulimit -l 262144 in the shell that starts ringyard, or LimitMEMLOCK=262144K in its unit",
    );
    kernel.limits(Number.POSITIVE_INFINITY);
    expect(failure(() => device.allocate(64 * 2 ** 20))).toStartWith(
      "LIMIT: the machine has no 64 MiB to pin for DMA: ",
    );
    expect(heldDifference(before, holdings())).toEqual([]);
    expect(device.space.mappedSize).toBe(2 ** 20);
  });

  test("what is no whole page, or was never mapped, is refused", () => {
    const { space } = open(withNode(), door);
    expect(failure(() => space.map(0x1000, 100))).toBe("BAD_REQUEST: 100 bytes at 0x1000 are not whole pages");
    expect(failure(() => space.unmap(0x5000))).toBe("BAD_REQUEST: nothing is mapped for DMA at 0x5000");
  });

  test("an address space that is full says so", () => {
    const kernel = withNode();
    kernel.ranges = [[0, 2 ** 21 - 1]];
    const { space } = open(kernel, door);
    expect(failure(() => space.map(0, 2 ** 21))).toStartWith("LIMIT: the IOMMU's address space has no 2097152 bytes");
  });
});

describe("a device that reserves what is mapped already", () => {
  test("is refused, and the others go on", () => {
    const kernel = kernelWith();
    kernel.add({ address: "0000:04:00.0", group: "8", driver: "vfio-pci", irqs: IRQS });
    const first = open(kernel);
    const memory = first.allocate(PAGE_SIZE);
    kernel.ranges = [[2 ** 30, 2 ** 31 - 1]];
    const before = holdings();
    expect(failure(() => openVfioDevice("0000:04:00.0", { machine: kernel.machine }))).toBe(
      "BUSY: 0000:04:00.0 cannot reach memory that is mapped for other devices already: " +
        "add it to the switch before the other ports, or give it a switch of its own",
    );
    expect(heldDifference(before, holdings())).toEqual([]);
    expect(first.allocate(PAGE_SIZE).iova).toBe(memory.iova + PAGE_SIZE);
  });
});

describe("registers", () => {
  test("are read and written by system calls where the kernel does not map, and that is said", () => {
    const kernel = kernelWith({ regions: { 0: { size: 4096, mmap: true }, 2: { size: 32 } } });
    kernel.fail.set("mmap", ENOMEM);
    const device = open(kernel);
    for (const index of [0, 2]) {
      const registers = device.bar(index);
      registers.write32(8, 0xdeadbeef);
      registers.write8(8, 0x11);
      registers.write16(10, 0x2222);
      expect([registers.read32(8), registers.read16(8), registers.read8(11)]).toEqual([0x2222be11, 0xbe11, 0x22]);
      expect(registers.read32(registers.size)).toBe(0xffffffff);
      expect(device.barConfig(index)).toMatchObject({ size: registers.size, offset: index * 2 ** 40 });
    }
    expect(device.details().registers_unmapped).toEqual(["BAR 0: mmap mmap: ENOMEM", "BAR 2: not to be mapped"]);
  });

  test("are mapped in the areas that the kernel lists, and only there", () => {
    const sparse: [number, number][] = [
      [0, 4096],
      [8192, 4096],
      [4096, 2 ** 40],
    ];
    const kernel = kernelWith({ regions: { 0: { size: 16384, mmap: true, sparse, msixMappable: true } } });
    const device = open(kernel);
    const config = device.barConfig(0);
    expect("fd" in config && config.pieces?.map(({ at, size }) => [at, size])).toEqual([
      [0, 4096],
      [8192, 4096],
    ]);
    const registers = device.bar(0);
    for (const offset of [0, 4092, 4096, 8188, 8192, 12284, 12288, 16380]) registers.write32(offset, offset + 1);
    for (const offset of [0, 4092, 4096, 8188, 8192, 12284, 12288, 16380])
      expect(registers.read32(offset)).toBe(offset + 1);
    registers.write16(8194, 7);
    registers.write8(5000, 9);
    expect([registers.read16(8194), registers.read8(5000), registers.read8(8194)]).toEqual([7, 9, 7]);
    device.close();
  });

  test("end where the BAR ends", () => {
    const device = open(kernelWith());
    expect([device.bar(0).read32(65536), device.bar(0).read16(-2), device.bar(0).read8(65536)]).toEqual([
      0xffffffff, 0xffff, 0xff,
    ]);
    device.bar(0).write32(65536, 1);
    expect(failure(() => device.bar(4))).toBe(
      `UNSUPPORTED: ${ADDRESS} has no BAR 4: it is not the NIC that its ids say`,
    );
    expect(failure(() => device.bar(6))).toBe(`BAD_REQUEST: ${ADDRESS}: there is no BAR 6 on PCI`);
  });
});

describe("configuration space", () => {
  /** Status with a list of capabilities, which begins at 0x40. */
  const list = { 6: 0x10, 52: 0x40 };

  test("capabilities are found, each of several with one id", () => {
    const config = {
      ...list,
      64: PCI_CAP_ID_VNDR,
      65: 0x50,
      80: PCI_CAP_ID_MSIX,
      81: 0x60,
      96: PCI_CAP_ID_VNDR,
      97: 0,
    };
    const device = open(kernelWith({ config }));
    expect(device.config.capabilities(PCI_CAP_ID_VNDR)).toEqual([0x40, 0x60]);
    expect(device.config.capabilities(PCI_CAP_ID_MSIX)).toEqual([0x50]);
  });

  test("a list that loops, leads into the header, or is all ones ends", () => {
    const looping = { ...list, 64: PCI_CAP_ID_VNDR, 65: 0x50, 80: PCI_CAP_ID_MSIX, 81: 0x40 };
    expect(open(kernelWith({ config: looping })).config.capabilities(PCI_CAP_ID_VNDR)).toEqual([0x40]);
    const header = { ...list, 64: PCI_CAP_ID_VNDR, 65: 0x04 };
    expect(open(kernelWith({ config: header })).config.capabilities(PCI_CAP_ID_VNDR)).toEqual([0x40]);
    const gone = Object.fromEntries(Array.from({ length: 256 }, (_, offset) => [offset, 0xff]));
    expect(open(kernelWith({ config: gone })).config.capabilities(0xff)).toEqual([]);
  });

  test("without the status bit there is no list", () => {
    const device = open(kernelWith({ config: { 52: 0x40, 64: PCI_CAP_ID_VNDR } }));
    expect(device.config.capabilities(PCI_CAP_ID_VNDR)).toEqual([]);
  });

  test("bus master is off when the device is opened, on when asked for, and off again when it is closed", () => {
    const kernel = kernelWith({ config: { 4: 0x07 } });
    const device = open(kernel);
    expect(device.config.read16(PCI_COMMAND)).toBe(0x03);
    device.setBusMaster(true);
    expect(device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
    device.close();
    const again = open(kernel);
    expect(again.config.read16(PCI_COMMAND)).toBe(0x03);
  });

  test("words outside are ones", () => {
    const { config } = open(kernelWith());
    expect([config.read8(256), config.read16(255), config.read32(-4)]).toEqual([0xff, 0xffff, 0xffffffff]);
  });
});

describe("interrupts", () => {
  test("are MSI-X where the device has it, each on its own eventfd", () => {
    const device = open(kernelWith());
    expect([device.vectors, device.interruptKind]).toEqual([5, "msix"]);
    const fds = device.enableInterrupts(3);
    device.triggerInterrupt(1);
    expect(fds.map(clearSignal)).toEqual([false, true, false]);
  });

  test("a silent vector signals nobody until it may again", () => {
    const device = open(kernelWith());
    const [fd] = device.enableInterrupts(1);
    device.silenceInterrupt(0, true);
    device.triggerInterrupt(0);
    expect(clearSignal(fd)).toBe(false);
    device.silenceInterrupt(0, false);
    device.triggerInterrupt(0);
    expect(clearSignal(fd)).toBe(true);
  });

  test("are fewer kinds than wanted where the machine has no vectors left", () => {
    const kernel = kernelWith();
    kernel.vectorsLeft = 1;
    const before = holdings();
    const device = open(kernel);
    expect(failure(() => device.enableInterrupts(2))).toBe(
      `UNSUPPORTED: ${ADDRESS} does not give 2 interrupt vectors (ioctl VFIO_DEVICE_SET_IRQS (1 vectors are left): ENOSPC): ` +
        "it has 5 msix, 1 msi, 1 intx; use fewer queues",
    );
    device.close();
    expect(heldDifference(before, holdings())).toEqual([]);
  });

  test("fall back to MSI, then to INTx", () => {
    const kernel = kernelWith();
    kernel.refusedIrqs.add(VFIO_PCI_MSIX_IRQ_INDEX);
    const first = open(kernel);
    first.enableInterrupts(1);
    expect([first.interruptKind, first.vectors]).toEqual(["msi", 1]);
    first.close();
    kernel.refusedIrqs.add(VFIO_PCI_MSI_IRQ_INDEX);
    const second = open(kernel);
    second.enableInterrupts(1);
    expect(second.interruptKind).toBe("intx");
  });

  test("more than there are, or twice, is refused", () => {
    const device = open(kernelWith());
    expect(failure(() => device.enableInterrupts(6))).toStartWith("UNSUPPORTED");
    device.enableInterrupts(1, "intx");
    expect(device.interruptKind).toBe("intx");
    expect(failure(() => device.enableInterrupts(1))).toBe(`BAD_REQUEST: ${ADDRESS} has its interrupts already`);
  });

  test("the kernel's request has an eventfd, an error only where the device can report one", () => {
    const device = open(kernelWith());
    expect([device.requestFd >= 0, device.errorFd]).toEqual([true, -1]);
  });
});

test("memory that the kernel does not let go of keeps no device open", () => {
  const kernel = kernelWith();
  const before = holdings();
  const device = open(kernel);
  const memory = device.allocate(PAGE_SIZE);
  kernel.fail.set("VFIO_IOMMU_UNMAP_DMA", EINVAL);
  expect(failure(() => device.space.unmap(memory.iova))).toStartWith("SYSTEM: cannot take DMA memory back (ioctl");
  device.close();
  expect(heldDifference(before, holdings())).toEqual([]);
});

test("a reset that the device does not have is no failure", () => {
  expect(open(kernelWith({ flags: 2 })).reset()).toBe(false);
  const kernel = kernelWith();
  const device = open(kernel);
  expect(device.reset()).toBe(true);
  kernel.fail.set("VFIO_DEVICE_RESET", ENOTTY);
  expect(device.reset()).toBe(false);
  kernel.fail.set("VFIO_DEVICE_RESET", EBUSY);
  expect(failure(() => device.reset())).toStartWith(
    `SYSTEM: ${ADDRESS} cannot be reset (ioctl VFIO_DEVICE_RESET: EBUSY)`,
  );
});
