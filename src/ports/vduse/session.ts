// A VDUSE device at work: the driver's status, its memory, and the lanes they add up to. What the kernel asks is handled one
// after the other, in its order; each answer that gives memory back waits until no worker touches it.
//
//   idle --DRIVER_OK--> starting --memory is there--> running --status 0--> idle
//                                                        |  UPDATE_IOTLB: stop, map anew, run again
//
// A device that is adopted after a restart starts where its driver is: what used.idx says is done, the rest comes again.
// Control thread only.

import { errorLine } from "../../core/errors.ts";
import { DELIVER_NEXT, FETCH_AVAIL } from "../../mem/lane-state.ts";
import { clearSignal } from "../../sys/fd.ts";
import { VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_NET_F_CTRL_VQ } from "../../uapi/virtio_net.ts";
import { type Features, hasFeature } from "../../virtio/features.ts";
import type { NetCommand } from "../../virtio/net-ctrl.ts";
import type { MemoryShare, PortHost } from "../port.ts";
import { ServedControlQueue } from "./control-queue.ts";
import type { VduseDevice } from "./device.ts";
import { Iotlb } from "./iotlb.ts";
import { Lanes } from "./lanes.ts";
import type { VduseRequest } from "./message.ts";
import type { DeviceEvents, Responder } from "./responder.ts";

/** We look whether the kernel has taken our answer to DRIVER_OK: it does within microseconds, unless who waited was killed. */
const FIRST_LOOK_MS = 1;
const LAST_LOOK_MS = 100;

/** Lines about memory that a session logs. */
const MOST_TOLD = 32;

export interface SessionOptions {
  pairs: number;
  /** Whether a control queue follows the pairs. */
  controlQueue: boolean;
  /** Put our own memory in the place of the kernel's bounce area. */
  umem: boolean;
}

export class Session implements DeviceEvents {
  features: Features = { lo: 0, hi: 0 };
  broken = false;
  readonly iotlb: Iotlb;
  private readonly lanes: Lanes;
  private status = 0;
  /** Pairs that the driver uses: one, until its control queue says otherwise. */
  private activePairs = 1;
  private control: ServedControlQueue | undefined;
  /** The driver's memory, as the switch's NICs reach it. */
  private share: MemoryShare | undefined;
  /** Watches of the kick eventfds while the driver has no buffers yet. */
  private waiting: number[] = [];
  private readonly told = new Set<string>();
  private running = false;
  /** No message comes any more: nobody says of a start that waits for the kernel that it is over. */
  private leaving = false;
  private ended = false;
  private work: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly device: VduseDevice,
    private readonly options: SessionOptions,
    private readonly responder: Responder,
    private readonly host: PortHost,
    private readonly onBreak: () => void,
  ) {
    this.iotlb = new Iotlb(device);
    this.lanes = new Lanes(device, this.iotlb, host);
    responder.add(device.fd, this);
  }

  /** Whether a driver is running and its rings are served. */
  get serving(): boolean {
    return this.lanes.open;
  }

  get queueSizes(): string[] {
    return this.lanes.kicks.map((_, queue) => String(this.device.queue(queue).size));
  }

  /** The device was there before: takes its driver over. Returns whether one is running. */
  adopt(): Promise<boolean> {
    return this.enqueue(async () => {
      if (!this.device.injectConfigIrq()) return false;
      this.status = VIRTIO_CONFIG_S_DRIVER_OK;
      await this.start(true);
      return true;
    });
  }

  onRequest(request: VduseRequest, answered: boolean): void {
    // At once: a start that waits for the kernel has to see that it is over.
    if (request.type === "set-status") this.status = request.status;
    void this.enqueue(() => this.handle(request, answered)).catch((error) => {
      this.host.countError("message");
      this.host.log.warn(`vduse: ${request.type}: ${errorLine(error)}`);
      if (!answered) this.answer(request.id, false);
    });
  }

  onBroken(): void {
    this.broken = true;
    void this.enqueue(async () => {
      this.host.countError("device_broken");
      await this.stop();
      this.onBreak();
    });
  }

  /** Ends all service; the device's descriptor may be closed when this resolves. Idempotent. */
  async end(): Promise<void> {
    this.leaving = true;
    await this.responder.remove(this.device.fd);
    await this.enqueue(async () => {
      if (this.ended) return;
      this.ended = true;
      await this.stop();
    });
  }

  private enqueue<T>(step: () => Promise<T>): Promise<T> {
    const result = this.work.then(step);
    this.work = result.catch(() => undefined);
    return result;
  }

  private answer(id: number, ok: boolean): void {
    this.responder.answer(this.device.fd, id, ok);
  }

  private async handle(request: VduseRequest, answered: boolean): Promise<void> {
    switch (request.type) {
      case "set-status":
        if (request.status === 0) await this.stop();
        else if ((request.status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0) await this.start(false);
        if (!answered) this.answer(request.id, true);
        return;
      case "update-iotlb":
        await this.reopen();
        return this.answer(request.id, true);
      case "get-vq-state":
        return this.answerState(request.id, request.queue);
      case "set-vq-group-asid":
        // One group and one address space are all that was asked for.
        return this.answer(request.id, request.group === 0 && request.asid === 0);
      case "set-vq-ready":
        if (request.ready) this.lanes.stoppedQueues.delete(request.queue);
        else this.lanes.stoppedQueues.add(request.queue);
        await this.reopen();
        return this.answer(request.id, true);
      case "suspend":
        await this.stop();
        return this.answer(request.id, true);
      case "unknown":
        this.host.countError("unknown_message");
        this.host.log.warn(`vduse: request of unknown type ${request.number}`);
        return this.answer(request.id, false);
    }
  }

  private answerState(id: number, queue: number): void {
    const known = queue < this.options.pairs * 2;
    const word = queue % 2 === 0 ? DELIVER_NEXT : FETCH_AVAIL;
    const availIndex = known ? this.host.laneState(queue >> 1)[word] & 0xffff : 0;
    this.responder.answer(this.device.fd, id, known, queue, { availIndex });
  }

  /** The driver is up, or says that it is about to be. */
  private async start(adopted: boolean): Promise<void> {
    if (this.running || this.broken || this.ended) return;
    // Interrupts are refused until the kernel has seen the answer to DRIVER_OK.
    for (let pause = FIRST_LOOK_MS; !this.device.injectConfigIrq(); pause = Math.min(pause * 2, LAST_LOOK_MS)) {
      await Bun.sleep(pause);
      if ((this.status & VIRTIO_CONFIG_S_DRIVER_OK) === 0 || this.broken || this.leaving) return;
    }
    this.running = true;
    this.activePairs = adopted ? this.options.pairs : 1;
    this.features = this.device.features();
    this.lanes.setKicks(this.options.pairs * 2 + (this.hasControlQueue ? 1 : 0));
    await this.openLanes(adopted);
  }

  private get hasControlQueue(): boolean {
    return this.options.controlQueue && hasFeature(this.features, VIRTIO_NET_F_CTRL_VQ);
  }

  /** Once each: a VM's firmware is mapped read-only every time anew. */
  private tell(why: string): void {
    // Not without end: whoever maps memory chooses the addresses.
    if (this.told.has(why) || this.told.size >= MOST_TOLD) return;
    this.told.add(why);
    this.host.log.info(`vduse: memory not used: ${why}`);
  }

  /** Maps the memory and opens the lanes; while the driver has no buffers, its first kick brings us back here. */
  private async openLanes(adopted = false): Promise<void> {
    await this.dropMemory();
    // Before the look, so that a kick behind it wakes us once more; opened lanes kick themselves.
    for (const kick of this.lanes.kicks) clearSignal(kick);
    this.iotlb.resolve(this.options.umem);
    if (!this.iotlb.complete) {
      if (this.iotlb.count === 0) this.tell("the driver shares none (QEMU: share=on for its memory)");
      this.waiting = this.lanes.kicks.map((kick) => this.host.reactor.watch(kick, () => this.kicked()));
      return;
    }
    for (const why of this.iotlb.refused) this.tell(why);
    const { shareable } = this.iotlb;
    if (shareable.length > 0) this.share = await this.host.shareMemory(shareable);
    try {
      for (let pair = 0; pair < this.activePairs; pair++) {
        if (pair === 0 || !adopted || this.lanes.inUse(pair)) await this.lanes.openPair(pair, this.features);
      }
      if (this.hasControlQueue) this.serveControl();
    } catch (error) {
      // Rings that are nowhere in the memory, say: the driver's fault, and other memory or a reset is its way out.
      await this.closeLanes();
      this.host.setCarrier(false);
      this.host.countError("rings");
      this.host.log.warn(`vduse: ${errorLine(error)}`);
    }
  }

  private kicked(): void {
    this.unwatch();
    void this.enqueue(async () => {
      if (this.running && !this.serving && this.waiting.length === 0) await this.openLanes();
    }).catch((error) => {
      this.host.countError("rings");
      this.host.log.warn(`vduse: ${errorLine(error)}`);
    });
  }

  private unwatch(): void {
    for (const token of this.waiting.splice(0)) this.host.reactor.unwatch(token);
  }

  private serveControl(): void {
    const queue = this.options.pairs * 2;
    const ring = this.lanes.ring(queue);
    if (ring === null) return;
    const call = () => void this.device.injectIrq(queue);
    const handle = (command: NetCommand) => this.command(command);
    const next = this.lanes.ringIndex(ring.used);
    const { reactor } = this.host;
    this.control = new ServedControlQueue(ring, this.iotlb.config, this.features, next, reactor, handle, call);
  }

  private async command(command: NetCommand): Promise<boolean> {
    if (command.type !== "pairs") return true;
    if (command.count < 1 || command.count > this.options.pairs) return false;
    try {
      await this.usePairs(command.count);
    } catch (error) {
      this.host.countError("rings");
      this.host.log.warn(`vduse: ${command.count} queue pairs: ${errorLine(error)}`);
      return false;
    }
    return true;
  }

  private async usePairs(count: number): Promise<void> {
    // Not through the queue of messages: the driver waits for this answer while others wait for the driver.
    for (let pair = this.activePairs; pair < count; pair++) await this.lanes.openPair(pair, this.features);
    for (let pair = count; pair < this.activePairs; pair++) await this.lanes.closePair(pair);
    this.activePairs = count;
  }

  private async closeLanes(): Promise<void> {
    this.unwatch();
    await this.control?.close();
    this.control = undefined;
    await this.lanes.close();
  }

  /** Unmaps the driver's memory. After the lanes are closed; NICs may still read frames in it, and are waited for. */
  private async dropMemory(): Promise<void> {
    await this.share?.release();
    this.share = undefined;
    this.iotlb.clear();
  }

  private async reopen(): Promise<void> {
    await this.closeLanes();
    await this.dropMemory();
    if (this.running) await this.openLanes();
  }

  /** Back to idle: when this resolves, no worker touches the driver's memory, and it is mapped no more. */
  private async stop(): Promise<void> {
    this.running = false;
    await this.closeLanes();
    // Not before: what a worker takes from a port without carrier is dropped, and its driver believes that it was sent.
    this.host.setCarrier(false);
    await this.dropMemory();
    this.lanes.dropKicks();
  }
}
