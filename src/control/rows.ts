// An array of a result that is made while it is sent: for tables that are too large to stand in memory for each client that asks
// and does not read.
//
//   table --a stretch--> rows --a frame--> socket         the next stretch when these rows have left
//
// Pure.

/** `pieces` of the array, in order; some may be empty. Each is some hundred rows at most, and taken when it is needed: perhaps minutes after the last, perhaps never. */
export class Rows<T> {
  constructor(readonly pieces: Iterable<readonly T[]>) {}

  /** Of something that does not change: rows made of `items` by `row`. */
  static of<I, T>(items: readonly I[], row: (item: I) => T): Rows<T> {
    return new Rows(rowsOf(items, row));
  }
}

const PIECE = 64;

function* rowsOf<I, T>(items: readonly I[], row: (item: I) => T): Generator<T[]> {
  for (let first = 0; first < items.length; first += PIECE) yield items.slice(first, first + PIECE).map(row);
}

/** A result whose arrays may be made while they are sent. */
export type Answer<R> = { [K in keyof R]: R[K] extends readonly (infer T)[] ? R[K] | Rows<T> : R[K] };
