// How NICs are printed: a table with a note for each, and a line for each that was taken or given. Pure.

import type { GivenBack, HostNic, NicChange } from "../core/nics.ts";
import { table } from "./output.ts";

export function nicTable(nics: readonly HostNic[]): string {
  const columns = ["ADDRESS", "ID", "DRIVER", "NETDEV", "GROUP", "OK", "NOTE"].map((title) => ({ title }));
  const rows = nics.map((nic) => [
    nic.address,
    `${nic.vendor}:${nic.device}`,
    nic.driver ?? "-",
    nic.netdevs.map(({ name }) => name).join(",") || "-",
    groupText(nic),
    nic.taken ? "taken" : nic.usable ? "yes" : "no",
    noteText(nic),
  ]);
  return table(columns, rows);
}

/** `18`, or `21 with 0000:06:00.1`. */
function groupText({ group, neighbours }: HostNic): string {
  if (group === undefined) return "-";
  const others = neighbours.map(({ address }) => address);
  return others.length === 0 ? group : `${group} with ${others.join(", ")}`;
}

/** Why not, first; then what would be disturbed; then what it is. */
function noteText({ problems, warnings, drivenAs, name }: HostNic): string {
  const parts = [
    ...problems.map(({ message, next }) => (next === undefined ? message : `${message}: ${next}`)),
    ...warnings,
    ...(drivenAs === undefined ? [] : [`driven as ${drivenAs}`]),
    ...(name === undefined ? [] : [name]),
  ];
  return parts.join("; ");
}

/** `0000:03:00.0: e1000e -> vfio-pci (eth0 is gone)`. */
export function changeText({ address, changed, driver, before, netdevs, warnings }: NicChange): string {
  const taken = driver === "vfio-pci";
  const lines: string[] = [];
  if (!changed) lines.push(`${address}: ${taken ? "was taken before" : `has ${driver ?? "no driver"}, nothing to do`}`);
  else {
    const gone = netdevs.length === 0 ? "" : ` (${netdevs.join(", ")} ${taken ? "is gone" : "is back"})`;
    lines.push(`${address}: ${before ?? "no driver"} -> ${driver ?? "no driver"}${gone}`);
  }
  lines.push(...warnings.map((warning) => `${address}: ${warning}`));
  return lines.map((line) => `${line}\n`).join("");
}

export function givenText({ given, served }: GivenBack): string {
  const lines: string[] = [];
  if (given.length > 0) lines.push(`given back: ${given.join(", ")}`);
  if (served.length > 0) lines.push(`a process drives it, left alone: ${served.join(", ")}`);
  return lines.map((line) => `${line}\n`).join("");
}
