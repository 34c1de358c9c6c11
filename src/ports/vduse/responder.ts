// The message thread of all VDUSE devices of this process: a Worker that reads what the kernel asks and answers at once what
// can be answered at once (message.ts says which, and why). Everything else waits for the control thread, which answers
// through `answer` when no worker can touch the old mapping any more.
//
//   kernel --read--> message thread --answered--> kernel
//                          |
//                          +--post--> control thread: onRequest(request, answered) ... answer() --write--> kernel
//
// Control thread only, but for the Worker itself (responder-entry.ts).

import { EPOLLET, EPOLLIN, epollAdd, epollCreate, epollRemove } from "../../sys/epoll.ts";
import { closeFd, eventFd, signal, writeAt } from "../../sys/fd.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "../../sys/memory.ts";
import { type QueueState, RESPONSE_SIZE, type VduseRequest, writeResponse } from "./message.ts";

export interface DeviceEvents {
  /** A request, in the order of the device's; `answered`: it needs no `answer` any more. */
  onRequest(request: VduseRequest, answered: boolean): void;
  /** The kernel has given the device up: a message was not answered in time. Nothing comes after it. */
  onBroken(): void;
}

/** What the Worker posts. `fd` names the device. */
export type Posted =
  | { fd: number; request: VduseRequest; answered: boolean }
  | { fd: number; broken: true }
  | { synced: number };

/** What the Worker is started with. */
export interface ResponderStart {
  epfd: number;
  doorbell: number;
  /** Word 0: the number of the last `sync` asked for; -1 ends the Worker. */
  asked: SharedArrayBuffer;
}

/** Token of the doorbell in the epoll set; a device's is its descriptor, which is never 0 (standard input). */
export const DOORBELL = 0;

export class Responder {
  private static instance: Responder | undefined;
  private users = 0;
  private readonly epfd = epollCreate();
  private readonly doorbell = eventFd();
  private readonly asked = new Int32Array(new SharedArrayBuffer(4));
  private readonly devices = new Map<number, DeviceEvents>();
  private readonly scratch = mapAnonymous(PAGE_SIZE);
  private readonly response = new DataView(viewOf(this.scratch, 0, RESPONSE_SIZE));
  private readonly worker: Worker;
  private syncs: { number: number; resolve: () => void }[] = [];

  private constructor() {
    epollAdd(this.epfd, this.doorbell, EPOLLIN, DOORBELL);
    this.worker = new Worker(new URL("./responder-entry.ts", import.meta.url).href);
    this.worker.onmessage = (event: MessageEvent<Posted>) => this.posted(event.data);
    this.worker.postMessage({
      epfd: this.epfd,
      doorbell: this.doorbell,
      asked: this.asked.buffer as SharedArrayBuffer,
    } satisfies ResponderStart);
  }

  /** The one of this process, started for its first user. Give it back by `release`. */
  static acquire(): Responder {
    Responder.instance ??= new Responder();
    Responder.instance.users++;
    return Responder.instance;
  }

  /** Ends the thread after its last user. */
  async release(): Promise<void> {
    if (--this.users > 0) return;
    if (Responder.instance === this) Responder.instance = undefined;
    const ended = new Promise<void>((resolve) => this.worker.addEventListener("close", () => resolve()));
    Atomics.store(this.asked, 0, -1);
    signal(this.doorbell);
    // It closes the epoll set.
    await ended;
    closeFd(this.doorbell);
    unmap(this.scratch, PAGE_SIZE);
  }

  /** Takes the messages of a device from now on; `fd` is non-blocking. */
  add(fd: number, events: DeviceEvents): void {
    this.devices.set(fd, events);
    epollAdd(this.epfd, fd, EPOLLIN | EPOLLET, fd);
  }

  /** Resolves when the thread uses `fd` no more; only then may it be closed. What it had read is not answered. */
  async remove(fd: number): Promise<void> {
    if (!this.devices.delete(fd)) return;
    epollRemove(this.epfd, fd);
    const number = Atomics.add(this.asked, 0, 1) + 1;
    const done = new Promise<void>((resolve) => this.syncs.push({ number, resolve }));
    signal(this.doorbell);
    await done;
  }

  /** Answers a request of the device; one that the kernel no longer waits for is fine. */
  answer(fd: number, id: number, ok: boolean, queue?: number, state?: QueueState): void {
    writeResponse(this.response, id, ok, queue, state);
    writeAt(fd, this.scratch, RESPONSE_SIZE);
  }

  private posted(posted: Posted): void {
    if ("synced" in posted) {
      for (const { number, resolve } of this.syncs) if (number <= posted.synced) resolve();
      this.syncs = this.syncs.filter(({ number }) => number > posted.synced);
      return;
    }
    const device = this.devices.get(posted.fd);
    if ("broken" in posted) device?.onBroken();
    else device?.onRequest(posted.request, posted.answered);
  }
}
