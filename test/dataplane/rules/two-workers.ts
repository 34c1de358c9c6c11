// A rule table over two workers that are this thread: what it sends them is kept, and they may refuse it or take their time.
//
//   RuleTable -- plan --> worker 0, worker 1: one PlanRig each, with ports 0 and 1         send(worker) -> frames at port 1
//
// One thread; whoever makes one closes it.

import { RingyardError } from "../../../src/core/errors.ts";
import { type LoggedFrame, RuleTable } from "../../../src/dataplane/rules/table.ts";
import type { WorkerRequest } from "../../../src/dataplane/worker.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { PlanRig } from "./plan-rig.ts";

/** What `send` sends. */
export const SENT = frame(BROADCAST, mac(1), 100);

export class TwoWorkers {
  readonly rigs = [0, 1].map((worker) => new PlanRig([{}, {}], worker));
  readonly logged: LoggedFrame[] = [];
  readonly requests: WorkerRequest[] = [];
  /** The worker that refuses the next plan, after the others have taken it. */
  refusing = -1;
  /** Set: plans are answered when this resolves. */
  delay: Promise<void> | undefined;
  readonly table: RuleTable;

  constructor() {
    const [{ fdb, shared }] = this.rigs;
    this.table = new RuleTable({
      dispatcher: {
        shared,
        workers: 2,
        isUp: () => true,
        delivers: (port) => port < 2,
        callAll: (it) => this.call(it),
      },
      fdb,
      portName: (port) => `p${port}`,
      onLog: (entry) => this.logged.push(entry),
    });
  }

  private async call(request: WorkerRequest): Promise<void> {
    this.requests.push(request);
    if (request.op !== "plan") throw new Error(`unexpected ${request.op}`);
    const { refusing } = this;
    this.refusing = -1;
    for (const [worker, rig] of this.rigs.entries()) if (worker !== refusing) rig.open(request.plan);
    await this.delay;
    if (refusing >= 0) throw new RingyardError("SYSTEM", "refused");
  }

  /** How many of a worker's frames reach port 1. */
  send(worker: number, count = 1): number {
    return this.rigs[worker].send(0, ...new Array(count).fill(SENT))[1].length;
  }

  close(): void {
    for (const rig of this.rigs) rig.close();
    this.table.close();
  }
}
