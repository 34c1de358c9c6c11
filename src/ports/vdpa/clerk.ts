// The clerk: a thread that does what must not be done on the control thread, one order after the other.
//
//   control thread --order--> clerk's Worker --netlink, sysfs: blocks--> kernel --message--> VDUSE's message thread
//          ^                        |                                       ^                        |
//          +------ answer ----------+                                       +------- answer ---------+
//
// Putting a VDUSE device on the bus, binding its driver and taking it off wait in the kernel for answers to VDUSE messages,
// some of which only the control thread can give; and they take RTNL while they wait. Here they may. All VDUSE ports of a
// process share one clerk; its Worker starts with the first order and ends with the last port. Control thread only.

import { RingyardError } from "../../core/errors.ts";
import type { Inspection, Listed } from "./attach.ts";
import type { Answer, Order, Tasks } from "./clerk-entry.ts";
import type { Place } from "./netdev.ts";

interface Waiting {
  worker: Worker;
  resolve(value: unknown): void;
  reject(error: RingyardError): void;
}

export class Clerk {
  private static instance: Clerk | undefined;
  private users = 0;
  private worker: Worker | undefined;
  private ended: Promise<void> = Promise.resolve();
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;

  private constructor() {}

  /** The process's clerk, until it is released as often. */
  static acquire(): Clerk {
    Clerk.instance ??= new Clerk();
    Clerk.instance.users++;
    return Clerk.instance;
  }

  /** With the last user's release the Worker ends, after the orders before; resolves when it has. */
  async release(): Promise<void> {
    this.users--;
    if (this.users > 0 || this.worker === undefined) return;
    this.worker.postMessage({ task: null } satisfies Order);
    // Whoever acquires from now on gets a new Worker.
    this.worker = undefined;
    await this.ended;
  }

  /** Puts the VDUSE device on the vDPA bus. */
  add(name: string): Promise<void> {
    return this.order("add", name) as Promise<void>;
  }

  /** Takes the device off the bus; one that is not there is fine. Rejects with BUSY while a VM has it. */
  remove(name: string): Promise<void> {
    return this.order("remove", name) as Promise<void>;
  }

  inspect(name: string): Promise<Inspection> {
    return this.order("inspect", name) as Promise<Inspection>;
  }

  /** Every device on the bus, whosever. */
  list(): Promise<Listed[]> {
    return this.order("list") as Promise<Listed[]>;
  }

  /** Gives the device, which is on the bus, to a container. Where that fails it has the driver it had. */
  attachNetns(name: string, place: Place): Promise<{ netns: string; ifname: string; mac: string }> {
    return this.order("attachNetns", name, place) as Promise<{ netns: string; ifname: string; mac: string }>;
  }

  /** Makes the device, which is on the bus, one for a VM. Where that fails it has the driver it had. */
  attachVm(name: string): Promise<{ path: string }> {
    return this.order("attachVm", name) as Promise<{ path: string }>;
  }

  private order<T extends keyof Tasks>(task: T, ...args: Parameters<Tasks[T]>): Promise<unknown> {
    this.worker ??= this.start();
    const { worker } = this;
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.waiting.set(id, { worker, resolve, reject });
      worker.postMessage({ id, task, args } as Order);
    });
  }

  private start(): Worker {
    const worker = new Worker(new URL("./clerk-entry.ts", import.meta.url).href);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.answered(data);
    this.ended = new Promise((resolve) => {
      worker.addEventListener("close", () => {
        this.endedBy(worker);
        resolve();
      });
    });
    return worker;
  }

  private answered(answer: Answer): void {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.ok) waiting?.resolve(answer.value);
    else waiting?.reject(new RingyardError(answer.code, answer.message, answer.next));
  }

  /** Nobody waits for ever for a Worker that ended by itself; the next order starts another. */
  private endedBy(worker: Worker): void {
    if (this.worker === worker) this.worker = undefined;
    for (const [id, waiting] of this.waiting) {
      if (waiting.worker !== worker) continue;
      this.waiting.delete(id);
      waiting.reject(new RingyardError("SYSTEM", "vdpa: the thread that manages the bus has ended", "see the log"));
    }
  }
}
