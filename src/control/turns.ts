// Long work of the control thread, in turns with everything else that it does: timers, sockets, what the kernel asks of VDUSE ports.
//
//   others   A: 5 ms   others   B: 5 ms   others   A: 5 ms   ...       however many works there are, others wait for one turn
//
// Between two turns anything may have changed: ports, policies, other long work over the same table.

/** At a time. Who waits behind a request of another client does not notice. */
const TURN_MS = 5;

/** Works that wait for their next turns, in their order. */
const waiting: (() => void)[] = [];

function nextTurn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(nextTurn);
}

/** The turns of one work. */
export class Turns {
  #endMs = performance.now() + TURN_MS;

  /** Whether this turn has lasted long enough. */
  get over(): boolean {
    return performance.now() >= this.#endMs;
  }

  /** Resolves when others have had their turns. */
  async others(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (waiting.push(resolve) === 1) setImmediate(nextTurn);
    });
    this.#endMs = performance.now() + TURN_MS;
  }
}

/** Does all of `steps`, each of some microseconds, and returns what they do. The first turn is taken at once. Rejects with what a step throws. */
export async function stepsInTurns<T>(steps: Generator<void, T>): Promise<T> {
  const turns = new Turns();
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (turns.over) await turns.others();
  }
}
