// Which way is better, by a sample's unit. A unit that nobody listed is a mistake of a new suite, not a guess. Pure.

const MORE_IS_BETTER = [/^[MGk]?pps$/, /bit\/s$/, /^thousands\/s$/];
const LESS_IS_BETTER = [/^[num]?s\b/, /%/, /^[kMG]i?B\b/, /^times$/, /^collections$/];
/** Frames of a breath: fuller bursts cost less a frame, and a quicker switch finds fewer of them waiting. */
const NEITHER = [/^frames$/];

/** Whether a higher figure of this unit is the better one; undefined where it is neither better nor worse. */
export function moreIsBetter(unit: string): boolean | undefined {
  if (MORE_IS_BETTER.some((pattern) => pattern.test(unit))) return true;
  if (LESS_IS_BETTER.some((pattern) => pattern.test(unit))) return false;
  if (NEITHER.some((pattern) => pattern.test(unit))) return undefined;
  throw new Error(`bench/units.ts does not say which way of "${unit}" is better`);
}
