// The table of MAC addresses as text. Pure.

import type { FdbInfo } from "../control/api.ts";
import { countsText, table } from "./output.ts";

const COLUMNS = [{ title: "MAC" }, { title: "PORT" }, { title: "TYPE" }, { title: "AGE S", right: true }];

export function fdbTable({ entries, limit, ageingS, counters }: FdbInfo): string {
  const rows = entries.map(({ mac, port, ageS, static: pinned }) => [
    mac,
    port,
    pinned ? "static" : "learned",
    pinned ? "-" : Math.round(ageS),
  ]);
  return `${table(COLUMNS, rows)}\n${rows.length} shown, limit ${limit}, ageing ${ageingS} s; ${countsText(counters)}\n`;
}
