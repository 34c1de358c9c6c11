// A child process of a test, and the promise that it never outlives the test. What it prints is kept as text; a test
// waits for a condition on that text, with a time limit, and the error of a wait that fails shows the end of the text.
//   stdin <- write()        stdout -> output        stderr -> errors
// Children end in three ways: kill() in a test's own clean-up, the hook on this process's exit, and, where this process
// is itself killed, the kernel (setpriv's parent-death signal).

import type { FileSink, Subprocess } from "bun";

/** How much of what a child printed an error shows. */
const TAIL_LENGTH = 4000;

const alive = new Set<Child>();

process.on("exit", () => {
  for (const child of alive) child.signal("SIGKILL");
});

export class Child {
  output = "";
  errors = "";
  readonly #process: Subprocess<"pipe", "pipe", "pipe">;
  readonly #waiters = new Set<() => void>();

  /** Starts `command` with the kernel's promise to kill it when this process dies. */
  constructor(
    readonly name: string,
    command: readonly string[],
    options: { env?: Record<string, string> } = {},
  ) {
    this.#process = Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...options.env },
    });
    alive.add(this);
    void this.#process.exited.then(() => {
      alive.delete(this);
      this.#changed();
    });
    void this.#collect(this.#process.stdout, (text) => {
      this.output += text;
    });
    void this.#collect(this.#process.stderr, (text) => {
      this.errors += text;
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** How it ended: `exit 1`, `SIGKILL`; undefined while it runs. */
  get ending(): string | undefined {
    if (this.#process.signalCode !== null) return this.#process.signalCode;
    return this.#process.exitCode === null ? undefined : `exit ${this.#process.exitCode}`;
  }

  write(text: string): void {
    const stdin: FileSink = this.#process.stdin;
    stdin.write(text);
    stdin.flush();
  }

  /** Sends a signal and returns at once; a child that has ended is left alone. */
  signal(name: NodeJS.Signals): void {
    if (this.ending === undefined) this.#process.kill(name);
  }

  /** Sends a signal and waits for the end; a child still there after the limit is killed, and that is an error. */
  async kill(name: NodeJS.Signals = "SIGKILL", limitMs = 10_000): Promise<string> {
    this.signal(name);
    const expired = Bun.sleep(limitMs).then(() => "expired");
    if ((await Promise.race([this.#process.exited, expired])) === "expired") {
      this.signal("SIGKILL");
      throw new Error(this.describe(`${this.name} did not end within ${limitMs} ms of ${name}`));
    }
    return this.ending!;
  }

  /** Waits until `probe` gives a value. It is asked again whenever the child prints or ends; it may throw. */
  async until<T>(what: string, limitMs: number, probe: () => T | undefined): Promise<T> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const value = probe();
      if (value !== undefined) return value;
      if (this.ending !== undefined)
        throw new Error(this.describe(`${this.name} ended (${this.ending}) before ${what}`));
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(this.describe(`${this.name}: no ${what} within ${limitMs} ms`));
      await this.#change(leftMs);
    }
  }

  /** An error's text with the end of what the child printed. */
  describe(message: string): string {
    const parts = [message];
    if (this.output !== "") parts.push(`--- ${this.name} stdout`, this.output.slice(-TAIL_LENGTH).trimEnd());
    if (this.errors !== "") parts.push(`--- ${this.name} stderr`, this.errors.slice(-TAIL_LENGTH).trimEnd());
    return parts.join("\n");
  }

  async #collect(stream: ReadableStream<Uint8Array>, append: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      append(decoder.decode(chunk, { stream: true }));
      this.#changed();
    }
  }

  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#waiters.add(wake);
    });
  }

  #changed(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}
