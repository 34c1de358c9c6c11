// Which way is better, by a sample's unit. A unit that nobody listed is a mistake of a new suite, not a guess. Pure.

const MORE_IS_BETTER = [/^[MGk]?pps$/, /bit\/s$/, /^thousands\/s$/];
const LESS_IS_BETTER = [/^[num]?s\b/, /%/, /^[kMG]i?B\b/, /^times$/];

/** Whether a higher figure of this unit is the better one. */
export function moreIsBetter(unit: string): boolean {
  if (MORE_IS_BETTER.some((pattern) => pattern.test(unit))) return true;
  if (LESS_IS_BETTER.some((pattern) => pattern.test(unit))) return false;
  throw new Error(`bench/units.ts does not say which way of "${unit}" is better`);
}
