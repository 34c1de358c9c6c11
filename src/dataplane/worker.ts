// The dataplane worker's loop: breathe (serve every lane once), and when nothing moved for a while, sleep.
//
//   breath: mailbox? -> breathe.ts
//   idle   busy       never sleeps
//          adaptive   polls for IDLE_MS after the last frame, then arms all kicks and sleeps in epoll_wait
//          interrupt  sleeps as soon as a breath was empty
//
// Runs in a Worker thread and returns only when told to stop. The loop itself allocates nothing; a request does.

import { acquire32 } from "../mem/access.ts";
import { abandonQueue } from "../mem/held.ts";
import { HELD } from "../mem/lane-state.ts";
import { type DmaRange, WindowTable } from "../mem/window.ts";
import type { LaneConfig, LaneFactory } from "../ports/port.ts";
import { EPOLLET, EPOLLIN, EpollWaiter, epollAdd, epollCreate, epollRemove } from "../sys/epoll.ts";
import { pinToCpu } from "../sys/thread.ts";
import { breathe } from "./breathe.ts";
import { sleepMs } from "./bridge/queue-drain.ts";
import { closeQueues, portLosesLane, swapQueues } from "./bridge/queue-swap.ts";
import { Fallback } from "./fallback.ts";
import { viewFdb } from "./fdb-layout.ts";
import { Injector } from "./inject.ts";
import { MailboxServer } from "./mailbox.ts";
import { type PlanConfig, PlanRunner } from "./rules/plan.ts";
import {
  MAX_PAIRS,
  POLL_BUSY,
  POLL_INTERRUPT,
  POLL_MODE,
  SharedState,
  WORKER_BREATHS,
  WORKER_BUSY_BREATHS,
  WORKER_SLEEPS,
} from "./shared.ts";
import { Tables } from "./tables.ts";

/** How long an adaptive worker polls after the last frame: longer than a round trip through a guest that is awake. */
const IDLE_MS = 0.05;
/** Empty breaths between two looks at the clock. */
const IDLE_BREATHS = 16;

/** What a worker thread is started with. */
export interface WorkerStart {
  worker: number;
  workers: number;
  /** CPU to pin to, or -1. */
  cpu: number;
  state: SharedArrayBuffer;
  fdb: SharedArrayBuffer;
  mailbox: SharedArrayBuffer;
  doorbell: number;
}

/** Requests of the control thread. */
export type WorkerRequest =
  /** `dma`: whether the lane's device reaches what `dma` ranges say. */
  | { op: "open"; port: number; pair: number; owner: boolean; config: LaneConfig; dma: boolean }
  | { op: "close"; port: number; pair: number }
  /** Before `close`, or `open` of an open lane: nothing is fetched from it any more, and held frames go back to its driver. */
  | { op: "drain"; port: number; pair: number }
  /** The NICs reach this memory from now on; or, without an IOVA, they will not be told of it any more. */
  | { op: "dma"; range: DmaRange | Omit<DmaRange, "iova"> }
  /** Look what the NICs have sent. */
  | { op: "reap" }
  | { op: "ping" }
  /** Off: what drivers have sent and nobody took stays in their rings. */
  | { op: "fetch"; on: boolean }
  /** The rules in force from the next burst on; null: none. What the plan before used, this worker uses no more. */
  | { op: "plan"; plan: PlanConfig | null }
  /** A frame of the control thread's own leaves by a port (inject.ts). */
  | { op: "send"; port: number; frame: Uint8Array }
  | { op: "stop" };

export class DataplaneWorker {
  private readonly shared: SharedState;
  private readonly tables: Tables;
  private readonly fallback: Fallback;
  private readonly mailbox: MailboxServer;
  private readonly waiter = new EpollWaiter(epollCreate());
  /** For lanes whose device has another address space, or none. */
  private readonly noIova = new Float64Array(0);
  private stopping = false;
  private planRunner: PlanRunner | undefined;
  private injector: Injector | undefined;

  constructor(
    private readonly start: WorkerStart,
    private readonly drivers: Readonly<Record<string, LaneFactory>>,
  ) {
    this.shared = new SharedState(start.state, start.workers);
    const windows = new WindowTable();
    this.tables = new Tables(windows, viewFdb(start.fdb), this.shared.control, this.shared, start.worker);
    this.fallback = new Fallback(windows);
    this.mailbox = new MailboxServer(start.mailbox);
    epollAdd(this.waiter.epfd, start.doorbell, EPOLLIN | EPOLLET, 0);
    if (start.cpu >= 0) pinToCpu(start.cpu);
  }

  /** Runs until a `stop` request. */
  run(): void {
    const numbers = this.shared.worker(this.start.worker);
    let idleBreaths = 0;
    let idleSince = 0;
    while (!this.stopping) {
      if (this.mailbox.waiting()) {
        this.mailbox.serve((request) => this.handle(request as WorkerRequest));
        continue;
      }
      numbers[WORKER_BREATHS]++;
      if (breathe(this.tables, this.fallback, numbers) > 0) {
        numbers[WORKER_BUSY_BREATHS]++;
        idleBreaths = 0;
        continue;
      }
      const mode = acquire32(this.tables.control, POLL_MODE);
      if (mode === POLL_BUSY) continue;
      if (mode !== POLL_INTERRUPT) {
        if (idleBreaths++ === 0) idleSince = performance.now();
        if (idleBreaths % IDLE_BREATHS !== 0 || performance.now() - idleSince < IDLE_MS) continue;
      }
      idleBreaths = 0;
      this.sleep(numbers);
    }
    if (this.planRunner?.queues !== undefined) closeQueues(this.tables, this.planRunner.queues);
    for (const lane of this.tables.lanes) lane.close();
    this.fallback.close();
    this.planRunner?.close();
    this.injector?.close();
    this.waiter.close();
  }

  /** Sleeps until a kick, the doorbell, or a frame that waits may leave; does not, where work came while the kicks were armed. */
  private sleep(numbers: Float64Array): void {
    const lanes = this.tables.inLanes;
    let work = this.mailbox.waiting();
    for (let k = 0; k < lanes.length; k++) work = lanes[k].arm() || work;
    const idle = this.tables.idleStates;
    for (let k = 0; k < idle.length; k++) work = acquire32(idle[k], HELD) !== 0 || work;
    const { queues } = this.tables;
    const timeoutMs = queues === null ? -1 : sleepMs(queues);
    if (!work && timeoutMs !== 0) {
      numbers[WORKER_SLEEPS]++;
      this.waiter.wait(timeoutMs);
    }
    for (let k = 0; k < lanes.length; k++) lanes[k].disarm();
  }

  private handle(request: WorkerRequest): void {
    if (request.op === "open") this.open(request);
    else if (request.op === "close") this.close(request.port, request.pair);
    else if (request.op === "drain") this.tables.drain(request.port * MAX_PAIRS + request.pair);
    else if (request.op === "dma") this.setDma(request.range);
    else if (request.op === "reap") for (const lane of this.tables.lanes) lane.reap?.();
    else if (request.op === "fetch") this.tables.setFetching(request.on);
    else if (request.op === "plan") this.setPlan(request.plan);
    else if (request.op === "send") this.send(request.port, request.frame);
    else if (request.op === "stop") this.stopping = true;
  }

  private setPlan(plan: PlanConfig | null): void {
    if (plan === null) {
      this.tables.plan = null;
    } else {
      const { batch, windows } = this.tables;
      this.planRunner ??= new PlanRunner(windows, batch, this.start.worker);
      this.tables.plan = this.planRunner.open(plan);
    }
    const queues = this.planRunner?.queues;
    if (queues !== undefined) swapQueues(this.tables, this.fallback, queues, this.tables.plan?.bridge ?? null);
  }

  private send(port: number, frame: Uint8Array): void {
    this.injector ??= new Injector(this.tables.windows);
    this.injector.send(this.tables, this.fallback, port, frame);
  }

  private setDma(range: DmaRange | Omit<DmaRange, "iova">): void {
    const { windows } = this.tables;
    if ("iova" in range) windows.mapDma(range);
    else windows.unmapDma(range.address);
  }

  private open({ port, pair, owner, config, dma }: Extract<WorkerRequest, { op: "open" }>): void {
    this.shut(port, pair);
    const index = port * MAX_PAIRS + pair;
    const { transmitters, windows } = this.tables;
    const lane = this.drivers[config.driver](config, {
      windows,
      state: this.shared.laneState(index),
      counters: this.shared.counters(this.start.worker, index),
      shared: this.start.workers > 1,
      owner,
      zeroCopy: { self: index + 1, iova: dma ? windows.iova : this.noIova, transmitters },
    });
    try {
      if (owner && lane.wakeFd >= 0) {
        epollAdd(this.waiter.epfd, lane.wakeFd, EPOLLIN | (lane.wakeEdge ? EPOLLET : 0), index + 1);
      }
    } catch (error) {
      lane.close();
      throw error;
    }
    lane.disarm();
    this.tables.set(index, lane, owner);
  }

  private close(port: number, pair: number): void {
    this.shut(port, pair);
    const index = port * MAX_PAIRS + pair;
    portLosesLane(this.tables, port);
    abandonQueue(this.tables.transmitters, index, this.shared.laneState(index));
  }

  /** Takes a lane away; what is held of it stays, for one that is opened in its place. */
  private shut(port: number, pair: number): void {
    const index = port * MAX_PAIRS + pair;
    const lane = this.tables.lane(index);
    if (lane === undefined) return;
    if (this.tables.owns(index) && lane.wakeFd >= 0) epollRemove(this.waiter.epfd, lane.wakeFd);
    this.tables.clear(index);
    lane.close();
  }
}
