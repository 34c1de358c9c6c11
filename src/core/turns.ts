// Long work of the control thread, in turns with everything else that it does: timers, sockets, what the kernel asks of VDUSE ports.
//
//   function* sum(numbers): Steps<number> { let all = 0; for (const n of numbers) { all += n; yield; } return all; }
//   atOnce(sum(few))        takingTurns(sum(many))
//
//   others   A: 5 ms   others   B: 5 ms   others   A: 5 ms   ...       however many works there are, others wait for one turn
//
// A step takes a millisecond at most. The turn belongs to all works: one that begins when another has had it takes one step and waits.
// Between two turns anything may have changed: whoever needs things as they were sees to it that no other change of them begins meanwhile.

/** Who waits behind a request of another client does not notice. */
const TURN_MS = 5;

/** Work that stops wherever others may have their turn, when nothing is half made that they could see. */
export type Steps<T> = Generator<void, T>;

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
export async function takingTurns<T>(steps: Steps<T>): Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (turnIsOver()) await othersTurn();
  }
}

/** The same without a turn of others. */
export function atOnce<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** `change` of each item, in steps of so many: a stop and the look at the clock that follows cost a fifth of a microsecond. */
export function* eachInSteps<T, U>(items: Iterable<T>, change: (item: T, index: number) => U, step = 1): Steps<U[]> {
  const changed: U[] = [];
  for (const item of items) {
    changed.push(change(item, changed.length));
    if (changed.length % step === 0) yield;
  }
  return changed;
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
