// Randomness that can be had again: a generator with a seed, for fuzzers and soaks. The seed comes from the clock, or
// from RINGYARD_FUZZ_SEED to repeat a run, and is printed.
//
//   const random = new Random(fuzzSeed("control codec"));

/** The seed of this run; printed, since a failure is worth nothing without it. */
export function fuzzSeed(what: string): number {
  const given = process.env.RINGYARD_FUZZ_SEED;
  const seed = given === undefined ? Date.now() % 2 ** 31 : Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`RINGYARD_FUZZ_SEED is "${given}": use a whole number`);
  console.error(`fuzz: ${what}: RINGYARD_FUZZ_SEED=${seed}`);
  return seed;
}

/** splitmix32: 32 bits of state, every value once per period; plenty for choosing inputs. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed | 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** 0 to limit - 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
