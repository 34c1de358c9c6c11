// A kernel with VFIO that is not there: folders that look like sysfs and /dev, and an `ioctl` that plays containers, groups, devices
// and /dev/iommu on real descriptors, so that what is left open is seen. Only what the code under test asks for; its answers are
// those of Linux, as test/vm/vfio-device.test.ts sees them, and `fail` makes any call fail.
//
//   dev/vfio/vfio, dev/vfio/7, dev/iommu, dev/vfio/devices/vfio0    empty files, told apart by their names
//   dev/device-0000:03:00.0                                         what a device file reads and writes: regions at index << 40

import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Machine } from "../../../../src/ports/vfio/device/machine.ts";
import { KernelStruct } from "../../../../src/ports/vfio/device/struct.ts";
import { EINVAL, SysError } from "../../../../src/sys/errno.ts";
import { closeFd, signal } from "../../../../src/sys/fd.ts";
import { mapShared, viewOf } from "../../../../src/sys/memory.ts";
import * as iommufd from "../../../../src/uapi/iommufd.ts";
import * as vfio from "../../../../src/uapi/vfio.ts";

export interface FakeRegion {
  size: number;
  mmap?: boolean;
  /** Areas of a sparse-mmap capability, [offset, size]. */
  sparse?: [number, number][];
  msixMappable?: boolean;
}

export interface FakeDevice {
  address: string;
  group: string;
  driver: string;
  /** `vfio0`; absent: this kernel has no character devices. */
  node?: string;
  deviceClass?: number;
  vendor?: number;
  device?: number;
  regions?: Record<number, FakeRegion>;
  /** Vectors by irq index. */
  irqs?: Record<number, number>;
  flags?: number;
  /** Bytes of configuration space, by offset. */
  config?: Record<number, number>;
}

const CONFIG_SIZE = 256;

export class FakeKernel {
  readonly root = mkdtempSync(join(tmpdir(), "ringyard-vfio-"));
  readonly machine: Machine;
  /** Calls by name, in order. */
  readonly calls: string[] = [];
  /** Error to answer a call with. */
  readonly fail = new Map<string, number>();
  /** What is mapped for DMA: IOVA -> size. */
  readonly mapped = new Map<number, number>();
  /** Eventfds that the kernel holds: `irq index:vector`. */
  readonly vectors = new Map<string, number>();
  ranges: [number, number][] = [
    [0, 0xfedfffff],
    [0xfef00000, 2 ** 39 - 1],
  ];
  viable = true;
  /** MSI-X vectors that the machine has left, at least one; enabling more is answered by this number. */
  vectorsLeft = 1024;
  /** Irq indices that cannot be enabled. */
  readonly refusedIrqs = new Set<number>();
  /** Groups in the container. */
  private readonly joined = new Set<number>();
  private readonly devices = new Map<string, FakeDevice>();
  /** Which device a file is of. */
  private readonly files = new Map<number, FakeDevice>();

  constructor() {
    for (const folder of ["sys/bus/pci/devices", "sys/bus/pci/drivers/vfio-pci", "dev/vfio/devices", "self"]) {
      mkdirSync(join(this.root, folder), { recursive: true });
    }
    writeFileSync(join(this.root, "dev/vfio/vfio"), "");
    this.limits(Number.POSITIVE_INFINITY);
    this.machine = {
      sysfs: join(this.root, "sys"),
      dev: join(this.root, "dev"),
      self: join(this.root, "self"),
      open: (path) => this.open(path),
      ioctl: (fd, _request, argument, what) => this.ioctl(fd, argument, what),
      ioctlValue: (fd, request, value, what) => this.value(fd, request, value, what),
      map: (fd, size, offset) => {
        this.begin("mmap", "mmap");
        return mapShared(fd, size, offset);
      },
      close: (fd) => {
        this.files.delete(fd);
        closeFd(fd);
      },
    };
  }

  /** Locked memory that this process may have, in bytes; without CAP_IPC_LOCK where there is a limit. */
  limits(locked: number): void {
    const soft = locked === Number.POSITIVE_INFINITY ? "unlimited" : `${locked}`;
    writeFileSync(
      join(this.root, "self/limits"),
      `Max open files 1024 4096 files\nMax locked memory         ${soft}   ${soft}  bytes\n`,
    );
    const caps = locked === Number.POSITIVE_INFINITY ? "000001ffffffffff" : "000001ffffffbfff";
    writeFileSync(join(this.root, "self/status"), `Name:\tbun\nCapEff:\t${caps}\n`);
  }

  add(device: FakeDevice): void {
    const { root } = this;
    const folder = join(root, "sys/bus/pci/devices", device.address);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "class"), `0x${(device.deviceClass ?? 0x020000).toString(16).padStart(6, "0")}\n`);
    if (device.driver !== "") symlinkSync(`../../drivers/${device.driver}`, join(folder, "driver"));
    if (device.group !== "") {
      const group = join(root, "sys/kernel/iommu_groups", device.group);
      mkdirSync(join(group, "devices"), { recursive: true });
      symlinkSync(folder, join(group, "devices", device.address));
      symlinkSync(group, join(folder, "iommu_group"));
      if (device.driver === "vfio-pci") writeFileSync(join(root, "dev/vfio", device.group), "");
    }
    if (device.node !== undefined) {
      mkdirSync(join(folder, "vfio-dev", device.node), { recursive: true });
      writeFileSync(join(root, "dev/vfio/devices", device.node), "");
      writeFileSync(join(root, "dev/iommu"), "");
    }
    this.prepareFile(device);
    this.devices.set(device.address, device);
  }

  private prepareFile(device: FakeDevice): void {
    const fd = openSync(this.file(device), "w+");
    const start = vfio.VFIO_PCI_CONFIG_REGION_INDEX * 2 ** 40;
    ftruncateSync(fd, start + CONFIG_SIZE);
    const config = { 0: 0x86, 1: 0x80, 2: 0xd3, 3: 0x10, 4: 0x02, ...device.config };
    for (const [offset, byte] of Object.entries(config))
      writeSync(fd, Uint8Array.of(byte), 0, 1, start + Number(offset));
    closeSync(fd);
  }

  private file(device: FakeDevice): string {
    return join(this.root, "dev", `device-${device.address}`);
  }

  private open(path: string): number {
    this.begin(`open ${basename(path)}`, "open", path);
    const node = [...this.devices.values()].find((each) => path.endsWith(`/devices/${each.node}`));
    const fd = openSync(node === undefined ? path : this.file(node), "r+");
    if (node !== undefined) this.files.set(fd, node);
    return fd;
  }

  /** Notes a call, and fails where it is to fail. */
  private begin(name: string, syscall: string, subject = name): void {
    this.calls.push(name);
    const errno = this.fail.get(name);
    if (errno !== undefined) throw new SysError(syscall, errno, subject);
  }

  private value(fd: number, request: number, value: number, what: string): number {
    this.begin(what, "ioctl");
    if (request === vfio.VFIO_CHECK_EXTENSION) return value === vfio.VFIO_TYPE1v2_IOMMU ? 1 : 0;
    if (request === vfio.VFIO_GROUP_UNSET_CONTAINER) {
      this.joined.delete(fd);
      if (this.joined.size === 0) this.mapped.clear();
    }
    expectFile(fd);
    return 0;
  }

  private ioctl(fd: number, argument: Uint8Array, what: string): number {
    this.begin(what, "ioctl");
    expectFile(fd);
    const read = (offset: number) => new DataView(argument.buffer).getUint32(offset, true);
    const write = (offset: number, value: number) => new DataView(argument.buffer).setUint32(offset, value, true);
    const big = (offset: number) => Number(new DataView(argument.buffer).getBigUint64(offset, true));
    const device = this.files.get(fd);
    switch (what) {
      case "VFIO_GROUP_GET_STATUS":
        write(4, this.viable ? vfio.VFIO_GROUP_FLAGS_VIABLE : 0);
        return 0;
      case "VFIO_GROUP_GET_DEVICE_FD": {
        const found = this.devices.get(new TextDecoder().decode(argument.subarray(0, -1)));
        if (found === undefined) throw new SysError("ioctl", EINVAL, what);
        const file = openSync(this.file(found), "r+");
        this.files.set(file, found);
        return file;
      }
      case "VFIO_GROUP_SET_CONTAINER":
        this.joined.add(fd);
        return 0;
      case "VFIO_IOMMU_GET_INFO":
        return this.type1Info(argument);
      case "VFIO_IOMMU_MAP_DMA":
        this.mapped.set(big(16), big(24));
        return 0;
      case "VFIO_IOMMU_UNMAP_DMA":
        if (this.mapped.get(big(8)) !== big(16)) throw new SysError("ioctl", EINVAL, what);
        this.mapped.delete(big(8));
        return 0;
      case "IOMMU_IOAS_ALLOC":
        write(8, 1);
        return 0;
      case "IOMMU_IOAS_MAP":
      case "IOMMU_IOAS_MAP_FILE":
        this.mapped.set(big(32), big(24));
        return 0;
      case "IOMMU_IOAS_UNMAP":
        this.mapped.delete(big(8));
        return 0;
      case "IOMMU_IOAS_IOVA_RANGES":
        return this.iovaRanges(argument);
      case "VFIO_DEVICE_GET_INFO":
        write(4, device?.flags ?? vfio.VFIO_DEVICE_FLAGS_PCI | vfio.VFIO_DEVICE_FLAGS_RESET);
        return 0;
      case "VFIO_DEVICE_GET_REGION_INFO":
        return this.regionInfo(device as FakeDevice, argument);
      case "VFIO_DEVICE_GET_IRQ_INFO":
        write(4, vfio.VFIO_IRQ_INFO_EVENTFD);
        write(12, device?.irqs?.[read(8)] ?? 0);
        return 0;
      case "VFIO_DEVICE_SET_IRQS":
        return this.setIrqs(argument);
    }
    return 0;
  }

  private type1Info(argument: Uint8Array): number {
    const size = 24 + 16 + this.ranges.length * 16;
    const view = new DataView(argument.buffer);
    view.setUint32(4, vfio.VFIO_IOMMU_INFO_PGSIZES | vfio.VFIO_IOMMU_INFO_CAPS, true);
    if (argument.length < size) {
      view.setUint32(0, size, true);
      view.setUint32(16, 0, true);
      return 0;
    }
    view.setUint32(16, 24, true);
    view.setUint16(24, vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, true);
    view.setUint32(32, this.ranges.length, true);
    this.ranges.forEach(([start, last], index) => {
      view.setBigUint64(40 + index * 16, BigInt(start), true);
      view.setBigUint64(48 + index * 16, BigInt(last), true);
    });
    return 0;
  }

  private iovaRanges(argument: Uint8Array): number {
    const info = new KernelStruct(iommufd.struct_iommu_ioas_iova_ranges);
    info.bytes.set(argument);
    const fields = iommufd.struct_iommu_ioas_iova_ranges.fields;
    const view = new DataView(argument.buffer);
    const page = pointee(info.get("allowed_iovas"), this.ranges.length * 16);
    this.ranges.forEach(([start, last], index) => {
      page.setBigUint64(index * 16, BigInt(start), true);
      page.setBigUint64(index * 16 + 8, BigInt(last), true);
    });
    view.setUint32(fields.num_iovas[0], this.ranges.length, true);
    view.setBigUint64(fields.out_iova_alignment[0], 4096n, true);
    return 0;
  }

  private regionInfo(device: FakeDevice, argument: Uint8Array): number {
    const view = new DataView(argument.buffer);
    const index = view.getUint32(8, true);
    const config = index === vfio.VFIO_PCI_CONFIG_REGION_INDEX;
    const region = config ? { size: CONFIG_SIZE } : (device.regions?.[index] ?? { size: 0 });
    const { size, mmap = false, sparse, msixMappable = false } = region as FakeRegion;
    const caps = (sparse === undefined ? 0 : 16 + sparse.length * 16) + (msixMappable ? 8 : 0);
    let flags = vfio.VFIO_REGION_INFO_FLAG_READ | vfio.VFIO_REGION_INFO_FLAG_WRITE;
    if (mmap) flags |= vfio.VFIO_REGION_INFO_FLAG_MMAP;
    if (caps > 0) flags |= vfio.VFIO_REGION_INFO_FLAG_CAPS;
    view.setUint32(4, flags, true);
    view.setBigUint64(16, BigInt(size), true);
    view.setBigUint64(24, BigInt(index) << 40n, true);
    const room = argument.length >= 32 + caps;
    if (!room) view.setUint32(0, 32 + caps, true);
    view.setUint32(12, room && caps > 0 ? 32 : 0, true);
    if (!room || caps === 0) return 0;
    let at = 32;
    if (sparse !== undefined) {
      view.setUint16(at, vfio.VFIO_REGION_INFO_CAP_SPARSE_MMAP, true);
      view.setUint32(at + 4, msixMappable ? at + 16 + sparse.length * 16 : 0, true);
      view.setUint32(at + 8, sparse.length, true);
      sparse.forEach(([offset, length], number) => {
        view.setBigUint64(at + 16 + number * 16, BigInt(offset), true);
        view.setBigUint64(at + 24 + number * 16, BigInt(length), true);
      });
      at += 16 + sparse.length * 16;
    }
    if (msixMappable) view.setUint16(at, vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, true);
    return 0;
  }

  private setIrqs(argument: Uint8Array): number {
    const view = new DataView(argument.buffer);
    const [flags, index, start, count] = [4, 8, 12, 16].map((at) => view.getUint32(at, true));
    if ((flags & vfio.VFIO_IRQ_SET_DATA_EVENTFD) !== 0) {
      if (this.refusedIrqs.has(index)) throw new SysError("ioctl", EINVAL, "VFIO_DEVICE_SET_IRQS");
      if (index === vfio.VFIO_PCI_MSIX_IRQ_INDEX && count > this.vectorsLeft) return this.vectorsLeft;
      for (let each = 0; each < count; each++)
        this.vectors.set(`${index}:${start + each}`, view.getInt32(20 + each * 4, true));
    } else if (count === 0) {
      for (const key of [...this.vectors.keys()].filter((each) => each.startsWith(`${index}:`)))
        this.vectors.delete(key);
    } else if ((flags & vfio.VFIO_IRQ_SET_ACTION_TRIGGER) !== 0) {
      const fd = this.vectors.get(`${index}:${start}`) ?? -1;
      if (fd >= 0) signal(fd);
    }
    return 0;
  }

  close(): void {
    rmSync(this.root, { recursive: true });
  }
}

/** A descriptor that is closed already would be somebody else's soon. */
function expectFile(fd: number): void {
  readlinkSync(`/proc/self/fd/${fd}`);
}

function pointee(address: number, size: number): DataView {
  return new DataView(viewOf(address, 0, size));
}
