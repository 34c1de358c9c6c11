// The client of every throughput measurement: DPDK testpmd with two virtio-user ports, a real virtio driver, on CPU 1. It sends
// bursts of frames that then circle:
//
//   client port 0 -> switch -> client port 1 -> switch -> client port 0 …
//
// What is read is the number of frames that it receives per second, on both ports together. The arguments are those that
// every switch gets; they are not tuned to any. Its frames are of one size, or of several that circle together (IMIX): testpmd
// sends one size at a time, so it is stopped between sizes, with what it has sent left to wait in the rings. Each frame
// circles as often as every other then, so their numbers are the mix; what comes back is held against it.

import type { Background } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";
import { CLIENT_MACS, removeDpdkFiles } from "./system.ts";

/** Frames of a size that circle. */
export interface Share {
  readonly size: number;
  /** Of BURST_LENGTH frames, so many from either port. */
  readonly bursts: number;
}

const QUEUE_SIZE = 1024;
/** testpmd's own. */
const BURST_LENGTH = 32;
/** Where all frames are of one size. */
const BURSTS = 8;
/** 7:4:1, the usual simple mix: the least frame, one between, and the greatest of an MTU of 1500 (lengths without FCS). */
export const IMIX: readonly Share[] = [
  { size: 64, bursts: 7 },
  { size: 570, bursts: 4 },
  { size: 1514, bursts: 1 },
];
/** How far the mean size of what comes back may be from that of the mix: readings of packets and bits are not of one moment. */
const MIX_TOLERANCE = 0.03;
/** In a second in which each frame came back less often, their mean size says nothing: it may have ended anywhere in a circle. */
const LEAST_CIRCLES = 100;
const PROMPT = "testpmd> ";
/**
 * For `attach`: frames circle in 256 flows instead of one, each a source address of its own (198.18.0.3, 198.18.1.3, …), half of them
 * from either port. Neighbours in a burst differ.
 */
export const MANY_FLOWS = ["--txonly-multi-flow"];
const FEATURES = "packed_vq=0,mrg_rxbuf=0,in_order=0";
/** From the driver's start until every switch has its queues set up; a frame sent before would be lost to the circle. */
const SETTLE_MS = 2_000;
const WARM_UP_MS = 2_000;
const ATTEMPTS = 5;

let serial = 0;

export class DpdkClient {
  private circling = false;

  private constructor(
    private readonly program: Background,
    private readonly shares: readonly Share[],
  ) {}

  /**
   * Connects to both sockets and brings the ports up; no frame is sent yet. `load`: a size or a mix. `flows`: extra arguments, as
   * MANY_FLOWS.
   */
  static async attach(
    sockets: readonly [string, string],
    load: number | readonly Share[],
    undo: Undo,
    flows: readonly string[] = [],
  ): Promise<DpdkClient> {
    const device = (port: 0 | 1) =>
      `--vdev=net_virtio_user${port},path=${sockets[port]},queues=1,queue_size=${QUEUE_SIZE},mac=${CLIENT_MACS[port]},${FEATURES}`;
    const prefix = `client${process.pid}-${serial++}`;
    const eal = ["--lcores", "0@1,1@1", "-m", "512", "--no-pci", `--file-prefix=${prefix}`];
    const shares = typeof load === "number" ? [{ size: load, bursts: BURSTS }] : load;
    const keepSent = shares.length > 1 ? ["--no-flush-rx"] : [];
    const app = ["-i", "--nb-cores=1", "--forward-mode=io", "--total-num-mbufs=16384", ...keepSent, ...flows];
    const peers = [`--eth-peer=0,${CLIENT_MACS[1]}`, `--eth-peer=1,${CLIENT_MACS[0]}`];
    const argv = ["dpdk-testpmd", ...eal, "--single-file-segments", device(0), device(1), "--", ...app, ...peers];
    undo.defer(() => removeDpdkFiles(prefix));
    // Line by line, although into a pipe: the counters are read while it runs.
    const program = undo.spawn(["stdbuf", "-oL", ...argv]);
    await program.says(PROMPT, { timeoutMs: 30_000 });
    await Bun.sleep(SETTLE_MS);
    return new DpdkClient(program, shares);
  }

  /**
   * Lets frames circle, from the first call on; returns millions received per second, one reading a second, each told as it comes. One of a
   * second in which the switch stood still is 0.
   */
  async measure(seconds: number, each: (mpps: number) => void = () => {}): Promise<number[]> {
    if (!this.circling) await this.start();
    this.circling = true;
    // What has arrived since the last question.
    await this.rate();
    const readings: number[] = [];
    for (let second = 0; second < seconds; second++) {
      await Bun.sleep(1_000);
      const { packets, size } = await this.rate();
      this.checkMix(packets, size);
      const mpps = packets / 1e6;
      readings.push(mpps);
      each(mpps);
    }
    return readings;
  }

  /** Sends the frames; once more where all of them were lost to a switch that was not ready yet. */
  private async start(): Promise<void> {
    const sending = this.shares.map(({ size, bursts }) => `set txpkts ${size}\nstart tx_first ${bursts}\n`);
    // The first answer is always 0.
    await this.rate();
    for (let attempt = 1; ; attempt++) {
      this.program.write(sending.join("stop\n"));
      await Bun.sleep(WARM_UP_MS);
      if ((await this.rate()).packets > 0) return;
      if (attempt === ATTEMPTS) throw new Error("no frame comes back");
      this.program.write("stop\n");
    }
  }

  /**
   * Throws where so many frames of one size were lost, and not of the others, that what circles is another mix. Frames of all sizes lost
   * alike are not seen here, nor is a second in which hardly any came: that is a reading as any other.
   */
  private checkMix(packets: number, size: number): void {
    const bursts = this.shares.reduce((sum, share) => sum + share.bursts, 0);
    if (packets < LEAST_CIRCLES * 2 * BURST_LENGTH * bursts) return;
    const mean = this.shares.reduce((sum, share) => sum + share.size * share.bursts, 0) / bursts;
    if (Math.abs(size - mean) > mean * MIX_TOLERANCE) {
      throw new Error(`frames of ${size.toFixed(0)} B come back, where ${mean.toFixed(0)} B were sent in the mean`);
    }
  }

  async quit(): Promise<void> {
    this.program.write("stop\nquit\n");
    await until("the client to quit", () => !this.program.running, { timeoutMs: 10_000 }).catch(() => {});
    await this.program.stop("SIGKILL");
  }

  /** What came in on both ports since the last question, as testpmd counts it: packets per second, and their mean size. */
  private async rate(): Promise<{ packets: number; size: number }> {
    const answers = () =>
      [...this.program.output.matchAll(/Rx-pps:\s+(\d+)\s+Rx-bps:\s+(\d+)/g)].map((match) => match.map(Number));
    this.program.forget();
    this.program.write("show port stats all\n");
    const ports = await until("the client's counters", () => {
      const all = answers();
      return all.length === 2 ? all : undefined;
    });
    const [packets, bits] = [1, 2].map((k) => ports[0][k] + ports[1][k]);
    return { packets, size: bits / 8 / packets };
  }
}
