// Long work of the control thread, in turns with everything else that it does: timers, sockets, what the kernel asks of VDUSE ports.

/** At a time. Who waits behind a request of another client does not notice. */
const TURN_MS = 5;
/** A look at the clock costs as much as some items. */
const LOOK_EVERY = 16;

/** Takes `items` one after the other and gives them in pieces; between two pieces others have their turn, so `items` may find that things changed. */
export async function* inTurns<T>(items: Iterable<T>): AsyncGenerator<T[]> {
  let piece: T[] = [];
  let endMs = performance.now() + TURN_MS;
  for (const item of items) {
    piece.push(item);
    if (piece.length % LOOK_EVERY !== 0 || performance.now() < endMs) continue;
    yield piece;
    await new Promise<void>((resolve) => setImmediate(resolve));
    piece = [];
    endMs = performance.now() + TURN_MS;
  }
  yield piece;
}
