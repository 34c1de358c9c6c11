// Whether others have their turns of the event loop while something long is done.

/** Does the work, and counts how often others could have done something meanwhile. */
export async function turnsWhile<T>(work: () => Promise<T>): Promise<{ result: T; turns: number }> {
  let turns = 0;
  let ended = false;
  const other = () => {
    turns++;
    if (!ended) setImmediate(other);
  };
  setImmediate(other);
  try {
    const result = await work();
    return { result, turns };
  } finally {
    ended = true;
  }
}
