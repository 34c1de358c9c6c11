// Random numbers for fuzzers: a small generator with a printed seed, so that every run can be repeated.
//
//   const random = new Random(fuzzSeed("ring"));       prints  fuzz ring: RINGYARD_FUZZ_SEED=1234567890
//
// The generator is SplitMix32 (one 32-bit word of state); quality enough to choose cases, not more. Any thread.

export class Random {
  private state: number;

  constructor(readonly seed: number) {
    this.state = seed >>> 0;
  }

  /** A 32-bit unsigned number. */
  next(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let word = this.state;
    word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return (word ^ (word >>> 15)) >>> 0;
  }

  /** 0 to limit - 1; limit is at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }

  /** One time in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next());
  }
}

/** The seed to run with: RINGYARD_FUZZ_SEED, or a new one. It is printed. */
export function fuzzSeed(name: string): number {
  const given = process.env.RINGYARD_FUZZ_SEED;
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
  if (!Number.isInteger(seed)) throw new Error(`RINGYARD_FUZZ_SEED is "${given}": use an integer`);
  console.error(`fuzz ${name}: RINGYARD_FUZZ_SEED=${seed}`);
  return seed;
}
