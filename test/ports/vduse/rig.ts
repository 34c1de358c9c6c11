// A VDUSE session without a kernel: a device, a message thread and a host that remember what was asked of them, and memory
// that is real. One list holds what all of them did, in order: that is what the tests look at.
//
// Main thread of a test process.

import type { LaneConfig } from "../../../src/ports/port.ts";
import type { IotlbEntry, QueueInfo, VduseDevice } from "../../../src/ports/vduse/device.ts";
import type { QueueState, VduseRequest } from "../../../src/ports/vduse/message.ts";
import type { DeviceEvents, Responder } from "../../../src/ports/vduse/responder.ts";
import { Session } from "../../../src/ports/vduse/session.ts";
import { O_RDONLY, O_RDWR, openFd } from "../../../src/sys/fd.ts";
import { memfd } from "../../../src/sys/memory.ts";
import type { Reactor } from "../../../src/sys/reactor.ts";
import type { Features } from "../../../src/virtio/features.ts";
import { until } from "../../support/until.ts";
import { RecordingHost } from "../recording-host.ts";

/** The tree's, or that of a copy with a mistake in it. */
export type SessionClass = new (...args: ConstructorParameters<typeof Session>) => Session;

export const MEMORY_SIZE = 1 << 16;

/** A piece of a driver's memory, as the kernel would name it; `file` is opened anew for each look. */
export interface FakeRegion {
  start: number;
  size: number;
  offset?: number;
  readOnly?: boolean;
  /** VDUSE_ACCESS_*; by default what `readOnly` says of the file. */
  perm?: number;
  /** Of the kernel's own driver. */
  ofKernel?: boolean;
  file: number;
}

export class FakeDevice {
  readonly fd = 1_000_000;
  readonly apiVersion = 1;
  regions: FakeRegion[] = [];
  queues: QueueInfo[] = [];
  accepted: Features = { lo: 0, hi: 1 };
  /** Whether the kernel takes interrupts: it has seen the answer to DRIVER_OK. */
  live = true;
  /** Thrown by the next look at the memory. */
  failure: Error | undefined;
  looks = 0;

  constructor(private readonly events: string[]) {}

  queue(index: number): QueueInfo {
    return this.queues[index] ?? { size: 0, desc: 0, avail: 0, used: 0, availIndex: 0, ready: false };
  }

  setKick(index: number): void {
    this.events.push(`kick ${index}`);
  }

  injectIrq(index: number): boolean {
    this.events.push(`irq ${index}`);
    return true;
  }

  injectConfigIrq(): boolean {
    this.looks++;
    return this.live;
  }

  features(): Features {
    return this.accepted;
  }

  region(start: number): IotlbEntry | null {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    const found = this.regions
      .filter((region) => region.start + region.size > start)
      .sort((a, b) => a.start - b.start)[0];
    if (found === undefined) return null;
    const { size, offset = 0, readOnly = false, perm = readOnly ? 1 : 3, ofKernel = false, file } = found;
    const fd = openFd(`/proc/self/fd/${file}`, readOnly ? O_RDONLY : O_RDWR);
    return { start: found.start, size, offset, perm, ofKernel, fd };
  }

  bounceSize(): number {
    return this.regions.find(({ start, ofKernel }) => start === 0 && ofKernel)?.size ?? 0;
  }

  giveMemory(_address: number, size: number): void {
    this.events.push(`umem ${size}`);
  }

  takeMemory(size: number): void {
    this.events.push(`no umem ${size}`);
  }
}

/** What the session answered, as one word for the list. */
function answerText(id: number, ok: boolean, queue?: number, state?: QueueState): string {
  const told = state === undefined ? "" : ` queue ${queue} ${JSON.stringify(state)}`;
  return `answer ${id} ${ok ? "ok" : "failed"}${told}`;
}

class FakeHost extends RecordingHost {
  readonly state = new Int32Array(16);
  /** Calls of whoever waits for a kick, by descriptor. */
  readonly watched = new Map<number, () => void>();
  /** While it is set, workers do not let go of a lane. */
  busy: Promise<void> | undefined;

  override async closeLane(pair: number): Promise<void> {
    await this.busy;
    await super.closeLane(pair);
  }

  override laneState(): Int32Array {
    return this.state;
  }

  override get reactor(): Reactor {
    const reactor = {
      watch: (fd: number, callback: () => void) => {
        this.watched.set(fd, callback);
        return fd;
      },
      unwatch: (fd: number) => void this.watched.delete(fd),
    };
    return reactor as unknown as Reactor;
  }
}

export class SessionRig {
  readonly host = new FakeHost();
  readonly events = this.host.events;
  readonly device = new FakeDevice(this.events);
  readonly session: Session;
  private deviceEvents!: DeviceEvents;
  private lastId = 100;

  constructor({ pairs = 1, umem = false, session = Session as SessionClass } = {}) {
    const responder = {
      add: (_fd: number, events: DeviceEvents) => {
        this.deviceEvents = events;
      },
      remove: async () => void this.events.push("removed"),
      answer: (_fd: number, id: number, ok: boolean, queue?: number, state?: QueueState) =>
        void this.events.push(answerText(id, ok, queue, state)),
    } as unknown as Responder;
    const options = { pairs, controlQueue: false, umem };
    const device = this.device as unknown as VduseDevice;
    this.session = new session(device, options, responder, this.host, () => this.events.push("on break"));
  }

  /** A driver with one region and a ring of 64 in each of two queues. */
  withDriver(file: number): this {
    this.device.regions = [{ start: 0x10000, size: MEMORY_SIZE, file }];
    this.device.queues = [0, 1].map((index) => {
      const desc = 0x10000 + index * 0x1000;
      return { size: 64, desc, avail: desc + 0x400, used: desc + 0x800, availIndex: 0, ready: true };
    });
    return this;
  }

  /** The same as the kernel's own driver has it (virtio-vdpa): the bounce area before the rings, all of it the kernel's memory. */
  withKernelDriver(file: number): this {
    const [rings] = this.withDriver(file).device.regions;
    this.device.regions = [
      { start: 0, size: MEMORY_SIZE, ofKernel: true, file },
      { ...rings, ofKernel: true },
    ];
    return this;
  }

  /** A message of the kernel's; returns its id. `answered`: by the message thread. */
  ask(request: Omit<VduseRequest, "id"> & Record<string, unknown>, answered = false): number {
    const id = this.lastId++;
    this.deviceEvents.onRequest({ ...request, id } as VduseRequest, answered);
    return id;
  }

  status(status: number): number {
    return this.ask({ type: "set-status", status }, status !== 0);
  }

  breaks(): void {
    this.deviceEvents.onBroken();
  }

  /** Waits for an event; returns the place of the first of them. */
  async happened(event: string): Promise<number> {
    await until(event, () => this.events.includes(event), { everyMs: 1, context: () => this.events.join("\n") });
    return this.events.indexOf(event);
  }

  /** Asks, and waits for the answer. */
  async answer(request: Omit<VduseRequest, "id"> & Record<string, unknown>): Promise<string> {
    const id = this.ask(request);
    const answered = () => this.events.find((event) => event.startsWith(`answer ${id} `));
    return await until(`the answer to ${request.type}`, answered, { everyMs: 1 });
  }

  async start(): Promise<void> {
    this.status(15);
    await until("the lane", () => this.session.serving, { everyMs: 1 });
    this.events.length = 0;
  }

  lane(): Extract<LaneConfig, { driver: "virtqueue" }> {
    return this.host.lanes.get(0) as Extract<LaneConfig, { driver: "virtqueue" }>;
  }
}

/** A file of memory; whoever makes it closes it. */
export function memoryFile(size = MEMORY_SIZE): number {
  return memfd("ringyard-vduse-test", size);
}
