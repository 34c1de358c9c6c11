// The canonical text of a rule: what parse-rule.ts reads back as the same rule, whatever way it was written at first. Pure.
//
//   [id N] prio N [in PORTS] { HEADER words } actions          headers and their words in the order of grammar.ts

import { dscp, HEADERS } from "./grammar.ts";
import { headerTexts, portsOf } from "./header-text.ts";
import type { NamedAction, NamedRule } from "./named-rule.ts";
import { formatMac, writeValue } from "./spelling.ts";

export function formatRule(rule: NamedRule): string {
  return rule.id === undefined ? ruleText(rule) : `id ${rule.id} ${ruleText(rule)}`;
}

/** Of each rule that was asked about; of 65,000 it takes more than a second to make them. Rules do not change. */
const texts = new WeakMap<NamedRule, string>();

/** The text of a rule without its id: rules that say the same have the same. */
export function ruleText(rule: NamedRule): string {
  let text = texts.get(rule);
  if (text === undefined) {
    text = [`prio ${rule.priority}`, ...matchWords(rule), ...rule.actions.map(formatAction)].join(" ");
    texts.set(rule, text);
  }
  return text;
}

/** Whether they say the same; the id may be chosen in one of them. */
export function isSameRule(a: NamedRule, b: NamedRule): boolean {
  return a === b || ruleText(a) === ruleText(b);
}

/** The match alone: `in vm1 tcp dport 80,443`, or nothing where every frame matches. */
export function formatMatch(rule: NamedRule): string {
  return matchWords(rule).join(" ");
}

function matchWords(rule: NamedRule): string[] {
  const ports = portsOf(rule);
  const headers = headerTexts(rule).flatMap(({ header, only, ids, words }) => {
    // A protocol's word alone says that it is there; a tag's needs one behind it.
    const implied = only === "any" && HEADERS[header].ids === undefined;
    const fields = [...words].flatMap(([word, items]) => [word, items.join(",")]);
    return [header, ...(only === undefined || implied ? [] : [only]), ...(ids ? [ids.join(",")] : []), ...fields];
  });
  return [...(ports === undefined ? [] : ["in", ports.join(",")]), ...headers];
}

export function formatAction(action: NamedAction): string {
  switch (action.do) {
    case "forward":
      return `forward ${action.ports.join(",")}`;
    case "mirror":
      return `mirror ${action.port}`;
    case "meter":
      return `meter ${action.meter}`;
    case "set-vlan":
      return ["set", ...pair("vlan", action.id), ...pair("pcp", action.pcp)].join(" ");
    case "strip-vlan":
      return "strip vlan";
    case "set-mac":
      return ["set eth", ...pair("src", macText(action.src)), ...pair("dst", macText(action.dst))].join(" ");
    case "set-dscp":
      return `set dscp ${writeValue(BigInt(action.dscp), dscp)}`;
    case "log":
      return action.every === 1 ? "log" : `log 1/${action.every}`;
    default:
      return action.do;
  }
}

function pair(word: string, value: number | string | undefined): string[] {
  return value === undefined ? [] : [word, String(value)];
}

function macText(digits: string | undefined): string | undefined {
  return digits === undefined ? undefined : formatMac(BigInt(`0x${digits}`));
}
