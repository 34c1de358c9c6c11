// What the demo made and has to take away again, last one first, once, whichever way the demo ends.

export class Undo {
  readonly #steps: (() => unknown)[] = [];
  #running: Promise<void> | undefined;

  get begun(): boolean {
    return this.#running !== undefined;
  }

  push(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** Runs every step; one that fails is told and does not keep the others from running. */
  all(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        console.error(`demo: clean-up: ${String(error)}`);
      }
    }
  }
}
