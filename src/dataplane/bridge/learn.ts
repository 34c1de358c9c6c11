// HOT
// Learning in the bridge: the source of each frame that is not dropped, in its VLAN, as its port's policy allows.

import { fdbLearn } from "../fdb.ts";
import { FDB_KNOWN } from "../fdb-layout.ts";
import type { Plan } from "../rules/plan.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";

/**
 * Learns the source, whose words those are (rules/header-arena.ts), of a frame of VLAN `vid` that came in on `plan.port`. Returns 0, or
 * the DROP_* counter that says why frames of that source are not taken.
 */
export function learnSource(
  tables: Tables,
  plan: Plan,
  bridge: Bridge,
  source1: number,
  source2: number,
  vid: number,
): number {
  const lo = (source1 >>> 16) | (source2 << 16);
  const hi = source2 >>> 16;
  if (lo === bridge.sourceLo && hi === bridge.sourceHi && vid === bridge.sourceVid) return bridge.sourceRefused;
  bridge.sourceLo = lo;
  bridge.sourceHi = hi;
  bridge.sourceVid = vid;
  bridge.sourceRefused = 0;
  // What was looked up before may be elsewhere now.
  if (fdbLearn(tables.fdb, lo, hi, plan.port, plan.nowS, vid) !== FDB_KNOWN) bridge.hi = -1;
  return bridge.sourceRefused;
}
