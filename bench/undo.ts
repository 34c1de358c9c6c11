// What a bench started or changed is put back, last first, when it ends: by itself, by an error or by a signal. Programs are
// started so that the kernel kills them with us (parent-death signal), should even that not come to pass.

import { beforeSignalsEnd } from "../scripts/signals.ts";
import { Background } from "../test/support/process.ts";

type Action = () => unknown;

/** The words of a program that the kernel kills when this process ends, however it ends. */
export function mortal(argv: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", ...argv];
}

export class Undo {
  readonly #actions: Action[] = [];
  #unwinding: Promise<void> | undefined;
  /** A signal ends the bench: what the suite of now has measured is no result. */
  interrupted = false;

  /**
   * Registers an action; what is returned runs it early, or waits for it where it runs already. Once all is being undone, the action runs, too,
   * and this throws: who made what it undoes is to go no further.
   */
  defer(action: Action): () => Promise<void> {
    let running: Promise<void> | undefined;
    const once = () => {
      running ??= (async () => void (await action()))();
      return running;
    };
    this.#actions.push(once);
    if (this.#unwinding !== undefined) {
      void this.#undoAll();
      throw new Error("the bench is ending");
    }
    return () => {
      const at = this.#actions.lastIndexOf(once);
      if (at !== -1) this.#actions.splice(at, 1);
      return once();
    };
  }

  /** Starts a program that does not outlive the bench. */
  spawn(argv: string[], env: Record<string, string> = {}): Background {
    const child = Bun.spawn(mortal(argv), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
    });
    const program = new Background(argv, child);
    this.defer(() => program.stop());
    return program;
  }

  /** Undoes all; whoever calls this while it goes on waits for the same. */
  unwind(): Promise<void> {
    this.#unwinding ??= this.#undoAll();
    return this.#unwinding;
  }

  async #undoAll(): Promise<void> {
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
    beforeSignalsEnd(() => {
      this.interrupted = true;
      return this.unwind();
    });
  }
}
