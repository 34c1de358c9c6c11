// The table of MAC addresses as text. Pure.

import type { FdbEntry, FdbInfo, FlappingInfo } from "../control/api.ts";
import { countsText, table } from "./output.ts";

const MAC = { title: "MAC" };
const VLAN = { title: "VLAN", right: true };
const OTHERS = [{ title: "PORT" }, { title: "TYPE" }, { title: "AGE S", right: true }];

/** With VLANs where any address has one. */
export function fdbTable({ entries, limit, ageingS, counters, flapping = [] }: FdbInfo): string {
  const hasVlans = entries.some(({ vlan }) => vlan !== undefined);
  const rows = entries.map((entry) => [
    entry.mac,
    ...(hasVlans ? [entry.vlan ?? "-"] : []),
    entry.port,
    typeOf(entry),
    entry.static ? "-" : Math.round(entry.ageS),
  ]);
  const columns = [MAC, ...(hasVlans ? [VLAN] : []), ...OTHERS];
  const summary = `${rows.length} shown, limit ${limit}, ageing ${ageingS} s; ${countsText(counters)}\n`;
  return `${table(columns, rows)}\n${summary}${flapping.map(flappingLine).join("")}`;
}

function typeOf({ static: pinned, sticky = false }: FdbEntry): string {
  if (pinned) return "static";
  return sticky ? "sticky" : "learned";
}

function flappingLine({ mac, vlan, ports, moves }: FlappingInfo): string {
  const where = vlan === undefined ? "" : ` in VLAN ${vlan}`;
  return `flapping: ${mac}${where} moved ${moves} times in 10 s, between ${ports.join(", ")}\n`;
}
