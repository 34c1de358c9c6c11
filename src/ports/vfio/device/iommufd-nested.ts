// The part of /dev/iommu for guests that drive an IOMMU of their own (nested translation): their page tables beneath ours, the
// faults and events that are theirs to handle. ringyard gives no guest an IOMMU; these calls are here because the interface is, and
// test/vm/vfio-device.test.ts says what the kernel at hand answers. Each is one ioctl and throws SysError. Control thread.

import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  struct_iommu_fault_alloc,
  struct_iommu_hw_queue_alloc,
  struct_iommu_hwpt_alloc,
  struct_iommu_hwpt_invalidate,
  struct_iommu_vdevice_alloc,
  struct_iommu_veventq_alloc,
  struct_iommu_viommu_alloc,
} from "../../../uapi/iommufd.ts";
import { Iommufd } from "./iommufd.ts";

/** An object whose events are read from a descriptor of its own, which the caller closes. */
export interface Queue {
  id: number;
  fd: number;
}

export class NestedIommufd extends Iommufd {
  /** A guest's page tables (`data`, of type IOMMU_HWPT_DATA_*) on top of a nesting parent or a vIOMMU. */
  allocNestedHwpt(dev_id: number, parent: number, data_type: number, data: Uint8Array): number {
    return this.withBytes(data, (data_uptr) => {
      const values = { dev_id, pt_id: parent, data_type, data_len: data.length, data_uptr };
      return this.call(IOMMU_HWPT_ALLOC, "IOMMU_HWPT_ALLOC", struct_iommu_hwpt_alloc, values).get("out_hwpt_id");
    });
  }

  /** Hands on what a guest invalidated: `count` entries of `entrySize` bytes. Returns how many were done. */
  invalidate(hwpt_id: number, data_type: number, entries: Uint8Array, entry_len: number): number {
    return this.withBytes(entries, (data_uptr) => {
      const values = { hwpt_id, data_uptr, data_type, entry_len, entry_num: Math.floor(entries.length / entry_len) };
      const what = "IOMMU_HWPT_INVALIDATE";
      return this.call(IOMMU_HWPT_INVALIDATE, what, struct_iommu_hwpt_invalidate, values).get("entry_num");
    });
  }

  /** Page requests of devices (struct iommu_hwpt_pgfault), answered by struct iommu_hwpt_page_response. */
  allocFaultQueue(): Queue {
    const made = this.call(IOMMU_FAULT_QUEUE_ALLOC, "IOMMU_FAULT_QUEUE_ALLOC", struct_iommu_fault_alloc, {});
    return { id: made.get("out_fault_id"), fd: made.get("out_fault_fd") };
  }

  /** A slice of the IOMMU before a device, for one guest; `type` is IOMMU_VIOMMU_TYPE_*. */
  allocViommu(dev_id: number, hwpt_id: number, type: number): number {
    const values = { type, dev_id, hwpt_id };
    return this.call(IOMMU_VIOMMU_ALLOC, "IOMMU_VIOMMU_ALLOC", struct_iommu_viommu_alloc, values).get("out_viommu_id");
  }

  /** A device as its guest numbers it. */
  allocVdevice(viommu_id: number, dev_id: number, virt_id: number): number {
    const values = { viommu_id, dev_id, virt_id };
    const made = this.call(IOMMU_VDEVICE_ALLOC, "IOMMU_VDEVICE_ALLOC", struct_iommu_vdevice_alloc, values);
    return made.get("out_vdevice_id");
  }

  /** Events of a vIOMMU (struct iommufd_vevent_header, then the type's own). */
  allocVeventQueue(viommu_id: number, type: number, veventq_depth: number): Queue {
    const values = { viommu_id, type, veventq_depth };
    const made = this.call(IOMMU_VEVENTQ_ALLOC, "IOMMU_VEVENTQ_ALLOC", struct_iommu_veventq_alloc, values);
    return { id: made.get("out_veventq_id"), fd: made.get("out_veventq_fd") };
  }

  /** A queue in guest memory that the IOMMU itself reads. */
  allocHwQueue(viommu_id: number, type: number, index: number, iova: number, length: number): number {
    const values = { viommu_id, type, index, nesting_parent_iova: iova, length };
    const made = this.call(IOMMU_HW_QUEUE_ALLOC, "IOMMU_HW_QUEUE_ALLOC", struct_iommu_hw_queue_alloc, values);
    return made.get("out_hw_queue_id");
  }

  private withBytes<T>(bytes: Uint8Array, use: (address: number) => T): T {
    return this.withBuffer(Math.max(bytes.length, 1), (view, address) => {
      new Uint8Array(view.buffer).set(bytes);
      return use(address);
    });
  }
}
