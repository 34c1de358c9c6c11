// The client for traffic in which every frame is of a new flow, on CPU 1. DPDK's testpmd has no such traffic: `flowgen` sends the
// same two addresses from both ports, so that a learning switch moves one of them with every burst and floods all frames; and frames
// that circle are no new ones. So this is a driver of our own (flow-client-entry.ts).

import { join, resolve } from "node:path";
import type { Background } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";

const ROOT = resolve(import.meta.dir, "../..");
const READY_LIMIT_MS = 30_000;

export interface FlowOptions {
  /** Frames have to arrive in the order in which they were sent. OVS, for one, may change that of different flows. */
  readonly ordered: boolean;
  /** Readings that do not count, one a second: the switch warms up. */
  readonly warmUp: number;
}

export class FlowClient {
  private constructor(
    private readonly program: Background,
    private readonly warmUp: number,
  ) {}

  /** Connects to both sockets; no frame is sent yet. */
  static async attach(
    sockets: readonly [string, string],
    size: number,
    undo: Undo,
    { ordered, warmUp }: FlowOptions,
  ): Promise<FlowClient> {
    const entry = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "bench/peers/flow-client-entry.ts")];
    const program = undo.spawn([
      "taskset",
      "-c",
      "1",
      ...entry,
      ...sockets,
      `${size}`,
      ...(ordered ? ["ordered"] : []),
    ]);
    await program.says("ready", { timeoutMs: READY_LIMIT_MS });
    return new FlowClient(program, warmUp);
  }

  /** Sends new flows; returns millions of frames received per second, one reading a second. */
  async measure(seconds: number): Promise<number[]> {
    this.program.write("start\n");
    const wanted = this.warmUp + seconds;
    const readings = () =>
      [...this.program.output.matchAll(/frames\/s (\d+)\n/g)].map((match) => Number(match[1]) / 1e6);
    await until(`${wanted} readings`, () => readings().length >= wanted || !this.program.running, {
      timeoutMs: 10_000 + 2_000 * wanted,
      context: () => this.program.output,
    });
    if (readings().length < wanted) throw new Error(`the client ended: ${this.program.output}`);
    return readings().slice(this.warmUp, wanted);
  }

  async quit(): Promise<void> {
    await this.program.stop("SIGKILL");
  }
}
