// VLANs as text: one line each, or everything about one. Pure.

import type { VlanInfo, VlanMember } from "../control/policy/vlan-info.ts";
import { type Column, facts, table } from "./output.ts";

const LIST: Column[] = [
  { title: "VLAN", right: true },
  { title: "AGEING S", right: true },
  { title: "LEARNING" },
  { title: "SUPPRESS" },
  { title: "MACS", right: true },
  { title: "UNTAGGED" },
  { title: "TAGGED" },
];

export function vlanTable(vlans: readonly VlanInfo[]): string {
  if (vlans.length === 0) return "no VLANs: frames of all ports are learned and flooded together\n";
  const rows = vlans.map(({ id, ageingS, learning, suppress, macs, members }) => [
    ...[id, ageingS, onOff(learning), suppress.join(", ") || "-", macs],
    ...[portsOf(members, "untagged"), portsOf(members, "tagged")],
  ]);
  return table(LIST, rows);
}

function portsOf(members: readonly VlanMember[], leaves: VlanMember["leaves"]): string {
  const names = members
    .filter((member) => member.leaves === leaves)
    .map(({ port, wireId }) => (wireId === undefined ? port : `${port} as ${wireId}`));
  return names.join(", ") || "-";
}

const MEMBERS: Column[] = [{ title: "PORT" }, { title: "MODE" }, { title: "TAG" }];

export function vlanDetails({ id, ageingS, learning, suppress, macs, directed, members }: VlanInfo): string {
  const lines = facts([
    ["vlan", id],
    ["ageing", `${ageingS} s`],
    ["learning", onOff(learning)],
    ["learned macs", macs],
    ["suppress", suppress.join(", ") || "-"],
    ["requests directed", directed],
  ]);
  const rows = members.map(({ port, mode, ...tag }) => [port, mode, tagText(tag)]);
  return rows.length === 0 ? lines : `${lines}\n${table(MEMBERS, rows)}`;
}

/** `untagged`, `802.1Q`, `802.1ad as 110`. */
function tagText({ leaves, wireId, tagType }: Omit<VlanMember, "port" | "mode">): string {
  if (leaves === "untagged") return leaves;
  const type = tagType ?? "802.1Q";
  return wireId === undefined ? type : `${type} as ${wireId}`;
}

function onOff(on: boolean): string {
  return on ? "on" : "off";
}
