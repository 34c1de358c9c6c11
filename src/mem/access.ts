// HOT
// Ordering, in one module. A ring index that a peer writes is read and written only through these; everything between an
// acquire and a publish is plain.
//
// Bun's optimising JIT hoists plain typed-array loads out of polling loops: another thread's write is then never seen. It
// does not hoist Atomics.load, nor move plain loads before it, so one acquire per burst makes the entries fresh.
// Atomics are sequentially consistent in JavaScript (ECMA-262, memory model): `publish` is also the full fence that the
// notify protocol needs between storing an index and reading the peer's wish (virtio 1.2, 2.7.7.1 and 2.7.10.1).

/** Reads an index that the peer publishes; later plain reads see what it published before. */
export function acquire16(view: Uint16Array, index: number): number {
  return Atomics.load(view, index);
}

/** Publishes an index: earlier plain writes are seen before it, later loads come after it. */
export function publish16(view: Uint16Array, index: number, value: number): void {
  Atomics.store(view, index, value);
}

/** The same for words shared between ringyard's own threads. */
export function acquire32(view: Int32Array, index: number): number {
  return Atomics.load(view, index);
}

export function publish32(view: Int32Array, index: number, value: number): void {
  Atomics.store(view, index, value);
}

/** Takes a lock word (0 free, 1 held); spins, since a holder is another worker in the middle of one burst. */
export function lock(view: Int32Array, index: number): void {
  while (Atomics.compareExchange(view, index, 0, 1) !== 0) {
    // The holder publishes within microseconds; pausing costs more than it saves.
  }
}

export function unlock(view: Int32Array, index: number): void {
  Atomics.store(view, index, 0);
}
