// Whether others have their turns of the event loop while something long is done.

/** Does the work, and counts how often others could have done something meanwhile; `look` is what they do. */
export async function turnsWhile<T>(
  work: () => Promise<T>,
  look: () => void = () => {},
): Promise<{ result: T; turns: number }> {
  let turns = 0;
  let ended = false;
  const other = () => {
    turns++;
    look();
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

/** Does the work, and gives what others see of it in their turns meanwhile. */
export async function seenWhile<T, S>(work: () => Promise<T>, look: () => S): Promise<{ result: T; seen: S[] }> {
  const seen: S[] = [];
  let ended = false;
  const other = () => {
    if (ended) return;
    seen.push(look());
    setImmediate(other);
  };
  setImmediate(other);
  try {
    return { result: await work(), seen };
  } finally {
    ended = true;
  }
}
