// Long work of the control thread, in turns with everything else that it does: timers, sockets, what the kernel asks of VDUSE ports.
//
//   others   A: 5 ms   others   B: 5 ms   others   A: 5 ms   ...       however many works there are, others wait for one turn
//
// A work takes steps of a millisecond at most, and asks after each whether the turn is over. The turn belongs to all of them: one that begins when
// another has had it takes one step and waits. Between two turns anything may have changed: ports, policies, other work over the same table.

/** Who waits behind a request of another client does not notice. */
const TURN_MS = 5;

/** Works that wait for their next turns, in their order. */
const waiting: (() => void)[] = [];
/** Of the turn under way; undefined: none. */
let endMs: number | undefined;

/** Whether others should have their turns now: then `await othersTurn()`. */
export function turnIsOver(): boolean {
  return performance.now() >= begin();
}

/** Resolves when others have had their turns. */
export function othersTurn(): Promise<void> {
  begin();
  return new Promise((resolve) => void waiting.push(resolve));
}

/** Does all of `steps` and returns what they do. The first is taken at once. Rejects with what a step throws. */
export async function stepsInTurns<T>(steps: Generator<void, T>): Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (turnIsOver()) await othersTurn();
  }
}

/** When the turn ends, which begins now if there is none. */
function begin(): number {
  if (endMs === undefined) {
    endMs = performance.now() + TURN_MS;
    setImmediate(next);
  }
  return endMs;
}

function next(): void {
  endMs = undefined;
  const work = waiting.shift();
  if (work === undefined) return;
  begin();
  work();
}
