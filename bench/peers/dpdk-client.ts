// The client of every throughput measurement: DPDK testpmd with two virtio-user ports, a real virtio driver, on CPU 1. It sends
// bursts of frames that then circle:
//
//   client port 0 -> switch -> client port 1 -> switch -> client port 0 …
//
// What is read is the number of frames that it receives per second, on both ports together. The arguments are those that
// every switch gets; they are not tuned to any.

import type { Background } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";
import { CLIENT_MACS, removeDpdkFiles } from "./system.ts";

const QUEUE_SIZE = 1024;
/** 8 bursts of 32 frames circle. */
const BURSTS = 8;
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
  private constructor(private readonly program: Background) {}

  /** Connects to both sockets and brings the ports up; no frame is sent yet. `flows`: extra arguments, as MANY_FLOWS. */
  static async attach(
    sockets: readonly [string, string],
    size: number,
    undo: Undo,
    flows: readonly string[] = [],
  ): Promise<DpdkClient> {
    const device = (port: 0 | 1) =>
      `--vdev=net_virtio_user${port},path=${sockets[port]},queues=1,queue_size=${QUEUE_SIZE},mac=${CLIENT_MACS[port]},${FEATURES}`;
    const prefix = `client${process.pid}-${serial++}`;
    const eal = ["--lcores", "0@1,1@1", "-m", "512", "--no-pci", `--file-prefix=${prefix}`];
    const app = ["-i", "--nb-cores=1", "--forward-mode=io", "--total-num-mbufs=16384", `--txpkts=${size}`, ...flows];
    const peers = [`--eth-peer=0,${CLIENT_MACS[1]}`, `--eth-peer=1,${CLIENT_MACS[0]}`];
    const argv = ["dpdk-testpmd", ...eal, "--single-file-segments", device(0), device(1), "--", ...app, ...peers];
    undo.defer(() => removeDpdkFiles(prefix));
    // Line by line, although into a pipe: the counters are read while it runs.
    const program = undo.spawn(["stdbuf", "-oL", ...argv]);
    await program.says(PROMPT, { timeoutMs: 30_000 });
    await Bun.sleep(SETTLE_MS);
    return new DpdkClient(program);
  }

  /** Lets frames circle; returns millions received per second, one reading a second. */
  async measure(seconds: number): Promise<number[]> {
    await this.start();
    const readings: number[] = [];
    for (let second = 0; second < seconds; second++) {
      await Bun.sleep(1_000);
      readings.push((await this.packetRate()) / 1e6);
    }
    this.program.write("stop\n");
    return readings;
  }

  /** Sends the frames; once more where all of them were lost to a switch that was not ready yet. */
  private async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.program.write(`start tx_first ${BURSTS}\n`);
      await Bun.sleep(WARM_UP_MS);
      // The first answer counts from the start of the program.
      if ((await this.packetRate()) > 0) return;
      if (attempt === ATTEMPTS) throw new Error("no frame comes back");
      this.program.write("stop\n");
    }
  }

  async quit(): Promise<void> {
    this.program.write("quit\n");
    await until("the client to quit", () => !this.program.running, { timeoutMs: 10_000 }).catch(() => {});
    await this.program.stop("SIGKILL");
  }

  /** Frames per second since the last question, as testpmd counts them. */
  private async packetRate(): Promise<number> {
    const answered = () => [...this.program.output.matchAll(/Rx-pps:\s+(\d+)/g)].map((match) => Number(match[1]));
    const before = answered().length;
    this.program.write("show port stats all\n");
    const rates = await until("the client's counters", () => {
      const all = answered();
      return all.length >= before + 2 ? all.slice(-2) : undefined;
    });
    return rates[0] + rates[1];
  }
}
