// A trace's frame and actions in words. Control thread; pure.

import { MAX_FRAME } from "../../mem/batch.ts";
import { type Fields, fieldsOf } from "./interpret-fields.ts";
import type { FieldName } from "./key.ts";
import type { Action, MeterSpec } from "./rule.ts";

/** Of ports in one line. */
const NAMES_SHOWN = 32;

/** `vm1, vm2`, or the first of many and how many more there are. */
export function namesText(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return `${names.slice(0, NAMES_SHOWN).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** What a frame is, as far as rules can ask: `: 02:…:01 > 02:…:02, vlan 7, 10.0.0.1 > 10.0.0.2, tcp 4000 > 80`. */
export function headerText(frame: Uint8Array, port: number): string {
  if (frame.length < 14) return "";
  const fields = fieldsOf(frame, port);
  const parts = [`${mac(fields, "eth.src")} > ${mac(fields, "eth.dst")}`];
  for (const tag of ["vlan", "inner"] as const) {
    if (fields.get(tag) === 1n) parts.push(`${tag} ${fields.get(`${tag}.id`)} pcp ${fields.get(`${tag}.pcp`)}`);
  }
  if (fields.get("arp") === 1n) {
    parts.push(`arp op ${fields.get("arp.op")}, ${ip4(fields, "arp.spa")} for ${ip4(fields, "arp.tpa")}`);
  } else if (fields.get("ip4") === 1n) parts.push(`${ip4(fields, "ip4.src")} > ${ip4(fields, "ip4.dst")}`);
  else if (fields.get("ip6") === 1n) parts.push(`${ip6(fields, "ip6.src")} > ${ip6(fields, "ip6.dst")}`);
  else parts.push(`type 0x${hex(fields, "eth.type", 4)}`);
  const transport = transportText(fields);
  if (transport !== undefined) parts.push(transport);
  return `: ${parts.join(", ")}`;
}

/** Why a frame goes nowhere. What is too long for its receivers may have been a super-frame, of which a trace has no net header. */
export function dropText(reason: string, frame: Uint8Array, port: number): string {
  const fields = reason === "oversized" && frame.length <= MAX_FRAME ? fieldsOf(frame, port) : undefined;
  const isSegmented = fields?.get("tcp") === 1n || fields?.get("udp") === 1n;
  return `dropped: ${reason}${isSegmented ? " (as one frame; a super-frame is cut: offloads are not traced)" : ""}`;
}

function transportText(fields: Fields): string | undefined {
  for (const name of ["tcp", "udp", "sctp"] as const) {
    if (fields.get(name) === 1n) return `${name} ${fields.get(`${name}.sport`)} > ${fields.get(`${name}.dport`)}`;
  }
  for (const name of ["icmp", "icmp6"] as const) {
    if (fields.get(name) === 1n) return `${name} type ${fields.get(`${name}.type`)} code ${fields.get(`${name}.code`)}`;
  }
  const protocol = fields.get("ip4.proto") ?? fields.get("ip6.proto");
  return protocol === undefined ? undefined : `protocol ${protocol}`;
}

function hex(fields: Fields, name: FieldName, digits: number): string {
  return (fields.get(name) ?? 0n).toString(16).padStart(digits, "0");
}

function mac(fields: Fields, name: FieldName): string {
  return colons(hex(fields, name, 12));
}

function colons(digits: string): string {
  return digits.match(/../g)?.join(":") ?? digits;
}

function ip4(fields: Fields, name: FieldName): string {
  return [...Buffer.from(hex(fields, name, 8), "hex")].join(".");
}

/** The canonical form of RFC 5952 is the URL parser's, too. */
function ip6(fields: Fields, name: FieldName): string {
  const groups = hex(fields, name, 32).match(/..../g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

export function actionText(action: Action, portName: (index: number) => string, meters: readonly MeterSpec[]): string {
  switch (action.do) {
    case "mirror":
      return `mirror to ${portName(action.port)}`;
    case "forward":
      return `forward to ${action.ports.length === 0 ? "no port" : action.ports.map(portName).join(", ")}`;
    case "set-vlan": {
      const id = action.id === undefined ? "" : ` id ${action.id}`;
      return `set vlan${id}${action.pcp === undefined ? "" : ` pcp ${action.pcp}`}`;
    }
    case "strip-vlan":
      return "strip vlan";
    case "set-mac": {
      const source = action.src === undefined ? "" : ` src ${colons(action.src)}`;
      return `set mac${source}${action.dst === undefined ? "" : ` dst ${colons(action.dst)}`}`;
    }
    case "set-dscp":
      return `set dscp ${action.dscp}`;
    case "meter":
      return `meter ${meters[action.meter]?.name ?? action.meter}, as if it had tokens`;
    case "log":
      return action.every === 1 ? "log" : `log one in ${action.every}`;
    default:
      return action.do;
  }
}
