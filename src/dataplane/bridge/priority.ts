// HOT
// The priority of frames, 0 to 7, which says in which of a port's queues they wait (queue-order.ts). Decided once for each run of
// frames (rules/flow-runs.ts) from what came in, whatever rules and VLANs make of it afterwards.
//
//   trust      frames with it                        the rest
//   "pcp"      PCP of the outer tag, VLAN id 0 too   the port's priority
//   "dscp"     the upper three bits of IPv4 or       the port's priority
//              IPv6 DSCP: class selectors, so that
//              EF is 5 and AF4x is 4
//   "none"     -                                     the port's priority
//
// A table as RFC 8325 has it moves EF to 6, since radio has four classes only; eight queues need no such thing.

import { BURST } from "../../mem/batch.ts";
import { CLASS_IP4, CLASS_IP6, CLASS_VLAN, KEY_CLASS, KEY_TCI, KEY_TYPE } from "../rules/key.ts";
import { MAX_PORTS } from "../shared.ts";
import type { BridgePolicy } from "./policy.ts";

export const PRIORITIES = 8;
const PRIORITY_BITS = PRIORITIES - 1;

const TRUST_NONE = 0;
const TRUST_PCP = 1;
const TRUST_DSCP = 2;

/** Of the word with both tags: the outer one is the upper half, and PCP its upper three bits. */
const PCP_SHIFT = 16 + 13;
/** Of TOS or traffic class: behind the three bits, the rest of DSCP and ECN. */
const CLASS_SELECTOR_SHIFT = 5;

export class Priorities {
  /** Per frame of the burst. */
  readonly of = new Int32Array(BURST);
  readonly trust = new Int32Array(MAX_PORTS).fill(TRUST_NONE);
  readonly otherwise = new Int32Array(MAX_PORTS);

  constructor({ ports }: BridgePolicy) {
    for (const { port, trust, priority } of ports) {
      if (trust !== "none") this.trust[port] = trust === "pcp" ? TRUST_PCP : TRUST_DSCP;
      this.otherwise[port] = priority & PRIORITY_BITS;
    }
  }
}

/** Decides for the frames from `start` to before `end`, which came in on `port` and have this key. */
export function decidePriority(
  { of, otherwise, trust }: Priorities,
  key: Int32Array,
  port: number,
  start: number,
  end: number,
): void {
  const classes = key[KEY_CLASS];
  let priority = otherwise[port];
  if (trust[port] === TRUST_PCP) {
    if ((classes & CLASS_VLAN) !== 0) priority = key[KEY_TCI] >>> PCP_SHIFT;
  } else if (trust[port] === TRUST_DSCP) {
    if ((classes & (CLASS_IP4 | CLASS_IP6)) !== 0) priority = (key[KEY_TYPE] & 0xff) >>> CLASS_SELECTOR_SHIFT;
  }
  for (let i = start; i < end; i++) of[i] = priority;
}

/** The priority of form `i` of a frame (rules/header-arena.ts): that of the frame as it came in. */
export function priorityOf({ of }: Priorities, i: number): number {
  return of[i & (BURST - 1)];
}
