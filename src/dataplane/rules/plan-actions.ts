// A rule's actions as the words that workers run (plan-layout.ts), and what sorts of actions they are. Every operand is checked
// here once more: a number that is out of range would lead a worker's hot code outside its tables. Control thread.

import { RingyardError } from "../../core/errors.ts";
import { MAX_PORTS } from "../shared.ts";
import {
  KIND_ALLOW,
  KIND_CONTINUE,
  KIND_DROP,
  KIND_FLOOD,
  KIND_FORWARD,
  KIND_KEEPS,
  KIND_METERS,
  KIND_REWRITES,
  KIND_TERMINAL,
  OP_END,
  OP_FORWARD,
  OP_LOG,
  OP_METER,
  OP_MIRROR,
  OP_SET_DESTINATION,
  OP_SET_DSCP,
  OP_SET_SOURCE,
  OP_SET_VLAN,
  OP_STRIP_VLAN,
} from "./plan-layout.ts";
import type { Action, Rule } from "./rule.ts";

const VLAN_ID_MAX = 4095;
const PCP_MAX = 7;
const PCP_SHIFT = 13;
const DSCP_MAX = 63;
/** Where TOS and traffic class have DSCP. */
const DSCP_SHIFT = 2;
const ID_MAX = 0x7fffffff;
const MAC_DIGITS = /^[0-9a-f]{12}$/i;

export interface EncodedActions {
  kind: number;
  /** Ends with OP_END, or with OP_FORWARD and its ports. */
  words: number[];
}

/** Throws RingyardError BAD_OPTION for what is no action of the switch's with `meters` meters. */
export function encodeActions(rule: Rule, meters: number): EncodedActions {
  checkRange(rule, "an id", rule.id, 1, ID_MAX);
  const encoded: EncodedActions = { kind: KIND_CONTINUE, words: [] };
  rule.actions.forEach((action, index) => {
    const kind = encodeAction(rule, action, meters, encoded.words);
    encoded.kind |= kind;
    const isLast = index === rule.actions.length - 1;
    if (!isLast && isTerminal(action)) throw refusal(rule, `has actions behind ${action.do}`);
  });
  if ((encoded.kind & KIND_TERMINAL) !== KIND_FORWARD) encoded.words.push(OP_END);
  return encoded;
}

function isTerminal({ do: what }: Action): boolean {
  return what === "allow" || what === "drop" || what === "forward" || what === "flood" || what === "continue";
}

/** Appends an action's words; returns its kind. */
function encodeAction(rule: Rule, action: Action, meters: number, words: number[]): number {
  switch (action.do) {
    case "allow":
      return KIND_ALLOW;
    case "drop":
      return KIND_DROP;
    case "flood":
      return KIND_FLOOD;
    case "continue":
    case "count":
      return KIND_CONTINUE;
    case "forward":
      for (const port of action.ports) checkPort(rule, port);
      if (new Set(action.ports).size < action.ports.length) throw refusal(rule, "forwards to a port twice");
      words.push(OP_FORWARD, action.ports.length, ...action.ports);
      return KIND_FORWARD;
    case "mirror":
      checkPort(rule, action.port);
      words.push(OP_MIRROR, action.port);
      return KIND_KEEPS;
    case "log":
      checkRange(rule, "a log interval", action.every, 1, ID_MAX);
      words.push(OP_LOG, action.every);
      return KIND_KEEPS;
    case "meter":
      checkRange(rule, "a meter", action.meter, 0, meters - 1);
      words.push(OP_METER, action.meter);
      return KIND_METERS;
    default:
      encodeRewrite(rule, action, words);
      return KIND_REWRITES;
  }
}

type Rewrite = Extract<Action, { do: "set-vlan" | "strip-vlan" | "set-mac" | "set-dscp" }>;

function encodeRewrite(rule: Rule, action: Rewrite, words: number[]): void {
  if (action.do === "strip-vlan") words.push(OP_STRIP_VLAN);
  else if (action.do === "set-vlan") {
    const { id, pcp } = action;
    if (id !== undefined) checkRange(rule, "a VLAN id", id, 0, VLAN_ID_MAX);
    if (pcp !== undefined) checkRange(rule, "a VLAN priority", pcp, 0, PCP_MAX);
    const mask = (id === undefined ? 0 : VLAN_ID_MAX) | (pcp === undefined ? 0 : PCP_MAX << PCP_SHIFT);
    words.push(OP_SET_VLAN, mask, (id ?? 0) | ((pcp ?? 0) << PCP_SHIFT));
  } else if (action.do === "set-dscp") {
    checkRange(rule, "a DSCP", action.dscp, 0, DSCP_MAX);
    words.push(OP_SET_DSCP, action.dscp << DSCP_SHIFT);
  } else {
    if (action.src !== undefined) words.push(OP_SET_SOURCE, ...macWords(rule, action.src));
    if (action.dst !== undefined) words.push(OP_SET_DESTINATION, ...macWords(rule, action.dst));
  }
}

/** Bytes 0-3 and 4-5 as little-endian words. */
function macWords(rule: Rule, digits: string): [number, number] {
  if (!MAC_DIGITS.test(digits)) throw refusal(rule, "has an address that is not twelve hex digits");
  const view = new DataView(Uint8Array.from(Buffer.from(digits, "hex")).buffer);
  return [view.getInt32(0, true), view.getUint16(4, true)];
}

function checkPort(rule: Rule, port: number): void {
  checkRange(rule, "a port", port, 0, MAX_PORTS - 1);
}

function checkRange(rule: Rule, what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw refusal(rule, `has ${what} ${value} that is not in ${min}..${max}`);
}

function refusal(rule: Rule, what: string): RingyardError {
  return new RingyardError("BAD_OPTION", `rule ${rule.id} ${what}`, "correct the rule");
}
