// One step of a trace: what the switch finds in a frame and decides about it. Plain data, for `ringyard trace` and the
// control socket; `text` is the same for people, ports and meters by name.
//
//   header   64 bytes in on vm1: 02:00:00:00:00:01 > 02:00:00:00:00:02, 10.0.0.1 > 10.0.0.2, tcp 4000 > 80     the first, always
//   rule     rule 12 (priority 100) applies              one for each that does, in order; or "no rule applies"
//   action   set vlan id 7                               one for each action of that rule
//   fdb      02:00:00:00:00:02 is at vm2                 where an allowed frame's destination is looked up
//   frame    to vm2: 68 bytes: 02:00:00:00:00:01 > ...   one for each form in which it leaves, other than it came
//   verdict  sent to vm2                                 the last, always; drops by their reasons as `port show` counts them

export type TraceVerdict =
  /** Ports by index; mirrors of rules get the frame as it was received. */
  { do: "send"; ports: number[]; mirrors: number[] } | { do: "drop"; reason: string; mirrors: number[] };

export type TraceStep =
  | { step: "header"; text: string; data: { port: number; length: number } }
  | { step: "rule"; text: string; data: { id: number | null; priority: number | null } }
  | { step: "action"; text: string; data: { rule: number; do: string } }
  | { step: "fdb"; text: string; data: { mac: string; port: number | null } }
  /** The first bytes of the frame in hex, and its whole length. */
  | { step: "frame"; text: string; data: { ports: number[]; length: number; frame: string } }
  | { step: "verdict"; text: string; data: TraceVerdict };
