// Programs that a test starts: run to the end (`run`), or in the background (`useProcesses`), killed with the test file.
// Output of background programs is kept (the last 64 KiB), so that a failure can show it.
// Main thread of a test process.

import type { Subprocess } from "bun";
import { useCleanup } from "./cleanup.ts";
import { PATIENCE, type UntilOptions, until } from "./until.ts";

const KEPT_OUTPUT_SIZE = 64 * 1024;
/** What a program gets between SIGTERM and SIGKILL. */
const GRACE_MS = 20_000 * PATIENCE;
/** For the rest of the output of a program that ended; a daemon it left behind may hold the pipe open. */
const DRAIN_MS = 500 * PATIENCE;

export interface Finished {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** Runs a program to its end; a non-zero exit is a failure unless `allowFailure`. */
export async function run(
  argv: string[],
  options: { stdin?: string; env?: Record<string, string>; timeoutMs?: number; allowFailure?: boolean } = {},
): Promise<Finished> {
  const child = Bun.spawn(argv, {
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
    timeout: (options.timeoutMs ?? 60_000) * PATIENCE,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const exitCode = await child.exited;
  if (exitCode !== 0 && !options.allowFailure) {
    throw new Error(`${argv.join(" ")} ended with ${child.signalCode ?? exitCode}\n${stdout}${stderr}`);
  }
  return { stdout, stderr, exitCode };
}

/** A program in the background, its output so far, and an orderly way to end it. */
export class Background {
  private kept = "";
  private readonly drained: Promise<unknown>;

  constructor(
    readonly argv: string[],
    readonly child: Subprocess<"pipe", "pipe", "pipe">,
  ) {
    this.drained = Promise.all([this.keep(child.stdout), this.keep(child.stderr)]);
  }

  get pid(): number {
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** stdout and stderr together, the last 64 KiB. */
  get output(): string {
    return this.kept;
  }

  /** Keeps no more of what was said so far: before a question whose answer is looked for. */
  forget(): void {
    this.kept = "";
  }

  write(text: string): void {
    this.child.stdin.write(text);
    void this.child.stdin.flush();
  }

  /** Waits until the output matches; fails at once, with the output, if the program ends first. */
  async says(pattern: string | RegExp, options: UntilOptions = {}): Promise<void> {
    const said = () => (typeof pattern === "string" ? this.kept.includes(pattern) : pattern.test(this.kept));
    await until(`"${pattern}" from ${this.argv[0]}`, () => said() || !this.running, {
      context: () => this.kept,
      ...options,
    });
    if (said()) return;
    await this.drain();
    if (!said()) throw new Error(`${this.argv.join(" ")} ended before it said "${pattern}"\n${this.kept}`);
  }

  /** Waits for the rest of the output, once the program has ended, but no longer than DRAIN_MS. */
  async drain(): Promise<void> {
    await Promise.race([this.drained, Bun.sleep(DRAIN_MS)]);
  }

  /** SIGTERM (or the signal given), then SIGKILL after the grace time; returns the exit code, after `drain`. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    if (this.running) {
      this.child.kill(signal);
      const timer = setTimeout(() => this.child.kill("SIGKILL"), GRACE_MS);
      await this.child.exited;
      clearTimeout(timer);
    }
    await this.drain();
    return this.child.exited;
  }

  private async keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.kept = (this.kept + decoder.decode(chunk, { stream: true })).slice(-KEPT_OUTPUT_SIZE);
    }
  }
}

export interface SpawnOptions {
  env?: Record<string, string>;
  cwd?: string;
}

/** Returns `spawn`: programs that it starts are ended with the surrounding file or describe block. */
export function useProcesses(): (argv: string[], options?: SpawnOptions) => Background {
  const defer = useCleanup();
  return (argv, options = {}) => {
    const child = Bun.spawn(argv, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    const background = new Background(argv, child);
    defer(() => background.stop());
    return background;
  };
}
