// What classify decides about a frame: an output port (0 or more), flood, or a drop for the reason with a counter.

export const VERDICT_FLOOD = -1;

/** The verdict that drops a frame and counts it under `counter` (a DROP_* index). */
export function dropVerdict(counter: number): number {
  return -2 - counter;
}

/** The counter of a drop verdict. */
export function dropCounter(verdict: number): number {
  return -2 - verdict;
}
