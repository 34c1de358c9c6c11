// A PortHost that opens nothing and remembers what a port kind asked of it.

import type { DmaProvision, LaneConfig, MemoryShare, PortHost, PortLog, SharedRegion } from "../../src/ports/port.ts";
import type { Reactor } from "../../src/sys/reactor.ts";

export class RecordingHost implements PortHost {
  readonly index = 0;
  readonly workerCpus: readonly number[] = [];
  /** What the kind did, in order: "open 0", "close 0", "carrier up", ... */
  readonly events: string[] = [];
  readonly lanes = new Map<number, LaneConfig>();
  readonly warnings: string[] = [];
  /** What each of them says to do next. */
  readonly advice: unknown[] = [];
  /** Memory that NICs may reach. */
  shared: SharedRegion[] = [];
  /** While it is set, NICs read in memory that is to go. */
  sending: Promise<void> | undefined;
  /** The pair whose opening fails. */
  failingPair = -1;
  readonly log: PortLog = {
    info: () => {},
    warn: (message, facts) => {
      this.warnings.push(message);
      this.advice.push(facts?.next);
    },
  };

  async openLane(pair: number, config: LaneConfig): Promise<void> {
    if (pair === this.failingPair) throw new Error(`pair ${pair} fails`);
    this.events.push(`open ${pair}`);
    this.lanes.set(pair, config);
  }

  async closeLane(pair: number): Promise<void> {
    this.events.push(`close ${pair}`);
    this.lanes.delete(pair);
  }

  setCarrier(up: boolean): void {
    this.events.push(`carrier ${up ? "up" : "down"}`);
  }

  countError(name: string): void {
    this.events.push(`error ${name}`);
  }

  async shareMemory(regions: readonly SharedRegion[]): Promise<MemoryShare> {
    this.events.push(`share ${regions.length}`);
    this.shared.push(...regions);
    const release = async () => {
      await this.sending;
      this.shared = this.shared.filter((region) => !regions.includes(region));
      this.events.push(`unshare ${regions.length}`);
    };
    return { release };
  }

  async provideDma(): Promise<DmaProvision> {
    this.events.push("provide");
    return { settle: () => void this.events.push("settle"), withdraw: async () => void this.events.push("withdraw") };
  }

  async fence(): Promise<void> {}

  laneState(): Int32Array {
    return new Int32Array(16);
  }

  get reactor(): Reactor {
    throw new Error("no reactor here");
  }
}
