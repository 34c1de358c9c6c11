// How long the soak and fuzz tests run. `npm test` sets RINGYARD_TEST_SCALE=small (seconds for all of them together),
// `npm run test:long` sets `full` (minutes each). Correctness tests do not look at it.

export type Scale = "small" | "full";

function readScale(): Scale {
  const value = process.env.RINGYARD_TEST_SCALE ?? "small";
  if (value !== "small" && value !== "full") throw new Error(`RINGYARD_TEST_SCALE is "${value}": use small or full`);
  return value;
}

export const scale: Scale = readScale();

/** The size of a soak: `sized(1_000, 1_000_000)` frames, rounds or milliseconds. */
export function sized(small: number, full: number): number {
  return scale === "full" ? full : small;
}
