// Rules as text: a table of all, and whether one would match. Pure.

import type { RuleInfo, RuleTest } from "../control/rules/rules-api.ts";
import { type Column, table } from "./output.ts";

const LIST: Column[] = [
  { title: "ID", right: true },
  { title: "PRIO", right: true },
  { title: "RULE" },
  { title: "FRAMES", right: true },
  { title: "BYTES", right: true },
  { title: "LAST HIT", right: true },
];

/** The priority has a column of its own. */
export function ruleTable(rules: readonly RuleInfo[]): string {
  const rows = rules.map(({ id, priority, text, frames, bytes, lastHitS, inactive }) => {
    const rest = text.replace(/^prio \d+ /, "");
    const shown = inactive === undefined ? rest : `${rest} (waits: ${inactive})`;
    return [id, priority, shown, frames, bytes, lastHitS === undefined ? "-" : agoText(lastHitS)];
  });
  return table(LIST, rows);
}

/** `5 s`, `12 min`, `3 h`, `4 d` ago. */
function agoText(seconds: number): string {
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
  ];
  const [unit, size] = units.find(([, size]) => seconds >= 2 * size) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

/** A line for each constraint, and the answer. */
export function testText({ matches, constraints }: RuleTest): string {
  const rows = constraints.map(({ text, holds, found = "no such header" }) => [
    holds ? "yes" : "no",
    text,
    holds && found === text ? "" : `the frame: ${found}`,
  ]);
  const lines = table([{ title: "HOLDS" }, { title: "CONSTRAINT" }, { title: "" }], rows);
  return `${constraints.length === 0 ? "" : `${lines}\n`}${matches ? "matches" : "does not match"}\n`;
}
