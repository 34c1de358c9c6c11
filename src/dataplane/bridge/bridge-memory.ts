// The memory that policies need beside their plan, and that outlives plans: made with the first policy, kept until the switch ends.
//
//   token buckets (rules/meter.ts), BUCKETS_PER_PORT for each port, shared | per worker: a row of counters for each bucket
//   | probes of the loop guard, shared | neighbours (neighbours.ts), shared | per worker: for each VLAN how many requests were directed
//   | for each port: workers' shares of its tokens (queue-shares.ts)
//
// A bucket's place is fixed by its port and purpose, so nothing is given out or taken back; an empty one fills itself when it is met
// first. Pages that nobody uses are never touched. Control thread; workers make their own views by `bridgeMemoryLayout`.

import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import { BUCKET_SIZE } from "../rules/meter.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES, ROW_LENGTH } from "../rules/plan-layout.ts";
import { MAX_PORTS } from "../shared.ts";
import { PROBES_SIZE, Probes } from "./loop-guard.ts";
import { NEIGHBOURS_SIZE, seedNeighbours } from "./neighbours.ts";
import { TOKEN_WORDS } from "./probe.ts";
import { sharesSize } from "./queue-shares.ts";

// Purposes of a port's buckets.
export const BUCKET_POLICE = 0;
export const BUCKET_SHAPE = 1;
export const BUCKET_STORM_BROADCAST = 2;
export const BUCKET_STORM_MULTICAST = 3;
export const BUCKET_STORM_UNKNOWN = 4;
export const BUCKETS_PER_PORT = 8;

/** Of a shape's row, beside the columns of a meter's (rules/plan-layout.ts): frames that wait at this worker now. */
export const ROW_WAITING = 3;

const BUCKETS = MAX_PORTS * BUCKETS_PER_PORT;
const ROW_SIZE = ROW_LENGTH * 8;
/** VLAN ids, 0 for frames of a switch without VLANs among them. */
export const VLAN_COUNT = 4096;
const DIRECTED_SIZE = VLAN_COUNT * 8;
const LINE = 64;

/** What a limit of a port has counted. */
export interface LimitCounters {
  /** What met it; of a shape, what left. */
  frames: number;
  bytes: number;
  /** Frames that exceeded it; of a shape, that found its queues full. */
  dropped: number;
  /** Of a shape: frames in its queues now. */
  waiting?: number;
}

/** Bytes from the start of the mapping, and how many. */
interface Place {
  at: number;
  size: number;
}

/** Where one worker's parts are in the memory of a switch with so many workers. */
export interface BridgeMemoryLayout {
  size: number;
  buckets: Place;
  counters: Place;
  probes: Place;
  neighbours: Place;
  directed: Place;
  shares: Place;
}

export function bridgeMemoryLayout(workers: number, worker: number): BridgeMemoryLayout {
  const buckets = { at: 0, size: BUCKETS * BUCKET_SIZE };
  const own = BUCKETS * ROW_SIZE;
  const probes = { at: buckets.size + workers * own, size: PROBES_SIZE };
  const counters = { at: buckets.size + worker * own, size: own };
  const neighbours = { at: Math.ceil((probes.at + probes.size) / LINE) * LINE, size: NEIGHBOURS_SIZE };
  const end = neighbours.at + neighbours.size;
  const directed = { at: end + worker * DIRECTED_SIZE, size: DIRECTED_SIZE };
  const shares = { at: end + workers * DIRECTED_SIZE, size: sharesSize(workers) };
  return { size: shares.at + shares.size, buckets, counters, probes, neighbours, directed, shares };
}

/** The bucket of a port for a purpose; its row of counters has the same number. */
export function bucketOf(port: number, purpose: number): number {
  return port * BUCKETS_PER_PORT + purpose;
}

export class BridgeMemory {
  readonly address: number;
  /** Of the loop guard. */
  readonly probes: Probes;
  private readonly layouts: BridgeMemoryLayout[];
  private readonly doubles: Float64Array;

  constructor(readonly workers: number) {
    this.layouts = Array.from({ length: workers }, (_, worker) => bridgeMemoryLayout(workers, worker));
    const { size, neighbours, probes } = this.layouts[0];
    this.address = mapAnonymous(size);
    const buffer = viewOf(this.address, 0, size);
    this.doubles = new Float64Array(buffer);
    this.probes = new Probes(buffer, probes.at);
    crypto.getRandomValues(this.probes.tokens);
    seedNeighbours(new Int32Array(buffer, neighbours.at, neighbours.size >> 2));
  }

  /** Sum over workers of a column (rules/plan-layout.ts: ROW_FRAMES, ROW_BYTES, ROW_DROPPED) of a bucket's counters. */
  counted(bucket: number, column: number): number {
    const at = bucket * ROW_LENGTH + column;
    return this.layouts.reduce((sum, { counters }) => sum + this.doubles[(counters.at >> 3) + at], 0);
  }

  /** Requests of a VLAN that went to one port instead of being flooded (suppress.ts), over all workers. */
  directed(vid: number): number {
    return this.layouts.reduce((sum, { directed }) => sum + this.doubles[(directed.at >> 3) + vid], 0);
  }

  /** What the limit of a port for a purpose has counted. */
  limit(port: number, purpose: number): LimitCounters {
    const counted = (column: number) => this.counted(bucketOf(port, purpose), column);
    const sums = { frames: counted(ROW_FRAMES), bytes: counted(ROW_BYTES), dropped: counted(ROW_DROPPED) };
    return purpose === BUCKET_SHAPE ? { ...sums, waiting: counted(ROW_WAITING) } : sums;
  }

  /** Takes over what another switch's memory has heard of neighbours. */
  copyNeighbours(from: BridgeMemory): void {
    const { at, size } = this.layouts[0].neighbours;
    const { at: start } = from.layouts[0].neighbours;
    this.doubles.set(from.doubles.subarray(start >> 3, (start + size) >> 3), at >> 3);
  }

  /** Another port has this index now. */
  clear(port: number): void {
    crypto.getRandomValues(this.probes.tokens.subarray(port * TOKEN_WORDS, (port + 1) * TOKEN_WORDS));
    // A probe that came in at the one before is no loop of this one's.
    Atomics.store(this.probes.seen, port, 0);
    const first = bucketOf(port, 0);
    this.doubles.fill(0, (first * BUCKET_SIZE) >> 3, ((first + BUCKETS_PER_PORT) * BUCKET_SIZE) >> 3);
    const { shares } = this.layouts[0];
    const share = shares.size / MAX_PORTS;
    this.doubles.fill(0, (shares.at + port * share) >> 3, (shares.at + (port + 1) * share) >> 3);
    for (const { counters } of this.layouts) {
      const start = (counters.at >> 3) + first * ROW_LENGTH;
      this.doubles.fill(0, start, start + BUCKETS_PER_PORT * ROW_LENGTH);
    }
  }

  /** The workers have stopped. */
  close(): void {
    unmap(this.address, this.layouts[0].size);
  }
}
