// Which memory the switch's NICs reach: what ports share of their drivers' memory, mapped into the address space of the NICs,
// whichever comes first. Workers then know where the NICs have each window, and frames in it need no copy to the wire.
//
//   vhost-user, vduse: share(regions) ----+                     +--> space.map --> workers: address, size, IOVA
//                                         +--- DmaRegistry -----+
//   vfio: provide(space, reset) ----------+                     +<-- workers forget <-- NICs have sent <-- release, withdraw
//
// Memory goes in this order, so that no NIC ever reads memory that is somebody else's by then: workers give no more of it away;
// every ticket of before is reaped, or the NIC is reset; it leaves the IOMMU's tables, and only then this process.
//
// One space at a time: that of the first NIC. NICs of another one copy. Control thread only.

import { RingyardError } from "../core/errors.ts";
import { MAX_PAIRS } from "../dataplane/shared.ts";
import { acquire32, publish32 } from "../mem/access.ts";
import type { DmaSpace } from "../mem/dma.ts";
import { TX_POSTED, TX_REAPED } from "../mem/lane-state.ts";
import type { DmaRange } from "../mem/window.ts";
import type { DmaProvision, MemoryShare, PortDetails, PortLog, SharedRegion } from "../ports/port.ts";
import { PAGE_SIZE } from "../sys/memory.ts";

/** How long memory that has to go waits for the NICs: more than a full ring needs on a slow wire. */
const REAP_MS = 1000;
/** And so many looks, so that a process that stood still by itself meanwhile does not take the NIC for dead. */
const REAP_LOOKS = 20;
/** A NIC that has sent nothing for so long is reset, as the kernel's watchdog does it (net/sched/sch_generic.c: 5 s). */
const STILL_MS = 3000;
/** And in so many looks after the first. */
const STILL_LOOKS = 2;

/** What the registry needs of the workers: the Dispatcher, or a test's. */
export interface DmaWorkers {
  mapDma(range: DmaRange): Promise<void>;
  unmapDma(range: DmaRange): Promise<void>;
  callAll(request: { op: "reap" }): Promise<void>;
  readonly shared: { laneState(lane: number): Int32Array };
}

interface Region extends SharedRegion {
  /** Where it is mapped: in the space of then, which may have been given up by now for another. */
  mapped?: { space: DmaSpace; iova: number };
  /** Why it is not mapped. */
  refused?: string;
}

interface Share {
  port: number;
  log: PortLog;
  regions: Region[];
  /** On its way out: not mapped any more for who comes now. */
  leaving: boolean;
}

interface Provision {
  port: number;
  log: PortLog;
  space: DmaSpace;
  reset: () => Promise<void>;
  /** While a reset is under way. */
  resetting?: Promise<void>;
  /** How far the NIC was with each lane that has frames to send, and since when. */
  seen: Map<number, { reaped: number; sinceMs: number; looks: number }>;
}

export class DmaRegistry {
  private readonly shares = new Set<Share>();
  private readonly provisions = new Set<Provision>();
  private watching = false;
  private space: DmaSpace | undefined;
  /** Ports that were told of memory which is not mapped; `port show` has the rest. */
  private readonly warned = new Set<number>();
  /** The last change of mappings: each waits for the one before. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly workers: DmaWorkers) {}

  /** PortHost.shareMemory of port `port`. */
  async share(port: number, log: PortLog, regions: readonly SharedRegion[]): Promise<MemoryShare> {
    const share: Share = { port, log, regions: regions.map(wholePages), leaving: false };
    this.shares.add(share);
    await this.alone(() => this.map(share));
    let released: Promise<void> | undefined;
    return { release: () => (released ??= this.release(share)) };
  }

  /** PortHost.provideDma of port `port`. */
  async provide(port: number, log: PortLog, space: DmaSpace, reset: () => Promise<void>): Promise<DmaProvision> {
    const provision: Provision = { port, log, space, reset, seen: new Map() };
    this.provisions.add(provision);
    await this.alone(async () => {
      this.space ??= space;
      if (this.space === space) for (const share of this.shares) await this.map(share);
      else log.warn(`frames are copied: another NIC is behind ${this.space.door}, this one behind ${space.door}`);
    });
    let withdrawn: Promise<void> | undefined;
    return { settle: () => this.settle(port), withdraw: () => (withdrawn ??= this.withdraw(provision)) };
  }

  /** Whether the NIC of this port reaches what is mapped. */
  reaches(port: number): boolean {
    return [...this.provisions].some((it) => it.port === port && it.space === this.space);
  }

  /** Takes away what a port that has ended left here, its device and lanes being gone. */
  async end(port: number): Promise<void> {
    for (const provision of this.provisions) if (provision.port === port) await this.withdraw(provision);
    for (const share of this.shares) if (share.port === port) await this.release(share);
    this.warned.delete(port);
  }

  /** For `port show`: nothing without NICs. */
  details(port: number): PortDetails {
    const mine = [...this.shares].filter((share) => share.port === port).flatMap(({ regions }) => regions);
    const { space } = this;
    if (space === undefined) return {};
    const provision = [...this.provisions].find((it) => it.port === port);
    if (provision !== undefined) {
      if (provision.space !== space) return { zeroCopy: `no: another NIC is behind ${space.door}` };
      const all = [...this.shares].flatMap(({ regions }) => regions);
      return { zeroCopy: `yes, ${mebibytes(all)} of other ports' memory mapped` };
    }
    if (mine.length === 0) return {};
    const refused = mine.find((region) => region.refused !== undefined)?.refused;
    const total = mine.reduce((sum, { size }) => sum + size, 0);
    return {
      zeroCopy: refused === undefined ? `yes, ${mebibytes(mine)}` : `${mebibytes(mine)} of ${inMiB(total)}: ${refused}`,
    };
  }

  /**
   * Once a second: a NIC that stands still is reset, so that its senders get their buffers back. One look at a time: where a worker stood still,
   * those that waited for it would come within microseconds, and see nothing move.
   */
  async watch(clock = () => performance.now()): Promise<void> {
    const waiting = [...this.provisions].filter(({ port }) => this.postedLanes(port).length > 0);
    if (waiting.length === 0 || this.watching) return;
    this.watching = true;
    try {
      await this.workers.callAll({ op: "reap" });
      await this.resetStill(waiting, clock());
    } finally {
      this.watching = false;
    }
  }

  private async resetStill(waiting: Provision[], nowMs: number): Promise<void> {
    for (const provision of waiting) {
      if (!this.standsStill(provision, nowMs)) continue;
      provision.seen.clear();
      provision.log.warn(`the NIC has sent nothing for ${STILL_MS / 1000} s: resetting it`);
      await this.reset(provision);
    }
  }

  private standsStill({ port, seen }: Provision, nowMs: number): boolean {
    let still = false;
    for (const lane of lanesOf(port)) {
      const state = this.workers.shared.laneState(lane);
      const reaped = acquire32(state, TX_REAPED);
      const before = seen.get(lane);
      if (reaped === acquire32(state, TX_POSTED)) seen.delete(lane);
      else if (before?.reaped !== reaped) seen.set(lane, { reaped, sinceMs: nowMs, looks: 1 });
      else if (++before.looks > STILL_LOOKS && nowMs - before.sinceMs >= STILL_MS) still = true;
    }
    return still;
  }

  /** Maps what is not mapped yet. A region that cannot be is left out. */
  private async map(share: Share): Promise<void> {
    const { space } = this;
    if (space === undefined) return;
    for (const region of share.regions) {
      if (region.mapped !== undefined || share.leaving) continue;
      const { address, size } = region;
      try {
        region.mapped = { space, iova: space.map(address, size) };
        region.refused = undefined;
      } catch (error) {
        this.refuse(share, region, error);
        continue;
      }
      await this.workers.mapDma({ address, size, iova: region.mapped.iova });
    }
  }

  private refuse(share: Share, region: Region, error: unknown): void {
    region.refused = (error as Error).message;
    if (this.warned.has(share.port)) return;
    this.warned.add(share.port);
    const next = error instanceof RingyardError ? error.next : undefined;
    share.log.warn(`memory is not mapped for the NICs, frames are copied: ${region.refused}`, next ? { next } : {});
  }

  /** A port's memory goes: not before the NICs have read what they were given of it. */
  private async release(share: Share): Promise<void> {
    share.leaving = true;
    await this.alone(() => this.hide(share));
    if (share.regions.some(({ mapped }) => mapped !== undefined)) await this.allSent();
    await this.alone(async () => {
      this.shares.delete(share);
      this.unmap(share);
    });
  }

  private async hide(share: Share): Promise<void> {
    for (const { address, size, mapped } of share.regions) {
      if (mapped !== undefined) await this.workers.unmapDma({ address, size, iova: mapped.iova });
    }
  }

  /** Takes a share out of its space. Whatever a device still meant to do there ends at the IOMMU. */
  private unmap(share: Share): void {
    for (const region of share.regions) {
      if (region.mapped === undefined) continue;
      try {
        region.mapped.space.unmap(region.mapped.iova);
      } catch (error) {
        // The pages stay pinned until the space goes: no device writes into memory of somebody else's.
        share.log.warn(`memory stays mapped for the NICs: ${(error as Error).message}`);
      }
      region.mapped = undefined;
    }
  }

  /** The NIC's device is silent: its tickets count as reaped, and with the last NIC all mappings go. */
  private async withdraw(provision: Provision): Promise<void> {
    this.settle(provision.port);
    this.provisions.delete(provision);
    await this.alone(async () => {
      if (this.space === undefined || [...this.provisions].some(({ space }) => space === this.space)) return;
      for (const share of this.shares) {
        await this.hide(share);
        this.unmap(share);
      }
      this.space = undefined;
    });
  }

  private settle(port: number): void {
    for (const lane of lanesOf(port)) {
      const state = this.workers.shared.laneState(lane);
      publish32(state, TX_REAPED, acquire32(state, TX_POSTED));
    }
  }

  /** Waits until every NIC has read what it was given before now; one that does not is reset. */
  private async allSent(): Promise<void> {
    const posted = [...this.provisions].map((provision) => ({ provision, lanes: this.postedLanes(provision.port) }));
    const sent = ({ lanes }: { lanes: PostedLane[] }) => lanes.every(({ state, ticket }) => isReaped(state, ticket));
    const deadline = performance.now() + REAP_MS;
    for (let looks = 0; !posted.every(sent) && (looks < REAP_LOOKS || performance.now() < deadline); looks++) {
      await this.workers.callAll({ op: "reap" });
      if (!posted.every(sent)) await Bun.sleep(1);
    }
    for (const late of posted.filter((it) => !sent(it) && this.provisions.has(it.provision))) {
      late.provision.log.warn("the NIC does not send what it was given: resetting it, since a sender's memory goes");
      await this.reset(late.provision);
    }
  }

  private postedLanes(port: number): PostedLane[] {
    return lanesOf(port).flatMap((lane) => {
      const state = this.workers.shared.laneState(lane);
      const ticket = acquire32(state, TX_POSTED);
      return isReaped(state, ticket) ? [] : [{ state, ticket }];
    });
  }

  /** Once at a time for each NIC; whoever comes meanwhile waits for the same reset. */
  private reset(provision: Provision): Promise<void> {
    provision.resetting ??= Promise.resolve()
      .then(() => provision.reset())
      .catch((error) => provision.log.warn(`the NIC could not be reset: ${(error as Error).message}`))
      .finally(() => {
        provision.resetting = undefined;
      });
    return provision.resetting;
  }

  private alone<T>(action: () => Promise<T>): Promise<T> {
    const result = this.last.then(action);
    this.last = result.catch(() => undefined);
    return result;
  }
}

interface PostedLane {
  state: Int32Array;
  ticket: number;
}

function isReaped(state: Int32Array, ticket: number): boolean {
  return ((acquire32(state, TX_REAPED) - ticket) | 0) >= 0;
}

function lanesOf(port: number): number[] {
  return Array.from({ length: MAX_PAIRS }, (_, pair) => port * MAX_PAIRS + pair);
}

/** Pages are what a space maps; the rest of a region's last page is of the same mapping. */
function wholePages({ address, size }: SharedRegion): Region {
  const start = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
  return { address: start, size: Math.ceil((address + size) / PAGE_SIZE) * PAGE_SIZE - start };
}

function mebibytes(regions: readonly Region[]): string {
  return inMiB(regions.reduce((sum, { size, mapped }) => sum + (mapped === undefined ? 0 : size), 0));
}

function inMiB(size: number): string {
  return `${Math.round(size / 2 ** 20)} MiB`;
}
