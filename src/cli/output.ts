// What commands print: a table of aligned columns for people, JSON for programs. Columns are laid out here and not by
// cli-table3, which takes 26 s for the 60,000 rows that `fdb show` may have.

import { RingyardError } from "../core/errors.ts";
import { EXIT, reportError } from "./exit.ts";

export type Cell = string | number;

export interface Column {
  title: string;
  /** Numbers stand to the right. */
  right?: boolean;
}

/** Lines of columns two spaces apart, without the blanks that would end a line. */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const texts = [columns.map(({ title }) => title), ...rows.map((row) => row.map(String))];
  const widths = columns.map((_, index) => texts.reduce((width, row) => Math.max(width, row[index].length), 0));
  const line = (row: string[]) =>
    row.map((cell, index) => (columns[index].right ? cell.padStart(widths[index]) : cell.padEnd(widths[index])));
  return texts.map((row) => `${line(row).join("  ").trimEnd()}\n`).join("");
}

/** `name: value` lines, values aligned. */
export function facts(entries: readonly (readonly [string, Cell | boolean])[]): string {
  const width = entries.reduce((most, [name]) => Math.max(most, name.length + 1), 0);
  return entries.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${value}`.trimEnd().concat("\n")).join("");
}

/** `no_buffer 3, oversized 1`, or `-`. */
export function countsText(counts: Readonly<Record<string, number>>): string {
  const words = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  return words.length === 0 ? "-" : words.join(", ");
}

export function print(text: string): void {
  process.stdout.write(text);
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}

/** For a command that goes on whatever becomes of what it printed: a switch. */
export function outliveOutput(): void {
  process.stdout.removeAllListeners("error").on("error", () => {});
}

/** `ringyard fdb show | head` closes our output early; that is no error. A full disk is one. Either ends the command. */
export function endWithOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.OK);
    process.exit(reportError(new RingyardError("SYSTEM", `standard output cannot be written: ${error.message}`)));
  });
}
