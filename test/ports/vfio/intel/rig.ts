// An opened NIC over the model, and its lanes as a worker has them. `undo` gives all of it back.

import { type Batch, BURST, OFFLOAD_ALL } from "../../../../src/mem/batch.ts";
import { RX_FRAMES, TX_FRAMES } from "../../../../src/mem/counters.ts";
import { Transmitters } from "../../../../src/mem/held.ts";
import type { IntelLane } from "../../../../src/ports/vfio/intel/lane.ts";
import { buildLane, type IntelLaneConfig } from "../../../../src/ports/vfio/intel/lane-open.ts";
import { driver82574 } from "../../../../src/ports/vfio/intel/nic-82574.ts";
import { driver82576 } from "../../../../src/ports/vfio/intel/nic-82576.ts";
import type { Nic, NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { LaneBench } from "../../lane-bench.ts";
import { Model } from "./model.ts";

export type Family = "82574" | "82576";
export const FAMILIES: readonly Family[] = ["82574", "82576"];

export function optionsOf(changes: Partial<NicOptions> = {}): NicOptions {
  return { queues: 1, rxDescriptors: 64, txDescriptors: 64, promisc: true, offload: OFFLOAD_ALL, ...changes };
}

/** Of the memory that frames to be sent are put into. */
const SOURCE_SIZE = 8 << 20;

/** A pair's lane, with the counters, batch and windows of a worker of its own. */
export interface Pair {
  lane: IntelLane;
  bench: LaneBench;
}

export class Rig {
  private constructor(
    readonly model: Model,
    readonly nic: Nic,
    readonly pairs: Pair[],
  ) {}

  static async open(family: Family, changes: Partial<NicOptions> = {}, model = new Model(family === "82576")) {
    const driver = family === "82576" ? driver82576 : driver82574;
    let nic: Nic;
    try {
      nic = await driver.open(model.device, optionsOf(changes));
    } catch (error) {
      model.give();
      throw error;
    }
    const pairs = Array.from({ length: nic.pairs }, (_, pair) => {
      const bench = new LaneBench(SOURCE_SIZE);
      const lane = buildLane(nic.lane(pair) as IntelLaneConfig, bench.context(), model);
      lane.disarm();
      return { lane, bench };
    });
    nic.start();
    return new Rig(model, nic, pairs);
  }

  get lane(): IntelLane {
    return this.pairs[0].lane;
  }

  get bench(): LaneBench {
    return this.pairs[0].bench;
  }

  /** One turn of a worker: the frames that came in, as bytes. */
  fetch(pair = 0): Uint8Array[] {
    const { lane, bench } = this.pairs[pair];
    bench.batch.reset();
    const count = lane.fetch(bench.batch);
    const frames = Array.from({ length: count }, (_, i) => bench.frame(i));
    lane.release(bench.batch);
    return frames;
  }

  /** Sends frames, each in one piece, as one burst; returns how many were taken. */
  deliver(frames: readonly Uint8Array[]): number {
    if (frames.length > BURST) throw new Error("more than a burst");
    this.bench.batch.reset();
    this.bench.seek(0);
    for (const frame of frames) this.bench.put(frame);
    return this.send();
  }

  /** The frames that are put are in memory that the device reaches from now on: the first pair's lane is opened anew for it. */
  reachSource(self: number): void {
    const { bench, lane } = this.pairs[0];
    const { windows, address, memorySize: size } = bench;
    windows.mapDma({ address, size, iova: this.model.device.map(address, size) });
    lane.close();
    const zeroCopy = { self, iova: windows.iova, transmitters: new Transmitters(bench.state) };
    this.pairs[0].lane = buildLane(this.nic.lane(0) as IntelLaneConfig, bench.context({ zeroCopy }), this.model);
  }

  /** Delivers what the batch has. */
  send(): number {
    const { batch, all } = this.bench;
    return this.lane.deliver(batch, all, batch.count);
  }

  get batch(): Batch {
    return this.bench.batch;
  }

  /** Received and sent frames, and drops, of all pairs. */
  counted(): { rx: number; tx: number; drops: number } {
    const sum = { rx: 0, tx: 0, drops: 0 };
    for (const { bench } of this.pairs) {
      sum.rx += bench.counters[RX_FRAMES];
      sum.tx += bench.counters[TX_FRAMES];
      for (const count of Object.values(bench.drops)) sum.drops += count;
    }
    return sum;
  }

  undo(): void {
    for (const { lane, bench } of this.pairs) {
      lane.close();
      bench.give();
    }
    this.nic.stop();
    this.model.give();
  }
}

/** Opens a rig, uses it and gives it back, also after a failure. */
export async function withRig(
  family: Family,
  changes: Partial<NicOptions>,
  use: (rig: Rig) => unknown,
  model?: Model,
): Promise<void> {
  const rig = await Rig.open(family, changes, model);
  try {
    await use(rig);
  } finally {
    rig.undo();
  }
}
