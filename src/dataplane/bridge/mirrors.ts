// Mirrors at one worker: whose frames they copy and where to, as the tables that mirror.ts reads, and its notes of the burst that is under
// way. A mirror that names no ports or VLANs copies nothing.
//
//   ports[m * MAX_PORTS + port], vids[m * VIDS + vid]    DIRECTION_* bits of mirror m         port[port]    the same of all mirrors, or-ed
//   entered[m * BURST ...], enteredCount[m]              frames that came into a VLAN of mirror m, to be copied when all are judged
//
// Cold to make; worker threads.

import { BURST, MIN_FRAME } from "../../mem/batch.ts";
import { MAX_PORTS } from "../shared.ts";
import type { Direction, MirrorPolicy } from "./policy.ts";

export const DIRECTION_IN = 1;
export const DIRECTION_OUT = 2;

/** VLAN 0 is the one of a switch without VLANs. */
export const VIDS = 4096;

export const DIRECTION_BITS: Readonly<Record<Direction, number>> = {
  in: DIRECTION_IN,
  out: DIRECTION_OUT,
  both: DIRECTION_IN | DIRECTION_OUT,
};

export class Mirrors {
  readonly count: number;
  readonly to: Int32Array;
  /** Bytes of a copy, or 0: all. */
  readonly truncate: Int32Array;
  readonly ports: Uint8Array;
  readonly port = new Uint8Array(MAX_PORTS);
  readonly vids: Uint8Array;
  /** DIRECTION_* of VLANs that any mirror copies. */
  readonly vlans: number;
  /** Whether any mirror copies what leaves by ports and what leaves VLANs. */
  readonly leaveTwice: boolean;
  readonly entered: Int32Array;
  readonly enteredCount: Int32Array;
  /** Of the burst: the VLAN of each frame; 1 where frame i, as it leaves, needs no copy for its VLAN from mirror m: at m * BURST + i. */
  readonly vid = new Int32Array(BURST);
  readonly left: Uint8Array;
  /** 1 while copies are delivered: for who has to tell them from what a port is sent anyway (dry-run.ts). */
  copying = 0;
  /** The forms that are to be delivered next. */
  readonly picked = new Int32Array(BURST);
  readonly cut = new Int32Array(BURST);

  constructor(policies: readonly MirrorPolicy[]) {
    this.count = policies.length;
    this.to = Int32Array.from(policies, ({ to }) => to);
    this.truncate = Int32Array.from(policies, ({ truncate }) => (truncate === 0 ? 0 : Math.max(truncate, MIN_FRAME)));
    this.ports = new Uint8Array(this.count * MAX_PORTS);
    this.vids = new Uint8Array(policies.some(({ vlans }) => vlans.length > 0) ? this.count * VIDS : 0);
    this.entered = new Int32Array(this.count * BURST);
    this.enteredCount = new Int32Array(this.count);
    this.left = new Uint8Array(this.count * BURST);
    let vlans = 0;
    policies.forEach((mirror, m) => {
      for (const { port, direction } of mirror.ports) {
        this.ports[m * MAX_PORTS + port] |= DIRECTION_BITS[direction];
        this.port[port] |= DIRECTION_BITS[direction];
      }
      for (const { vid, direction } of mirror.vlans) {
        this.vids[m * VIDS + vid] |= DIRECTION_BITS[direction];
        vlans |= DIRECTION_BITS[direction];
      }
    });
    this.vlans = vlans;
    const leaves = ({ direction }: { direction: Direction }) => direction !== "in";
    this.leaveTwice = policies.some(({ ports, vlans }) => ports.some(leaves) && vlans.some(leaves));
  }
}
