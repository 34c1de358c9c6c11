// What one worker knows: its lanes, by the port they lead to, and whose turn it is. Changed between two bursts
// (cold, by the mailbox), read by the hot files.

import { Batch, BURST, BURST_FORMS } from "../mem/batch.ts";
import { Transmitters } from "../mem/held.ts";
import type { WindowTable } from "../mem/window.ts";
import type { Lane } from "../ports/port.ts";
import type { EgressQueues } from "./bridge/queues.ts";
import type { Fdb } from "./fdb-layout.ts";
import type { Plan } from "./rules/plan.ts";
import { MAX_LANES, MAX_PAIRS, MAX_PORTS, type SharedState } from "./shared.ts";

export class Tables {
  /** Lanes this worker fetches from, with their ports. */
  readonly inLanes: Lane[] = [];
  readonly inPorts = new Int32Array(MAX_LANES);
  readonly inCounters: Float64Array[] = [];
  /** Breaths so far, from which comes who is first in one: whoever is has the room that receivers have left. */
  breaths = 0;
  /** Of each: bytes that its frames took through the fallback, and for which it has not yet waited (breathe.ts). */
  readonly inDebts = new Float64Array(MAX_LANES);
  /** Which lanes those are, and what each owed when it was one of them last: who has its rings made anew owes no less. */
  private readonly inIndices = new Int32Array(MAX_LANES);
  private readonly owed = new Float64Array(MAX_LANES);
  /** Lanes of its own that it does not fetch from now; what NICs hold of theirs still has to go back. With their states. */
  readonly idleLanes: Lane[] = [];
  readonly idleStates: Int32Array[] = [];
  /** Lanes it may deliver into: outLanes[port * MAX_PAIRS + k], k < outCount[port]; own ones first where it has any. */
  readonly outLanes: (Lane | null)[] = new Array(MAX_LANES).fill(null);
  readonly outCount = new Int32Array(MAX_PORTS);
  /** Counters of each port's first lane, for drops on the way to it. */
  readonly outCounters: (Float64Array | null)[] = new Array(MAX_PORTS).fill(null);
  /** Ports with at least one of these, ascending: where a flood goes. */
  readonly floodPorts = new Int32Array(MAX_PORTS);
  floodCount = 0;

  /** Every lane that other lanes may have to wait for. */
  readonly transmitters: Transmitters;

  readonly batch = new Batch(BURST_FORMS);
  /** Frame lists per output port, filled and emptied within one burst; twice its length, since a port may get mirrored ones too. */
  readonly lists: Int32Array[] = [];
  readonly listCount = new Int32Array(MAX_PORTS);
  /** 0, 1, 2, ...: the list of a burst that goes to one port whole. */
  readonly everyFrame = Int32Array.from({ length: BURST }, (_, i) => i);
  readonly kept = new Int32Array(BURST);
  /** The same lists split over the lanes of one multi-queue port. */
  readonly steered: Int32Array[] = [];
  readonly steeredCount = new Int32Array(MAX_PAIRS);
  /** The rules in force, or null: then nothing of rules/ runs. */
  plan: Plan | null = null;
  /** Where frames wait before they leave, or null: at no port. */
  queues: EgressQueues | null = null;
  /** Results of the last classification. */
  uniform = false;
  longest = 0;

  private fetching = true;
  private readonly open: (OpenLane | undefined)[] = new Array(MAX_LANES).fill(undefined);

  constructor(
    readonly windows: WindowTable,
    readonly fdb: Fdb,
    readonly control: Int32Array,
    readonly shared: SharedState,
    readonly worker: number,
  ) {
    this.transmitters = new Transmitters(shared.lanes);
    for (let port = 0; port < MAX_PORTS; port++) this.lists.push(new Int32Array(BURST_FORMS));
    for (let pair = 0; pair < MAX_PAIRS; pair++) this.steered.push(new Int32Array(BURST));
  }

  lane(index: number): Lane | undefined {
    return this.open[index]?.lane;
  }

  owns(index: number): boolean {
    return this.open[index]?.owner ?? false;
  }

  set(index: number, lane: Lane, owner: boolean): void {
    this.open[index] = { lane, owner, draining: false };
    this.transmitters.lanes[index] = lane;
    this.rebuild();
  }

  clear(index: number): void {
    this.open[index] = undefined;
    this.transmitters.lanes[index] = undefined;
    this.rebuild();
  }

  /** Fetches from this lane no more, until it is set anew. */
  drain(index: number): void {
    const entry = this.open[index];
    if (entry === undefined) return;
    entry.draining = true;
    this.rebuild();
  }

  /** Whether anything is fetched; lanes may be opened and closed meanwhile, and are delivered into. */
  setFetching(fetching: boolean): void {
    this.fetching = fetching;
    this.rebuild();
  }

  get lanes(): Lane[] {
    return this.open.flatMap((entry) => (entry === undefined ? [] : [entry.lane]));
  }

  private rebuild(): void {
    for (let k = 0; k < this.inLanes.length; k++) this.owed[this.inIndices[k]] = this.inDebts[k];
    this.inLanes.length = 0;
    this.inCounters.length = 0;
    this.idleLanes.length = 0;
    this.idleStates.length = 0;
    this.floodCount = 0;
    for (let port = 0; port < MAX_PORTS; port++) {
      const first = port * MAX_PAIRS;
      const all = this.open.slice(first, first + MAX_PAIRS).filter((entry) => entry !== undefined);
      for (const { lane, draining } of all.filter((entry) => entry.owner)) {
        const index = first + this.open.slice(first, first + MAX_PAIRS).findIndex((entry) => entry?.lane === lane);
        if (!this.fetching || draining) {
          this.idleLanes.push(lane);
          this.idleStates.push(this.shared.laneState(index));
          continue;
        }
        this.inPorts[this.inLanes.length] = port;
        this.inIndices[this.inLanes.length] = index;
        this.inDebts[this.inLanes.length] = this.owed[index];
        this.inLanes.push(lane);
        this.inCounters.push(this.shared.counters(this.worker, index));
      }
      // A worker with a pair of its own delivers there; else it shares another worker's, under that lane's lock. A driver
      // that uses fewer pairs than it set up has disabled the others.
      const ready = all.filter(({ lane }) => lane.delivers);
      const ownReady = ready.filter((entry) => entry.owner);
      const out = ownReady.length > 0 ? ownReady : ready;
      for (let k = 0; k < MAX_PAIRS; k++) this.outLanes[first + k] = out[k]?.lane ?? null;
      this.outCount[port] = out.length;
      this.outCounters[port] ??= all.length > 0 ? this.shared.counters(this.worker, first) : null;
      if (out.length > 0) this.floodPorts[this.floodCount++] = port;
    }
  }
}

interface OpenLane {
  lane: Lane;
  owner: boolean;
  draining: boolean;
}
