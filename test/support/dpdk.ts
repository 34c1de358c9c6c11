// DPDK's testpmd as a client: two virtio-user ports, a real virtio driver that is not Linux's, whose frames circle through
// the switch:      port 0 -> switch -> port 1 -> switch -> port 0 …
//
//   const startClient = useDpdk();
//   const client = await startClient([{ path: a }, { path: b }]);
//   client.circle();  …  await client.stop();  const [port0, port1] = await client.counters();
//
// It polls, on CPU 1 alone, and takes 512 MiB of hugepages, reserved for the test file and given back. A path may be a
// /dev/vhost-vdpa-N as well. Main thread of a test process.

import { cpus } from "node:os";
import { CLIENT_MACS, removeDpdkFiles } from "../../bench/peers/system.ts";
import { hugepagesUnavailable, reserveHugepages } from "../../scripts/hugepages.ts";
import { useCleanup } from "./cleanup.ts";
import { type Background, useProcesses } from "./process.ts";
import { requirePeer, type Suite } from "./skip.ts";
import { until } from "./until.ts";

const MEMORY_MIB = 512;
const HUGEPAGE_MIB = 2;
const START_LIMIT_MS = 40_000;
const PROMPT = "testpmd> ";

export interface ClientPort {
  path: string;
  queues?: number;
  /** It listens, and the switch connects. */
  server?: boolean;
  /** Of virtio-user; default: a split ring without mergeable buffers. */
  virtio?: string;
}

export interface PortCounters {
  rx: number;
  tx: number;
  txBytes: number;
}

export interface ClientOptions {
  /** Of hugepages; default 512. */
  memoryMib?: number;
  /** Further words for DPDK's environment. */
  eal?: string[];
  /** Default: what a busy machine needs. */
  startLimitMs?: number;
}

/** `describe` where testpmd can run; see `requirePeer`. */
export function requireDpdk(): Suite {
  const missing =
    Bun.which("dpdk-testpmd") === null
      ? "apt install dpdk-dev, librte-net-virtio*, librte-mempool-ring*"
      : hugepagesUnavailable();
  return requirePeer("dpdk-testpmd", missing === undefined, missing ?? "");
}

function device({ path, queues = 1, server = false, virtio }: ClientPort, index: number): string {
  const form = virtio ?? "packed_vq=0,mrg_rxbuf=0,in_order=0";
  const mode = server ? ",server=1" : "";
  return `--vdev=net_virtio_user${index},path=${path}${mode},queues=${queues},queue_size=1024,mac=${CLIENT_MACS[index]},${form}`;
}

/** What other threads of testpmd print, also between two characters of the prompt, which it writes one by one. */
const NEWS = /vhost_user_\w+\(\): [^\n]*\n|\nPort \d+: link state change event\n/g;

/** Its output without that: whole prompts. */
export function withoutNews(output: string): string {
  return output.replace(NEWS, "");
}

export class DpdkClient {
  private asked = 0;

  constructor(
    private readonly program: Background,
    private readonly prefix: string,
  ) {}

  get output(): string {
    return this.program.output;
  }

  get pid(): number {
    return this.program.pid;
  }

  /** Types commands that answer nothing worth waiting for. */
  type(...lines: string[]): void {
    for (const line of lines) this.program.write(`${line}\n`);
  }

  /** Both ports send 8 bursts of 32 frames, and from then on what one receives the other sends. */
  circle(): void {
    this.type("start tx_first 8");
  }

  /** The frames are left where they are. */
  async stop(): Promise<void> {
    await this.ask("stop", /Accumulated forward statistics for all ports[\s\S]*testpmd> /);
  }

  /** What each port has sent and received since it was started, as the driver counts. */
  async counters(): Promise<PortCounters[]> {
    const text = await this.ask("show port stats all", /(?:NIC statistics for port[\s\S]*?Tx-pps[\s\S]*?){2}testpmd> /);
    const values = (name: string) =>
      [...text.matchAll(new RegExp(`${name}: +(\\d+)`, "g"))].map((match) => Number(match[1]));
    const [rx, tx, txBytes] = [values("RX-packets"), values("TX-packets"), values("TX-bytes")];
    return rx.map((count, port) => ({ rx: count, tx: tx[port], txBytes: txBytes[port] }));
  }

  async quit(): Promise<void> {
    this.program.write("quit\n");
    await until("testpmd to quit", () => !this.program.running, { timeoutMs: 15_000, context: () => this.output });
  }

  /** As a crash does. */
  async kill(): Promise<void> {
    await this.program.stop("SIGKILL");
    removeDpdkFiles(this.prefix);
  }

  /**
   * Types a line; what is printed from then on, when it matches. A comment before it marks the place. News of links may come
   * behind the prompt that ends an answer.
   */
  private async ask(line: string, answer: RegExp): Promise<string> {
    const mark = `# ${this.asked++}`;
    this.program.write(`${mark}\n${line}\n`);
    const since = new RegExp(`${mark}\\s([^]*)$`);
    const answered = () => {
      const text = since.exec(withoutNews(this.output))?.[1];
      return text !== undefined && answer.test(text) ? text : undefined;
    };
    return await until(`an answer to "${line}"`, answered, { context: () => this.output });
  }
}

/** Returns a function that starts a client and waits until it is ready; it ends with the surrounding file or describe. */
export function useDpdk({
  memoryMib = MEMORY_MIB,
  eal: more = [],
  startLimitMs = START_LIMIT_MS,
}: ClientOptions = {}): (ports: [ClientPort, ClientPort], ...app: string[]) => Promise<DpdkClient> {
  const defer = useCleanup();
  const spawn = useProcesses();
  let reserved = false;
  let serial = 0;
  let last: DpdkClient | undefined;
  return async (ports, ...app) => {
    if (!reserved) {
      defer(reserveHugepages(memoryMib / HUGEPAGE_MIB));
      reserved = true;
    }
    // One at a time: what a test that failed has left holds the hugepages.
    await last?.kill();
    const prefix = `test${process.pid}-${serial++}`;
    defer(() => removeDpdkFiles(prefix));
    const cpu = Math.min(1, cpus().length - 1);
    const eal = [
      "--lcores",
      `0@${cpu},1@${cpu}`,
      "-m",
      String(memoryMib),
      "--no-pci",
      `--file-prefix=${prefix}`,
      ...more,
    ];
    const words = ["-i", "--nb-cores=1", "--forward-mode=io", "--total-num-mbufs=16384", "--txpkts=64", ...app];
    const peers = [`--eth-peer=0,${CLIENT_MACS[1]}`, `--eth-peer=1,${CLIENT_MACS[0]}`];
    const devices = ports.map(device);
    const argv = ["dpdk-testpmd", ...eal, "--single-file-segments", ...devices, "--", ...words, ...peers];
    // Line by line, although into a pipe.
    const program = spawn(["stdbuf", "-oL", ...argv]);
    last = new DpdkClient(program, prefix);
    await program.says(PROMPT, { timeoutMs: startLimitMs });
    return last;
  };
}
