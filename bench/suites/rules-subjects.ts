// Names and numbers that the parts of the rules suite share.

import { OURS } from "../stats.ts";
import type { Context } from "../suite.ts";

/** `ringyard` is the switch with the rules. */
export const NO_RULES = `${OURS}-no-rules`;
/** The same with few like them. */
export const HUNDRED = `${OURS}-100-rules`;
export const FEW_RULES = 100;

const RULES = 10_000;
const RULES_SMOKE = 100;

export function ruleCount({ smoke }: Context): number {
  return smoke ? RULES_SMOKE : RULES;
}
