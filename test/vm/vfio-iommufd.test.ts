// /dev/iommu call by call, with an emulated Intel IOMMU and an 82574L behind it. What this kernel, or this IOMMU, does not have is
// asserted as a refusal, so that the day it has it is seen.
//
// VM: nics
// VM: kernels build

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readlinkSync } from "node:fs";
import { NestedIommufd } from "../../src/ports/vfio/device/iommufd-nested.ts";
import { IommufdSpace } from "../../src/ports/vfio/device/iommufd-space.ts";
import { thisMachine } from "../../src/ports/vfio/device/machine.ts";
import { openVfioDevice } from "../../src/ports/vfio/device/open.ts";
import type { VfioDevice } from "../../src/ports/vfio/device/vfio-device.ts";
import { SysError } from "../../src/sys/errno.ts";
import { closeFd } from "../../src/sys/fd.ts";
import { mapAnonymous, mapShared, memfd, PAGE_SIZE, unmap, viewOf } from "../../src/sys/memory.ts";
import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_DEFAULT,
  struct_iommu_hwpt_vtd_s1,
} from "../../src/uapi/iommufd.ts";
import { Loopback } from "../ports/vfio/device/loopback.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { bind, driverOf, nics, requireNics } from "../support/nics.ts";

const MIB = 2 ** 20;
const here = existsSync("/dev/iommu");
if (!here) console.error("skip: /dev/iommu: Debian's kernels have none; --kernel build has");

/** What the kernel says to a call that it refuses; "" where it does not. */
function answer(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    if (error instanceof SysError) return error.code;
    throw error;
  }
}

(here ? describe : describe.skip)("address spaces without a device", () => {
  const defer = useCleanup();

  function iommu(): NestedIommufd {
    const opened = new NestedIommufd(thisMachine, thisMachine.open("/dev/iommu"));
    defer(() => opened.close());
    return opened;
  }

  /** Our memory, mapped for as long as the file runs. */
  function memory(size: number): number {
    const address = mapAnonymous(size);
    defer(() => unmap(address, size));
    return address;
  }

  test("map, unmap, and what overlaps or was never mapped is refused", () => {
    const opened = iommu();
    const ioas = opened.allocIoas();
    const address = memory(MIB);
    opened.map(ioas, 16 * MIB, address, MIB);
    expect(answer(() => opened.map(ioas, 16 * MIB, address, PAGE_SIZE))).toBe("EEXIST");
    expect(opened.unmap(ioas, 16 * MIB, MIB)).toBe(MIB);
    expect(answer(() => opened.unmap(ioas, 16 * MIB, MIB))).toBe("ENOENT");
    opened.destroy(ioas);
    expect(answer(() => opened.destroy(ioas))).toBe("ENOENT");
  });

  test("a memory file is mapped without our having it mapped", () => {
    const opened = iommu();
    const ioas = opened.allocIoas();
    const fd = memfd("guest", 4 * MIB);
    defer(() => closeFd(fd));
    opened.mapFile(ioas, 0, fd, MIB, 2 * MIB);
    expect(opened.unmap(ioas, 0, 2 * MIB)).toBe(2 * MIB);
  });

  test("a mapping is copied into another address space", () => {
    const opened = iommu();
    const [from, to] = [opened.allocIoas(), opened.allocIoas()];
    opened.map(from, 0, memory(MIB), MIB);
    opened.copy({ ioas: to, iova: 32 * MIB }, { ioas: from, iova: 0 }, MIB);
    expect(opened.unmap(from, 0, MIB)).toBe(MIB);
    expect(opened.unmap(to, 32 * MIB, MIB)).toBe(MIB);
    expect(answer(() => opened.copy({ ioas: to, iova: 0 }, { ioas: from, iova: 0 }, MIB))).toBe("ENOENT");
  });

  test("allowed ranges bind where the kernel places memory", () => {
    const opened = iommu();
    const ioas = opened.allocIoas();
    expect(opened.iovaRanges(ioas).ranges).toEqual([{ start: 0, last: 2 ** 64 }]);
    opened.allowIovas(ioas, [{ start: 16 * MIB, last: 17 * MIB - 1 }]);
    const address = memory(MIB);
    expect(opened.map(ioas, undefined, address, MIB)).toBe(16 * MIB);
    expect(answer(() => opened.map(ioas, undefined, address, MIB))).toBe("ENOSPC");
    expect(opened.map(ioas, 64 * MIB, address, MIB)).toBe(64 * MIB);
    opened.allowIovas(ioas, []);
    opened.map(ioas, undefined, address, MIB);
  });

  test("options are read and set", () => {
    const opened = iommu();
    const ioas = opened.allocIoas();
    expect(opened.option(IOMMU_OPTION_HUGE_PAGES, ioas)).toBe(1);
    opened.setOption(IOMMU_OPTION_HUGE_PAGES, ioas, 0);
    expect(opened.option(IOMMU_OPTION_HUGE_PAGES, ioas)).toBe(0);
    expect(opened.option(IOMMU_OPTION_RLIMIT_MODE, 0)).toBe(0);
    expect(answer(() => opened.setOption(IOMMU_OPTION_RLIMIT_MODE, 0, 1))).toBe("EBUSY");
    const fresh = iommu();
    fresh.setOption(IOMMU_OPTION_RLIMIT_MODE, 0, 1);
    expect(fresh.option(IOMMU_OPTION_RLIMIT_MODE, 0)).toBe(1);
    expect(answer(() => opened.option(99, 0))).toBe("EOPNOTSUPP");
  });

  test("an address space may stand in for a container", () => {
    const opened = iommu();
    expect(answer(() => opened.vfioIoas())).toBe("ENODEV");
    const ioas = opened.allocIoas();
    opened.setVfioIoas(ioas);
    expect(opened.vfioIoas()).toBe(ioas);
    opened.clearVfioIoas();
    expect(answer(() => opened.vfioIoas())).toBe("ENODEV");
  });

  test("another process takes over what is mapped by file, not what is mapped by address", () => {
    const opened = iommu();
    const ioas = opened.allocIoas();
    const fd = memfd("guest", MIB);
    defer(() => closeFd(fd));
    opened.mapFile(ioas, 0, fd, 0, MIB);
    opened.changeProcess();
    opened.map(ioas, 4 * MIB, memory(MIB), MIB);
    expect(answer(() => opened.changeProcess())).toBe("EINVAL");
  });

  test("a queue for page faults is made and destroyed; its descriptor is ours", () => {
    const opened = iommu();
    const before = holdings();
    const queue = opened.allocFaultQueue();
    expect(readlinkSync(`/proc/self/fd/${queue.fd}`)).toContain("iommufd");
    closeFd(queue.fd);
    opened.destroy(queue.id);
    expect(heldDifference(before, holdings())).toEqual([]);
  });
});

if (here) {
  requireNics("e1000e")("page tables of a device", () => {
    const defer = useCleanup();
    const [nic] = nics("e1000e");
    bind(nic.address, "vfio-pci");
    defer(() => bind(nic.address, ""));
    expect(driverOf(nic.address)).toBe("vfio-pci");

    const opened: VfioDevice[] = [];
    // So that a test that fails does not cost the others.
    afterEach(() => {
      for (const device of opened.splice(0)) device.close();
    });

    function open(): { device: VfioDevice; space: IommufdSpace; id: number; iommu: NestedIommufd } {
      const device = openVfioDevice(nic.address, { door: "iommufd" });
      opened.push(device);
      if (!(device.space instanceof IommufdSpace)) throw new Error("not by /dev/iommu");
      return { device, space: device.space, id: device.iommuId as number, iommu: device.space.iommu };
    }

    test("the IOMMU says what it is, and which addresses it leaves to us", () => {
      const { device, space, id, iommu } = open();
      const info = iommu.hwInfo(id);
      expect(info.type).toBe(IOMMU_HW_INFO_TYPE_INTEL_VTD);
      expect(info.data.length).toBe(24);
      const { ranges, alignment } = iommu.iovaRanges(space.ioas);
      expect(alignment).toBe(PAGE_SIZE);
      expect(ranges.length).toBeGreaterThan(1);
      expect(ranges.every(({ start, last }) => last < 0xfee00000 || start > 0xfeefffff)).toBe(true);
      expect(answer(() => iommu.map(space.ioas, 0xfee00000, 0x1000, PAGE_SIZE))).not.toBe("");
      device.close();
    });

    test("a device that would reserve an allowed range is refused", () => {
      const { device, space, iommu } = open();
      const promised = iommu.allocIoas();
      iommu.allowIovas(promised, [{ start: 0xfee00000, last: 0xfeefffff }]);
      expect(answer(() => space.attachTo(device.fd, promised))).toBe("EADDRINUSE");
      expect(answer(() => iommu.allowIovas(space.ioas, [{ start: 0xfee00000, last: 0xfeefffff }]))).toBe("EADDRINUSE");
      device.close();
    });

    test("a device reads and writes what is mapped by file", async () => {
      const { device, space } = open();
      const fd = memfd("guest", MIB);
      defer(() => closeFd(fd));
      expect(answer(() => space.iommu.mapFile(space.ioas, 64 * MIB, fd, 0, 2 * MIB))).not.toBe("");
      const iova = space.mapFile(fd, 0, MIB);
      const loop = await Loopback.start(device, iova);
      const frame = Uint8Array.from({ length: 200 }, (_, index) => (index < 12 ? 0xff : index));
      await loop.send(frame);
      const address = mapShared(fd, MIB, 0);
      defer(() => unmap(address, MIB));
      expect(new Uint8Array(viewOf(address, 0, 200))).toEqual(frame);
      loop.stop();
      space.unmap(iova);
      device.close();
    }, 120_000);

    test("dirty tracking, where the IOMMU has it; else its refusal", async () => {
      const { device, space, id, iommu } = open();
      const has = (iommu.hwInfo(id).capabilities & IOMMU_HW_CAP_DIRTY_TRACKING) !== 0;
      if (!has) {
        expect(answer(() => iommu.allocHwpt(id, space.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING))).toBe("EOPNOTSUPP");
        const plain = iommu.allocHwpt(id, space.ioas, 0);
        expect(answer(() => iommu.setDirtyTracking(plain, IOMMU_HWPT_DIRTY_TRACKING_ENABLE))).toBe("EOPNOTSUPP");
        expect(answer(() => iommu.dirtyBitmap(plain, 0, MIB, PAGE_SIZE))).toBe("EOPNOTSUPP");
        iommu.destroy(plain);
        console.error("the emulated IOMMU has no dirty tracking: refused");
        device.close();
        return;
      }
      const tracked = iommu.allocHwpt(id, space.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
      space.attachTo(device.fd, tracked);
      const address = mapAnonymous(MIB);
      defer(() => unmap(address, MIB));
      const iova = space.map(address, MIB);
      iommu.setDirtyTracking(tracked, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
      const loop = await Loopback.start(device, iova + 3 * PAGE_SIZE);
      await loop.send(new Uint8Array(100).fill(0xff));
      const bitmap = iommu.dirtyBitmap(tracked, iova, MIB, PAGE_SIZE);
      expect(bitmap[0]).toBe(1 << 3);
      loop.stop();
      iommu.setDirtyTracking(tracked, 0);
      space.attachTo(device.fd, space.ioas);
      iommu.destroy(tracked);
      device.close();
    }, 120_000);

    test("page tables of our own take the place of the kernel's, and give it back", async () => {
      const { device, space, id, iommu } = open();
      const ours = iommu.allocHwpt(id, space.ioas, 0);
      expect(space.attachTo(device.fd, ours)).toBe(ours);
      const memory = device.allocate(PAGE_SIZE);
      const loop = await Loopback.start(device, memory.iova);
      await loop.send(new Uint8Array(100).fill(0xff));
      expect(new Uint8Array(viewOf(memory.address, 0, 100)).every((byte) => byte === 0xff)).toBe(true);
      loop.stop();
      space.attachTo(device.fd, space.ioas);
      iommu.destroy(ours);
      space.detach(device.fd);
      device.close();
    }, 120_000);

    test("nested translation is refused by an IOMMU without it", () => {
      const { device, space, id, iommu } = open();
      // QEMU's intel-iommu without x-flts has no nested translation, so there is no parent to put anything below.
      expect(answer(() => iommu.allocHwpt(id, space.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT))).toBe("EOPNOTSUPP");
      const plain = iommu.allocHwpt(id, space.ioas, 0);
      const table = new Uint8Array(struct_iommu_hwpt_vtd_s1.size);
      const answers = {
        nested: answer(() => iommu.allocNestedHwpt(id, plain, IOMMU_HWPT_DATA_VTD_S1, table)),
        invalidate: answer(() => iommu.invalidate(plain, 0, new Uint8Array(24), 24)),
        viommu: answer(() => iommu.allocViommu(id, plain, IOMMU_VIOMMU_TYPE_DEFAULT)),
        vdevice: answer(() => iommu.allocVdevice(plain, id, 1)),
        veventq: answer(() => iommu.allocVeventQueue(plain, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, 8)),
        hwQueue: answer(() => iommu.allocHwQueue(plain, 1, 0, 0, PAGE_SIZE)),
      };
      iommu.destroy(plain);
      device.close();
      expect(answers).toEqual({
        nested: "EINVAL",
        invalidate: "EINVAL",
        viommu: "EOPNOTSUPP",
        vdevice: "ENOENT",
        veventq: "ENOENT",
        hwQueue: "ENOENT",
      });
    });
  });
}
