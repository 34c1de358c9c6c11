// A rule as the switch understands it: ports and meters are numbers, fields have names of their own (fields.ts says where each
// lies in the flow key). The text form, and ports by name, are control/rules/'s. Plain data; control thread.
//
//   prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop
//     -> { priority: 100,
//          match: [ in = 3 ]  [ ip4 = 1 ]  [ ip4.dst = 0a000000/ff000000 ]  [ tcp.dport = 80 or 443 ],
//          actions: [ drop ] }
//
// All constraints of a match must hold; of one constraint's values, any. Order of rules: higher priority first, then lower id.

import type { FieldName } from "./key.ts";

export const PRIORITY_MAX = 65_535;
export const PRIORITY_DEFAULT = 1000;

/** What a field may be: a value under a mask (bits outside the mask are 0 in both), or a range, both ends included. */
export type FieldValue = { value: bigint; mask: bigint } | { low: bigint; high: bigint };

export interface Constraint {
  field: FieldName;
  /** At least one. */
  oneOf: readonly FieldValue[];
}

/** What ends the search; a rule has at most one, and it stands last. */
export type TerminalAction =
  | { do: "allow" }
  | { do: "drop" }
  /** Port indices, each once; without any (all that the rule names are gone) the frame is dropped as no_destination. */
  | { do: "forward"; ports: readonly number[] }
  | { do: "flood" }
  | { do: "continue" };

export type Action =
  | TerminalAction
  /** A copy of the frame as it was received. */
  | { do: "mirror"; port: number }
  /** Changes the outer tag, or adds one (802.1Q) where there is none; what is absent stays, or is 0 in a new tag. */
  | { do: "set-vlan"; id?: number; pcp?: number }
  /** Takes the outer tag off, if there is one. */
  | { do: "strip-vlan" }
  /** Twelve hex digits each. */
  | { do: "set-mac"; src?: string; dst?: string }
  | { do: "set-dscp"; dscp: number }
  /** Index into the meters. */
  | { do: "meter"; meter: number }
  | { do: "count" }
  /** One in `every` frames of this rule goes to the log. */
  | { do: "log"; every: number };

export interface Rule {
  /** Chosen by the switch or by a person; unique, positive, below 2^31. */
  id: number;
  /** 0 to PRIORITY_MAX. */
  priority: number;
  match: readonly Constraint[];
  actions: readonly Action[];
}

/** A token bucket that rules share. */
export interface MeterSpec {
  name: string;
  /** Tokens: bits of frames (without preamble and gap), or frames. */
  unit: "bits" | "frames";
  /** Tokens a second, and how many may be saved up. */
  rate: number;
  burst: number;
}

/** Orders rules by the rank in which they are tried. */
export function byRank(a: Rule, b: Rule): number {
  return b.priority - a.priority || a.id - b.id;
}
