// The control thread's side of the workers: starts them, opens and closes lanes on them, reads what they count, stops them.
// Lanes of a port are spread: pair p of port i belongs to worker (i + p) mod W, or by turns from the one that the port was given
// to, which alone fetches from it; every worker may deliver into it. A lane that closes waits a moment for frames that NICs read in its driver's memory, so that its ring ends
// where it should; one that is rebuilt takes them along. Control thread only.

import { acquire32 } from "../mem/access.ts";
import { COUNTER_COUNT } from "../mem/counters.ts";
import { HELD, TX_POSTED, TX_REAPED } from "../mem/lane-state.ts";
import type { DmaRange } from "../mem/window.ts";
import type { LaneConfig } from "../ports/port.ts";
import { closeFd, eventFd } from "../sys/fd.ts";
import type { Fdb } from "./fdb-layout.ts";
import { MailboxClient } from "./mailbox.ts";
import { CLOCK_S, MAX_PAIRS, PORT_UP, SharedState } from "./shared.ts";
import type { WorkerRequest, WorkerStart } from "./worker.ts";

/** How long a lane waits for its held frames: a NIC's ring empties within milliseconds, unless the NIC stands still. */
const DRAIN_MS = 200;

interface Running {
  thread: Worker;
  mailbox: MailboxClient;
  doorbell: number;
  ended: Promise<void>;
}

/** What went wrong, without the excerpt of source that Bun puts around it. */
function firstWords({ message }: ErrorEvent): string {
  return /^\s*(?:\w*[Ee]rror: .*)$/m.exec(message)?.[0].trim() ?? message;
}

export class Dispatcher {
  readonly shared: SharedState;
  /** Those that workers are pinned to. */
  readonly cpus: readonly number[];
  private readonly running: Running[];
  private readonly lanes = new Map<number, LaneConfig>();
  /** By port: the worker of its first pair, where somebody chose one. */
  private readonly chosen = new Map<number, number>();
  private readonly closing = new Map<number, Promise<void>>();
  /** Addresses of the memory that NICs reach now. */
  private readonly dmaRanges = new Set<number>();

  /**
   * Starts one worker per entry of `cpus` (-1: not pinned) from the script at `entry`. `onCrash` hears of a worker that ended
   * by itself: the switch cannot go on then.
   */
  constructor(cpus: readonly number[], fdb: Fdb, entry: string, onCrash: (error: Error) => void) {
    this.shared = SharedState.allocate(cpus.length);
    this.cpus = cpus.filter((cpu) => cpu >= 0);
    this.tick();
    this.running = cpus.map((cpu, worker) => {
      const doorbell = eventFd();
      const mailbox = new MailboxClient(doorbell);
      const thread = new Worker(entry);
      const ended = new Promise<void>((resolve) => thread.addEventListener("close", () => resolve()));
      thread.addEventListener("error", (event) =>
        onCrash(new Error(`worker ${worker}: ${firstWords(event as ErrorEvent)}`)),
      );
      const start: WorkerStart = {
        worker,
        workers: cpus.length,
        cpu,
        state: this.shared.buffer,
        fdb: fdb.buffer,
        mailbox: mailbox.buffer,
        doorbell,
      };
      thread.postMessage(start);
      return { thread, mailbox, doorbell, ended };
    });
  }

  get workers(): number {
    return this.running.length;
  }

  owner(port: number, pair: number): number {
    return ((this.chosen.get(port) ?? port) + pair) % this.running.length;
  }

  /** Sets the workers' clock to whole seconds of the monotonic clock; call it once a second. Returns it. */
  tick(): number {
    const nowS = Math.floor(performance.now() / 1000) + 1;
    this.shared.control[CLOCK_S] = nowS;
    return nowS;
  }

  /** Opens (or rebuilds) a lane on every worker. On failure it is open nowhere. `dma`: its device reaches the `dma` ranges. */
  async open(port: number, pair: number, config: LaneConfig, dma = false): Promise<void> {
    const lane = port * MAX_PAIRS + pair;
    if (this.closing.has(lane)) await this.closing.get(lane);
    const goesOn = config.driver === "virtqueue" && config.fetch !== null;
    if (this.lanes.has(lane) && !goesOn && this.mayHold(lane)) await this.drain(port, pair);
    this.lanes.set(lane, config);
    const results = await Promise.allSettled(
      this.running.map(({ mailbox }, worker) =>
        mailbox.call({
          op: "open",
          port,
          pair,
          owner: worker === this.owner(port, pair),
          config,
          dma,
        } satisfies WorkerRequest),
      ),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return;
    await this.close(port, pair);
    throw failed.reason;
  }

  /** Closes a lane; when this resolves, for whoever asked, no worker touches its memory or descriptors any more. */
  close(port: number, pair: number): Promise<void> {
    const lane = port * MAX_PAIRS + pair;
    if (this.lanes.delete(lane)) {
      const drained = this.mayHold(lane) ? this.drain(port, pair) : Promise.resolve();
      const done = drained
        .then(() => this.callAll({ op: "close", port, pair }))
        .finally(() => this.closing.delete(lane));
      this.closing.set(lane, done);
    }
    return this.closing.get(lane) ?? Promise.resolve();
  }

  /** Not without memory that NICs reach. */
  private mayHold(lane: number): boolean {
    return this.dmaRanges.size > 0 || acquire32(this.shared.laneState(lane), HELD) !== 0;
  }

  /** Stops fetching from a lane and waits until no NIC holds frames of it, or a while. */
  private async drain(port: number, pair: number): Promise<void> {
    const state = this.shared.laneState(port * MAX_PAIRS + pair);
    await this.running[this.owner(port, pair)].mailbox.call({ op: "drain", port, pair } satisfies WorkerRequest);
    const deadline = performance.now() + DRAIN_MS;
    while (acquire32(state, HELD) !== 0 && performance.now() < deadline) await Bun.sleep(1);
  }

  /** Tells the workers that NICs reach this memory; when it resolves, all know. */
  mapDma(range: DmaRange): Promise<void> {
    this.dmaRanges.add(range.address);
    return this.callAll({ op: "dma", range });
  }

  /** When it resolves, no frame in this memory is given to a NIC any more without a copy; some may still be read. */
  async unmapDma({ address, size }: DmaRange): Promise<void> {
    await this.callAll({ op: "dma", range: { address, size } });
    this.dmaRanges.delete(address);
  }

  /** Awaits that every worker has passed a breath boundary and answers. Where some refuse, the others have done as asked. */
  async callAll(request: WorkerRequest): Promise<void> {
    const results = await Promise.allSettled(this.running.map(({ mailbox }) => mailbox.call(request)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Sends a plain frame of our own out of a port; resolves when its worker has delivered it, or counted why not. */
  async send(port: number, frame: Uint8Array): Promise<void> {
    await this.running[this.owner(port, 0)].mailbox.call({ op: "send", port, frame } satisfies WorkerRequest);
  }

  isOpen(port: number, pair: number): boolean {
    return this.lanes.has(port * MAX_PAIRS + pair);
  }

  isUp(port: number): boolean {
    return this.shared.control[SharedState.portWord(port, PORT_UP)] !== 0;
  }

  /** Whether frames may be sent to the port now: it is up, and has a lane that delivers. */
  delivers(port: number): boolean {
    if (!this.isUp(port)) return false;
    for (let pair = 0; pair < MAX_PAIRS; pair++) {
      const config = this.lanes.get(port * MAX_PAIRS + pair);
      if (config !== undefined && (config.driver !== "virtqueue" || config.deliver?.enabled === true)) return true;
    }
    return false;
  }

  /** How many open lanes this worker fetches from. */
  lanesOf(worker: number): number {
    return [...this.lanes.keys()].filter(
      (lane) => this.owner(Math.floor(lane / MAX_PAIRS), lane % MAX_PAIRS) === worker,
    ).length;
  }

  /** The counters of one lane, summed over the workers. */
  counters(port: number, pair: number): Float64Array {
    const sum = new Float64Array(COUNTER_COUNT);
    for (let worker = 0; worker < this.running.length; worker++) {
      const row = this.shared.counters(worker, port * MAX_PAIRS + pair);
      for (let index = 0; index < COUNTER_COUNT; index++) sum[index] += row[index];
    }
    return sum;
  }

  /**
   * Zeroes the counters and state words of a port index that is about to be used anew, by a port whose first pair belongs to `worker`; by
   * its index where that is left out. No lane of it may be open.
   */
  resetPort(port: number, worker?: number): void {
    if (worker === undefined) this.chosen.delete(port);
    else this.chosen.set(port, worker);
    for (let pair = 0; pair < MAX_PAIRS; pair++) {
      const state = this.shared.laneState(port * MAX_PAIRS + pair);
      const posted = acquire32(state, TX_POSTED);
      state.fill(0);
      // Tickets go on: a lane may still wait for one of the port before, which all count as sent.
      state[TX_POSTED] = state[TX_REAPED] = posted;
      for (let worker = 0; worker < this.running.length; worker++) {
        this.shared.counters(worker, port * MAX_PAIRS + pair).fill(0);
      }
    }
  }

  /** Stops the workers between two bursts and gives their descriptors back. */
  async stop(): Promise<void> {
    await this.callAll({ op: "stop" });
    await Promise.all(this.running.map(({ ended }) => ended));
    for (const { doorbell } of this.running) closeFd(doorbell);
  }
}
