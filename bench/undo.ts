// What a bench started or changed is put back, last first, when it ends: by itself, by an error or by a signal. Programs are
// started so that the kernel kills them with us (parent-death signal), should even that not come to pass.

import { beforeSignalsEnd } from "../scripts/signals.ts";
import { Background } from "../test/support/process.ts";

type Action = () => unknown;

export class Undo {
  readonly #actions: Action[] = [];

  /** Registers an action; what is returned runs it early, once. */
  defer(action: Action): () => Promise<void> {
    this.#actions.push(action);
    return async () => {
      const at = this.#actions.lastIndexOf(action);
      if (at === -1) return;
      this.#actions.splice(at, 1);
      await action();
    };
  }

  /** Starts a program that does not outlive the bench. */
  spawn(argv: string[], env: Record<string, string> = {}): Background {
    const child = Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...argv], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
    });
    const program = new Background(argv, child);
    this.defer(() => program.stop());
    return program;
  }

  async unwind(): Promise<void> {
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) {
      try {
        await action();
      } catch (error) {
        console.error(`clean-up: ${error instanceof Error ? error.message : error}`);
      }
    }
  }

  /** Ctrl-C and its like unwind first. */
  trapSignals(): void {
    beforeSignalsEnd(() => this.unwind());
  }
}
