// A device's interrupts, each an eventfd that the kernel signals (VFIO_DEVICE_SET_IRQS).
//
//   index    INTx (one line, masked by the kernel when it fires) | MSI | MSI-X | error (AER) | request (give it back)
//   vectors  |0|1|2|...   one eventfd each, all enabled by one call; the best kind that the device has and the kernel grants
//
// MSI and MSI-X are writes of the device's to memory: none comes before `setBusMaster(true)`. Their vectors cannot be masked from
// here (Linux has no such action): a vector without an eventfd is silent, and devices mask by registers of their own.
// Control thread; workers wait on the eventfds.

import { RingyardError } from "../../../core/errors.ts";
import { ENOSPC, SysError } from "../../../sys/errno.ts";
import { closeFd, eventFd } from "../../../sys/fd.ts";
import {
  struct_vfio_irq_info,
  struct_vfio_irq_set,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../../uapi/vfio.ts";
import type { Machine } from "./machine.ts";
import { KernelStruct } from "./struct.ts";

export type VectorKind = "msix" | "msi" | "intx";
export type InterruptKind = VectorKind | "none";

const INDEX: Readonly<Record<VectorKind, number>> = {
  msix: VFIO_PCI_MSIX_IRQ_INDEX,
  msi: VFIO_PCI_MSI_IRQ_INDEX,
  intx: VFIO_PCI_INTX_IRQ_INDEX,
};
/** Best first. */
const KINDS: readonly VectorKind[] = ["msix", "msi", "intx"];
/** In place of an eventfd: this vector has none. */
const NO_EVENTFD = -1;

export class Interrupts {
  private readonly counts: Record<VectorKind, number>;
  private enabled: { kind: VectorKind; fds: number[] } | undefined;
  private closed = false;
  /** Signalled when the device reports an uncorrectable error, or -1 where it cannot. */
  readonly errorFd: number;
  /** Signalled when the kernel wants the device back (hot-unplug, unbind), each ten seconds until it is closed; or -1. */
  readonly requestFd: number;

  /** Asks what there is, and takes the error and the request interrupt. Throws SysError. */
  constructor(
    private readonly machine: Machine,
    private readonly fd: number,
    /** The device, for errors. */
    private readonly who: string,
  ) {
    this.counts = { msix: this.count(INDEX.msix), msi: this.count(INDEX.msi), intx: this.count(INDEX.intx) };
    this.errorFd = this.single(VFIO_PCI_ERR_IRQ_INDEX);
    try {
      this.requestFd = this.single(VFIO_PCI_REQ_IRQ_INDEX);
    } catch (error) {
      closeFd(this.errorFd);
      throw error;
    }
  }

  /** What is in use, and before that what will be tried first. */
  get kind(): InterruptKind {
    return this.enabled?.kind ?? KINDS.find((kind) => this.counts[kind] > 0) ?? "none";
  }

  get vectors(): number {
    const { kind } = this;
    return kind === "none" ? 0 : this.counts[kind];
  }

  get fds(): readonly number[] {
    return this.enabled?.fds ?? [];
  }

  /** Eventfds of `count` vectors of the best kind that can be had, or of `only`. Throws RingyardError. */
  enable(count: number, only?: VectorKind): number[] {
    if (this.closed) throw new RingyardError("BAD_REQUEST", `${this.who} is closed`);
    if (this.enabled !== undefined) throw new RingyardError("BAD_REQUEST", `${this.who} has its interrupts already`);
    const kinds = KINDS.filter((kind) => (only ?? kind) === kind && count > 0 && count <= this.counts[kind]);
    let refusal = "";
    for (const kind of kinds) {
      const fds = this.fill(count);
      try {
        this.set(INDEX[kind], 0, fds);
        this.enabled = { kind, fds };
        return [...fds];
      } catch (error) {
        for (const each of fds) closeFd(each);
        if (!(error instanceof SysError)) throw error;
        refusal = ` (${error.message})`;
      }
    }
    const has = KINDS.map((kind) => `${this.counts[kind]} ${kind}`).join(", ");
    const message = `${this.who} does not give ${count} ${only ?? "interrupt"} vectors${refusal}`;
    throw new RingyardError("UNSUPPORTED", message, `it has ${has}; use fewer queues`);
  }

  private fill(count: number): number[] {
    const fds: number[] = [];
    try {
      while (fds.length < count) fds.push(eventFd());
      return fds;
    } catch (error) {
      for (const fd of fds) closeFd(fd);
      throw error;
    }
  }

  /** Signals a vector's eventfd as the device would. Throws SysError. */
  trigger(vector: number): void {
    if (this.enabled === undefined) return;
    this.act(INDEX[this.enabled.kind], VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, vector, 1);
  }

  /** Takes a vector's eventfd away from the kernel, or gives it back: a vector without one is silent. Throws SysError. */
  setSilent(vector: number, silent: boolean): void {
    const fd = this.enabled?.fds[vector];
    if (this.enabled === undefined || fd === undefined) return;
    this.set(INDEX[this.enabled.kind], vector, [silent ? NO_EVENTFD : fd]);
  }

  /** INTx: the kernel masks the line when it fires; here it may fire again, and does at once where the device still asks. */
  unmaskIntx(): void {
    this.maskAction(VFIO_IRQ_SET_ACTION_UNMASK);
  }

  maskIntx(): void {
    this.maskAction(VFIO_IRQ_SET_ACTION_MASK);
  }

  private maskAction(action: number): void {
    if (this.enabled?.kind === "intx") this.act(INDEX.intx, VFIO_IRQ_SET_DATA_NONE | action, 0, 1);
  }

  /** Vectors off, every eventfd closed. For a device that is gone, too. Idempotent. */
  close(): void {
    if (this.enabled !== undefined) this.off(INDEX[this.enabled.kind]);
    for (const fd of this.enabled?.fds ?? []) closeFd(fd);
    this.enabled = undefined;
    for (const [index, fd] of [
      [VFIO_PCI_ERR_IRQ_INDEX, this.errorFd],
      [VFIO_PCI_REQ_IRQ_INDEX, this.requestFd],
    ]) {
      if (fd < 0 || this.closed) continue;
      this.off(index);
      closeFd(fd);
    }
    this.closed = true;
  }

  private off(index: number): void {
    try {
      this.act(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0);
    } catch (error) {
      // The kernel does it with the last close of the device, and for one that was pulled out there is nothing to do.
      if (!(error instanceof SysError)) throw error;
    }
  }

  private count(index: number): number {
    const info = new KernelStruct(struct_vfio_irq_info, { index });
    try {
      this.machine.ioctl(this.fd, VFIO_DEVICE_GET_IRQ_INFO, info.bytes, "VFIO_DEVICE_GET_IRQ_INFO");
    } catch (error) {
      // EINVAL: the device cannot have such interrupts (error reports are PCI Express).
      if (error instanceof SysError) return 0;
      throw error;
    }
    return (info.get("flags") & VFIO_IRQ_INFO_EVENTFD) === 0 ? 0 : info.get("count");
  }

  /** An interrupt of its own index, or -1 where there is none. */
  private single(index: number): number {
    if (this.count(index) === 0) return -1;
    const fd = eventFd();
    try {
      this.set(index, 0, [fd]);
      return fd;
    } catch (error) {
      closeFd(fd);
      if (error instanceof SysError) return -1;
      throw error;
    }
  }

  private set(index: number, start: number, fds: readonly number[]): void {
    const data = new Uint8Array(new Int32Array(fds).buffer);
    this.act(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, start, fds.length, data);
  }

  private act(index: number, flags: number, start: number, count: number, data?: Uint8Array): void {
    const size = struct_vfio_irq_set.size + (data?.length ?? 0);
    const set = new KernelStruct(struct_vfio_irq_set, { flags, index, start, count }, size);
    if (data !== undefined) set.bytes.set(data, struct_vfio_irq_set.size);
    const left = this.machine.ioctl(this.fd, VFIO_DEVICE_SET_IRQS, set.bytes, "VFIO_DEVICE_SET_IRQS");
    if (left > 0) throw new SysError("ioctl", ENOSPC, `VFIO_DEVICE_SET_IRQS (${left} vectors are left)`);
  }
}
