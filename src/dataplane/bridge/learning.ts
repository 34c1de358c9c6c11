// What policies say of learning, as hot code reads it: one element for each port, or for each VLAN.
//
//   learns[port], vlanLearns[vid]   0: addresses of frames from there are not learned
//   stays[port]                     1: its addresses do not move to other ports (sticky)
//   evicts[port]                    1: at its limit it gives up an address for a new one; else what else becomes of the frame:
//   onLimit[port]                   LIMIT_STOP: it passes | LIMIT_DROP: it is dropped | LIMIT_SHUTDOWN: that, and the port is blocked
//
// Cold to make; worker threads.

import { FDB_VIDS, type FdbRules } from "../fdb-layout.ts";
import { MAX_PORTS } from "../shared.ts";
import type { BridgePolicy, LimitAction } from "./policy.ts";

export const LIMIT_STOP = 0;
export const LIMIT_DROP = 1;
export const LIMIT_SHUTDOWN = 2;

const ON_LIMIT: Readonly<Record<LimitAction, number>> = {
  evict: LIMIT_STOP,
  stop: LIMIT_STOP,
  drop: LIMIT_DROP,
  shutdown: LIMIT_SHUTDOWN,
};

export class Learning implements FdbRules {
  readonly learns = new Uint8Array(MAX_PORTS).fill(1);
  readonly vlanLearns = new Uint8Array(FDB_VIDS).fill(1);
  readonly stays = new Uint8Array(MAX_PORTS);
  readonly evicts = new Uint8Array(MAX_PORTS).fill(1);
  readonly onLimit = new Uint8Array(MAX_PORTS);
  /** The second in which a port's limit was reported last. */
  readonly reportedS = new Int32Array(MAX_PORTS).fill(-1);

  constructor({ ports, vlans }: BridgePolicy) {
    for (const { port, learning, sticky, limitAction } of ports) {
      this.learns[port] = learning ? 1 : 0;
      this.stays[port] = sticky ? 1 : 0;
      this.evicts[port] = limitAction === "evict" ? 1 : 0;
      this.onLimit[port] = ON_LIMIT[limitAction];
    }
    for (const { vid, learning } of vlans) this.vlanLearns[vid] = learning ? 1 : 0;
  }
}
