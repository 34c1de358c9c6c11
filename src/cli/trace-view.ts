// The steps of a trace as text: a line each, what belongs to a rule below it. Pure.
//
//   header   vm1, 64 bytes: ...
//   rule     rule 12 (prio 100) matches
//              in vm1 tcp dport 80 count
//   action   count
//   verdict  out of vm2

import type { TraceInfo } from "../control/rules/rules-api.ts";

const WIDTH = 9;

export function traceText(steps: readonly TraceInfo[]): string {
  return steps.map(stepText).join("");
}

function stepText({ step, text, data }: TraceInfo): string {
  const rule = step === "rule" && typeof data.text === "string" ? `${" ".repeat(WIDTH + 2)}${data.text}\n` : "";
  return `${step.padEnd(WIDTH)}${text}\n${rule}`;
}
