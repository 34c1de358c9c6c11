// What bench/suites/rules-cost-entry.ts times of a burst, each with those of before in it.
//
//   fetch (and release) | copy of headers | key | decision | turn: learning, look-up, actions and delivery as well

export const PARTS = ["fetch", "copy", "key", "decision", "turn"] as const;
export type Part = (typeof PARTS)[number];
