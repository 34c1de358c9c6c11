// The switch as a user starts it: a process of its own, `ringyard up …`, asked through the command line.
//
//   const startSwitch = useSwitch();
//   const ringyard = await startSwitch({ vm1: `vhost-user:${scratch}/vm1.sock` });
//   await ringyard.port("vm1");        await ringyard.kill();   await ringyard.start();
//
// Main thread of a test process; every switch is ended with the surrounding file or describe block.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { PortInfo, SwitchStats } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import type { Operation, Operations } from "../../src/control/protocol.ts";
import { useCleanup } from "./cleanup.ts";
import { type Background, run, useProcesses } from "./process.ts";
import { until } from "./until.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** What package.json's `bin` ends in, without the shell before it: the process id is the switch's own. */
export const RINGYARD = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts")];
/** An emulated machine that shares its processors takes 15 s to start Bun. */
const READY_LIMIT_MS = process.env.RINGYARD_VM === undefined ? 20_000 : 90_000;

export class SwitchProcess {
  #process: Background | undefined;

  constructor(
    private readonly launch: () => Background,
    readonly control: string,
  ) {}

  get pid(): number {
    return this.#process!.pid;
  }

  /** Its log so far, since it was last started. */
  get output(): string {
    return this.#process?.output ?? "";
  }

  /** Waits for what its log says: that comes by another way than its answers, and may be read after them. */
  async logged(text: string): Promise<void> {
    await this.#process!.says(text);
  }

  /** Starts it (again), and waits until it says that it is ready. */
  async start(): Promise<void> {
    this.#process = this.launch();
    await this.#process.says("ringyard ready", { timeoutMs: READY_LIMIT_MS });
  }

  /** Orderly, as an operator does; returns the exit code. */
  async stop(): Promise<number> {
    return await this.#process!.stop("SIGTERM");
  }

  /** As a crash does. */
  async kill(): Promise<void> {
    await this.#process!.stop("SIGKILL");
  }

  /** `ringyard ARGS --json --control …`: what it prints, parsed. A failure shows the switch's log. */
  async ctl<T>(...args: string[]): Promise<T> {
    const argv = [...RINGYARD, ...args, "--json", "--control", this.control];
    const { stdout, stderr, exitCode } = await run(argv, { timeoutMs: 20_000, allowFailure: true });
    if (exitCode === 0) return JSON.parse(stdout);
    throw new Error(
      `ringyard ${args.join(" ")} ended with ${exitCode}: ${stderr}\n--- log of the switch\n${this.output}`,
    );
  }

  /** Asks over the control socket, as the commands do but without a process for each: on an emulated machine one takes seconds. */
  async request<O extends Operation>(operation: O, args: Operations[O]["args"]): Promise<Operations[O]["result"]> {
    const client = await ControlClient.connect(this.control);
    try {
      return await client.request(operation, args);
    } finally {
      client.close();
    }
  }

  async port(name: string): Promise<PortInfo> {
    return (await this.request("port.show", { name })).port;
  }

  async stats(): Promise<SwitchStats> {
    return await this.request("stats", {});
  }

  /** Waits until rx + copies = tx + drops, as it has to be once nothing moves. */
  async lawful(): Promise<void> {
    let totals: SwitchStats["totals"] | undefined;
    const holds = async () => {
      ({ totals } = await this.stats());
      return totals.rxFrames + totals.copies === totals.txFrames + totals.dropped;
    };
    await until("rx + copies = tx + drops", holds, { context: () => JSON.stringify(totals) });
  }
}

/** Returns `startSwitch`: from names and URIs of ports, and further words for `ringyard up`, a switch that is ready. */
export function useSwitch(): (ports: Record<string, string>, ...args: string[]) => Promise<SwitchProcess> {
  const defer = useCleanup();
  const spawn = useProcesses();
  return async (ports, ...args) => {
    const scratch = mkdtempSync(join(tmpdir(), "ringyard-switch-"));
    defer(() => rmSync(scratch, { recursive: true }));
    const control = join(scratch, "control.sock");
    const words = Object.entries(ports).flatMap(([name, uri]) => ["--port", `${name}=${uri}`]);
    // It dies with this process even where that is killed and can clean nothing up.
    const argv = ["setpriv", "--pdeathsig", "KILL", ...RINGYARD, "up", ...words, "--control", control, ...args];
    const launch = () => spawn(argv, { cwd: ROOT });
    const started = new SwitchProcess(launch, control);
    await started.start();
    return started;
  };
}
