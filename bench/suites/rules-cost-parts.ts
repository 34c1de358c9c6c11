// What bench/suites/rules-cost-entry.ts times of a burst, each with those of before in it.
//
//   fetch (and release) | copy of headers | ask: what rules say of each frame | turn: learning, look-up, actions and delivery as well
//
// They are the steps of a burst in src/dataplane/rules/forward-planned.ts.

export const PARTS = ["fetch", "copy", "ask", "turn"] as const;
export type Part = (typeof PARTS)[number];
