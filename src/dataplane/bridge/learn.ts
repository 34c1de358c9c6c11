// HOT
// Learning in the bridge: the source of each frame that is not dropped, in its VLAN, as its port's policy allows.
//
// What stays at a sticky port, be it learned there or static, is not taken from elsewhere, whether the port that it came in on learns or
// not. A static address of another port is no reason to drop: the table says where it is, and that is all it says.

import { DROP_MAC_LIMIT, DROP_STICKY } from "../../mem/counters.ts";
import { fdbLearn } from "../fdb.ts";
import { fdbFind } from "../fdb-find.ts";
import { FDB_KNOWN, FDB_PORT_FULL, FDB_STAYS } from "../fdb-layout.ts";
import { refusedByRules } from "../fdb-learn.ts";
import { publishEvent, reserveEvent } from "../rules/event-ring.ts";
import type { Plan } from "../rules/plan.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { EVENT_MAC_LIMIT, MAC_LIMIT_SIZE } from "./events.ts";
import { LIMIT_SHUTDOWN, LIMIT_STOP } from "./learning.ts";

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
  bridge.sourceRefused = refusedSource(tables, plan, bridge, lo, hi, vid);
  return bridge.sourceRefused;
}

function refusedSource(tables: Tables, plan: Plan, bridge: Bridge, lo: number, hi: number, vid: number): number {
  const { learning } = bridge;
  const { nowS, port } = plan;
  const { fdb } = tables;
  if (learning.learns[port] === 0 || learning.vlanLearns[vid] === 0) {
    const hit = fdbFind(fdb, lo, hi, vid);
    return hit >= 0 && refusedByRules(fdb, hit, port, nowS, vid, learning) === FDB_STAYS ? DROP_STICKY : 0;
  }
  const outcome = fdbLearn(fdb, lo, hi, port, nowS, vid, learning);
  if (outcome === FDB_KNOWN) return 0;
  if (outcome === FDB_STAYS) return DROP_STICKY;
  if (outcome === FDB_PORT_FULL) return refusedByLimit(plan, bridge);
  // What was looked up before may be elsewhere now.
  bridge.hi = -1;
  return 0;
}

/** What becomes of a frame from a new address at a port that has as many as it may. */
function refusedByLimit(plan: Plan, { learning }: Bridge): number {
  const { nowS, port, ring } = plan;
  const action = learning.onLimit[port];
  if (action === LIMIT_STOP) return 0;
  if (action !== LIMIT_SHUTDOWN || learning.reportedS[port] === nowS) return DROP_MAC_LIMIT;
  // Once a second, until the control thread has blocked the port; what finds no room in the ring is said with the next frame.
  const at = reserveEvent(ring, EVENT_MAC_LIMIT, MAC_LIMIT_SIZE);
  if (at < 0) return DROP_MAC_LIMIT;
  ring.words[at >> 2] = port;
  publishEvent(ring);
  learning.reportedS[port] = nowS;
  return DROP_MAC_LIMIT;
}
