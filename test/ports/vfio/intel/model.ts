// A model of both families for tests, from the data sheets: registers with their side effects, one wire on which `sent`
// frames leave and `receive`d ones come. It moves frames when a tail is written or a test says so, never by itself.
//
//   model.receive(bytes) -> descriptors from RDH to RDT, causes, eventfds        TDT written -> descriptors, `sent`, DD
//
// Offsets and bits are written down a second time here, so that a slip in src is no slip here.

import type { Registers } from "../../../../src/ports/vfio/registers.ts";
import { ModelFunction } from "./model-function.ts";
import { type Context, wireFrames } from "./model-offload.ts";

const CTRL = 0x0;
const STATUS = 0x8;
const EECD = 0x10;
const MDIC = 0x20;
const ICR = 0xc0;
const ICS = 0xc8;
const IMS = 0xd0;
const IMC = 0xd8;
const IVAR_82574 = 0xe4;
const RCTL = 0x100;
const TCTL = 0x400;
const RAL = 0x5400;
const RAH = 0x5404;
const GPIE = 0x1514;
const EIMS = 0x1524;
const EIMC = 0x1528;
const EICR = 0x1580;
const IVAR0 = 0x1700;
const IVAR_MISC = 0x1740;
const STATISTICS = [0x4000, 0x4124];

export const MODEL_MAC = "52:54:00:12:34:56";

/** What came with a received frame, in the descriptor's status word. */
export interface Arrival {
  /** Status and error bits beside DD and EOP. */
  status?: number;
  queue?: number;
}

export class Model implements Registers {
  readonly size = 0x20000;
  readonly device: ModelFunction;
  /** Frames on the wire, and how many descriptors and tail writes they took. */
  readonly sent: Uint8Array[] = [];
  descriptors = 0;
  contexts = 0;
  tailWrites = 0;
  resets = 0;
  /** Resets while it could still reach memory: the bus may hang. */
  rudeResets = 0;
  /** Called when a transmit tail is written, before anything else. */
  onTail: () => void = () => undefined;
  /** Off: transmit descriptors stay with the device until `transmit`. */
  eager = true;
  linkUp = true;
  /** A device that left the bus. */
  gone = false;
  readonly phy = new Uint16Array(32);
  private readonly values = new Map<number, number>();
  private readonly contextOf = new Map<number, Context>();

  constructor(
    readonly advanced: boolean,
    vectors = advanced ? 10 : 5,
    kind: ModelFunction["interruptKind"] = "msix",
    /** RAL and RAH as the NVM has them. */
    private readonly stored: readonly [number, number] = [0x12005452, 0x80005634],
  ) {
    this.device = new ModelFunction(advanced ? 0x10c9 : 0x10d3, vectors, kind);
    this.device.registers = this;
    this.reset();
  }

  give(): void {
    this.device.give();
  }

  value(offset: number): number {
    return (this.values.get(offset) ?? 0) >>> 0;
  }

  set(offset: number, value: number): void {
    this.values.set(offset, value >>> 0);
  }

  private reset(): void {
    this.values.clear();
    this.contextOf.clear();
    // As QEMU's: its 82574 has read its NVM, its 82576 never says that it has.
    this.set(EECD, this.advanced ? 0x100 : 0x300);
    this.set(RAL, this.stored[0]);
    this.set(RAH, this.stored[1]);
    this.phy[0] = 0x1140;
  }

  read8(offset: number): number {
    return (this.read32(offset & ~3) >>> ((offset & 3) * 8)) & 0xff;
  }

  read16(offset: number): number {
    return (this.read32(offset & ~3) >>> ((offset & 3) * 8)) & 0xffff;
  }

  write8(): void {
    throw new Error("registers are 32 bits wide");
  }

  write16(): void {
    throw new Error("registers are 32 bits wide");
  }

  read32(offset: number): number {
    if (this.gone) return 0xffffffff;
    const value = this.value(offset);
    if (offset === STATUS) {
      return (0x80 | 1 | (this.linkUp ? 2 : 0) | ((this.value(CTRL) & 4) === 0 ? 1 << 19 : 0)) >>> 0;
    }
    if (offset === ICR) this.set(ICR, 0);
    if (offset >= STATISTICS[0] && offset < STATISTICS[1]) this.set(offset, 0);
    return value;
  }

  write32(offset: number, given: number): void {
    const value = given >>> 0;
    if (this.gone) return;
    if (this.act(offset, value)) return;
    this.set(offset, value);
    const queue = this.queueOf(offset, "tx", 0x18);
    if (queue >= 0) {
      this.tailWrites++;
      this.onTail();
      if (this.eager) this.transmit(queue);
    }
    if (this.queueOf(offset, "rx", 0x18) >= 0) this.tailWrites++;
  }

  /** Registers that do something when they are written. */
  private act(offset: number, value: number): boolean {
    if (offset === CTRL) this.control(value);
    else if (offset === MDIC) this.mdic(value);
    else if (offset === ICR) this.set(ICR, this.value(ICR) & ~value);
    else if (offset === ICS) this.raise(value, 0);
    else if (offset === IMS) this.unmask(IMS, ICR, value);
    else if (offset === IMC) this.set(IMS, this.value(IMS) & ~value);
    else if (offset === EICR) this.set(EICR, this.value(EICR) & ~value);
    else if (offset === EIMS) this.unmask(EIMS, EICR, value);
    else if (offset === EIMC) this.set(EIMS, this.value(EIMS) & ~value);
    else return false;
    return true;
  }

  private control(value: number): void {
    if ((value & (1 << 26)) !== 0) {
      this.resets++;
      const moving = ((this.value(RCTL) | this.value(TCTL)) & 2) !== 0 || (this.value(CTRL) & 4) === 0;
      if (moving || this.value(IMS) !== 0) this.rudeResets++;
      this.reset();
    } else this.set(CTRL, value);
  }

  private mdic(value: number): void {
    const register = (value >> 16) & 31;
    if (((value >> 26) & 3) === 1) this.phy[register] = value & 0xffff;
    const error = ((value >> 21) & 31) !== 1 ? 1 << 30 : 0;
    this.set(MDIC, (value & 0xffff0000) | this.phy[register] | (1 << 28) | error);
  }

  private base(direction: "rx" | "tx", queue: number): number {
    if (this.advanced) return (direction === "rx" ? 0xc000 : 0xe000) + queue * 0x40;
    return direction === "rx" ? 0x2800 : 0x3800;
  }

  private queueOf(offset: number, direction: "rx" | "tx", register: number): number {
    for (let queue = 0; queue < (this.advanced ? 16 : 1); queue++) {
      if (offset === this.base(direction, queue) + register) return queue;
    }
    return -1;
  }

  private ring(direction: "rx" | "tx", queue: number) {
    const base = this.base(direction, queue);
    return {
      base,
      count: this.value(base + 8) / 16,
      head: this.value(base + 0x10),
      tail: this.value(base + 0x18),
      iova: this.value(base + 4) * 2 ** 32 + this.value(base),
    };
  }

  private descriptor(iova: number): DataView {
    const bytes = this.device.dma(iova, 16);
    return new DataView(bytes.buffer, bytes.byteOffset);
  }

  // Interrupts: causes that are unmasked and were not both before interrupt their vector.

  private get msix(): boolean {
    return this.advanced ? (this.value(GPIE) & 0x10) !== 0 : this.device.interruptKind === "msix";
  }

  /** Sets causes of ICR, and of EICR with the 82576's queues. */
  raise(causes: number, queues: number): void {
    const before = this.value(ICR) & this.value(IMS);
    const other = !this.advanced && this.msix && (causes & 0x4) !== 0 ? 1 << 24 : 0;
    this.set(ICR, this.value(ICR) | causes | other);
    const fresh = this.value(ICR) & this.value(IMS) & ~before;
    if (this.advanced && this.msix) {
      const misc = this.value(IVAR_MISC) >> 8;
      const vector = fresh !== 0 && (misc & 0x80) !== 0 ? 1 << (misc & 0x1f) : 0;
      const old = this.value(EICR) & this.value(EIMS);
      this.set(EICR, this.value(EICR) | queues | vector);
      this.notify(this.value(EICR) & this.value(EIMS) & ~old);
    } else this.notifyIcr(fresh);
  }

  private unmask(mask: number, cause: number, bits: number): void {
    const before = this.value(mask) & this.value(cause);
    this.set(mask, this.value(mask) | bits);
    const fresh = this.value(mask) & this.value(cause) & ~before;
    if (mask === EIMS) this.notify(fresh);
    else if (!(this.advanced && this.msix)) this.notifyIcr(fresh);
  }

  private notify(vectors: number): void {
    for (let vector = 0; vector < 25; vector++) if ((vectors & (1 << vector)) !== 0) this.device.interrupt(vector);
  }

  private notifyIcr(fresh: number): void {
    if (fresh === 0) return;
    if (this.advanced || !this.msix) {
      this.device.interrupt(0);
      return;
    }
    const ivar = this.value(IVAR_82574);
    const vectorAt = (shift: number) => ((ivar >> shift) & 8) !== 0 && this.device.interrupt((ivar >> shift) & 7);
    if ((fresh & (1 << 20)) !== 0) vectorAt(0);
    if ((fresh & (1 << 24)) !== 0) vectorAt(16);
  }

  setLink(up: boolean): void {
    this.linkUp = up;
    this.raise(0x4, 0);
  }

  // The wire.

  private get bufferSize(): number {
    return this.advanced ? (this.value(0xc00c) & 0x7f) * 1024 : (this.value(RCTL) & (1 << 25)) !== 0 ? 4096 : 2048;
  }

  /** A frame comes in. False: there were no descriptors for it. */
  receive(bytes: Uint8Array, { status = 0, queue = 0 }: Arrival = {}): boolean {
    const { base, count, iova, ...ring } = this.ring("rx", queue);
    const pieces = Math.max(1, Math.ceil(bytes.length / this.bufferSize));
    const enabled = (this.value(RCTL) & 2) !== 0 && (!this.advanced || (this.value(base + 0x28) & (1 << 25)) !== 0);
    if (!enabled || this.receiveRoom(queue) < pieces) return false;
    let head = ring.head;
    for (let piece = 0; piece < pieces; piece++) {
      const part = bytes.subarray(piece * this.bufferSize, (piece + 1) * this.bufferSize);
      const view = this.descriptor(iova + head * 16);
      this.device.dma(view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true), part.length).set(part);
      const last = piece === pieces - 1;
      this.complete(view, part.length, (last ? 3 | status : 1) >>> 0);
      head = (head + 1) % count;
    }
    this.set(base + 0x10, head);
    this.wake(queue);
    return true;
  }

  /** Descriptors that the device may receive into. */
  receiveRoom(queue = 0): number {
    const { count, head, tail } = this.ring("rx", queue);
    return (tail - head + count) % count;
  }

  /** Any receive descriptor, the device's or not. */
  receiveDescriptor(slot: number): DataView {
    return this.descriptor(this.ring("rx", 0).iova + slot * 16);
  }

  /** Writes a descriptor back over itself, as a device does that is right or wrong. */
  complete(view: DataView, length: number, status: number): void {
    view.setUint32(0, 0xdeadbeef, true);
    view.setUint32(4, 0xdeadbeef, true);
    view.setUint32(12, length, true);
    view.setUint32(8, status, true);
  }

  /** The descriptor that the device would receive into next; it is taken. For devices that do wrong; throws without one. */
  nextReceive(queue = 0): DataView {
    const { base, count, head, iova } = this.ring("rx", queue);
    if (this.receiveRoom(queue) === 0) throw new Error("no receive descriptor");
    this.set(base + 0x10, (head + 1) % count);
    return this.descriptor(iova + head * 16);
  }

  wake(queue = 0): void {
    if (!this.advanced) {
      this.raise(this.msix ? 1 << 20 : 1 << 7, 0);
      return;
    }
    const entry = this.value(IVAR0 + queue * 4);
    this.raise(1 << 7, (entry & 0x80) !== 0 ? 1 << (entry & 0x1f) : 0);
  }

  /** Sends what lies between head and tail; `limit` descriptors at most, but whole frames. */
  transmit(queue = 0, limit = Number.POSITIVE_INFINITY): void {
    const { base, count, iova, tail, ...ring } = this.ring("tx", queue);
    if ((this.value(TCTL) & 2) === 0) return;
    if (this.advanced && (this.value(base + 0x28) & (1 << 25)) === 0) return;
    let head = ring.head;
    let parts: Uint8Array[] = [];
    const reports: DataView[] = [];
    for (let done = 0; head !== tail && (done < limit || parts.length > 0); done++) {
      const view = this.descriptor(iova + head * 16);
      const command = view.getUint32(8, true);
      this.descriptors++;
      if (this.isContext(command)) {
        this.contexts++;
        const words = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
        this.contextOf.set(queue, { advanced: this.advanced, words });
      } else {
        const from = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
        const size = command & 0xffff;
        // As QEMU's models: a piece that crosses a page is not sent.
        if (Math.floor(from / 4096) !== Math.floor((from + size - 1) / 4096)) throw new Error("a piece crosses a page");
        parts.push(this.device.dma(from, size).slice());
        if ((command & (1 << 24)) !== 0) {
          this.send(queue, parts, command, view.getUint32(12, true));
          parts = [];
        }
      }
      if ((command & (1 << 27)) !== 0) reports.push(view);
      head = (head + 1) % count;
    }
    this.set(base + 0x10, head);
    for (const view of reports) view.setUint32(12, view.getUint32(12, true) | 1, true);
  }

  private isContext(command: number): boolean {
    if ((command & (1 << 29)) === 0) throw new Error("a legacy descriptor");
    const type = (command >> 20) & 0xf;
    if (type !== (this.advanced ? 2 : 0) && type !== (this.advanced ? 3 : 1))
      throw new Error(`descriptor type ${type}`);
    return type === (this.advanced ? 2 : 0);
  }

  private send(queue: number, parts: Uint8Array[], command: number, options: number): void {
    if ((command & (1 << 25)) === 0) throw new Error("a frame without IFCS");
    const bytes = new Uint8Array(Buffer.concat(parts));
    if (bytes.length < 17) throw new Error("shorter than 17 bytes: the device hangs");
    const frames = wireFrames({
      bytes,
      ixsm: (options & 0x100) !== 0,
      txsm: (options & 0x200) !== 0,
      tse: (command & (this.advanced ? 1 << 31 : 1 << 26)) !== 0,
      payload: options >>> 14,
      context: this.contextOf.get(queue),
    });
    this.sent.push(...frames);
  }
}
