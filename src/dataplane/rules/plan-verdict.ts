// HOT
// From the end of the search for rules to lists: where a frame goes that rules allow, forward or flood, or why it goes nowhere.
//
//   allow      its destination as the fdb knows it: a port, flood, or a drop (as in classify.ts)
//   forward    one port: that port; several: VERDICT_LIST; none that is up: a drop
//   flood      flood, but for what no bridge forwards
//   drop       a drop
//
// The frame's source is learned as it was received, unless the frame is dropped by a rule; the destination is the one that it has by
// then. Every copy is counted where it is listed, so the law of the switch holds: rx + copies = tx + drops.

import { COPIES, DROP_LINK_DOWN, DROP_NO_DESTINATION, DROP_RULE } from "../../mem/counters.ts";
import { dropFrame } from "../bridge/drop.ts";
import { tapDrop } from "../bridge/tap.ts";
import { destination, isReserved, RESERVED } from "../classify.ts";
import { fdbLearn } from "../fdb.ts";
import { FDB_KNOWN } from "../fdb-layout.ts";
import { flood } from "../forward.ts";
import { MAX_PORTS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { dropCounter, dropVerdict, VERDICT_FLOOD } from "../verdict.ts";
import { forwardList } from "./apply-actions.ts";
import type { Plan } from "./plan.ts";
import { KIND_DROP, KIND_FLOOD, KIND_FORWARD } from "./plan-layout.ts";

/** Beside the verdicts of verdict.ts: to the ports of a forward action that has several. */
const VERDICT_LIST = MAX_PORTS;
const BY_RULE = dropVerdict(DROP_RULE);
const NO_DESTINATION = dropVerdict(DROP_NO_DESTINATION);

/** The verdict that a terminal action leads to. Learns the source, whose words those are, unless it is a drop. */
export function settle(
  tables: Tables,
  plan: Plan,
  i: number,
  terminal: number,
  source1: number,
  source2: number,
): number {
  if (terminal === KIND_DROP) return BY_RULE;
  const { arena, nowS, port } = plan;
  const sourceLo = (source1 >>> 16) | (source2 << 16);
  const sourceHi = source2 >>> 16;
  if (sourceLo !== plan.sourceLo || sourceHi !== plan.sourceHi) {
    // What was looked up before may be elsewhere now.
    if (fdbLearn(tables.fdb, sourceLo, sourceHi, port, nowS) !== FDB_KNOWN) plan.hi = -1;
    plan.sourceLo = sourceLo;
    plan.sourceHi = sourceHi;
  }
  if (terminal === KIND_FORWARD) return forwardVerdict(tables, plan);
  const { judged, words } = arena;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  const lo = words[word];
  const hi = words[word + 1] & 0xffff;
  if (terminal === KIND_FLOOD) return isReserved(lo, hi) ? RESERVED : VERDICT_FLOOD;
  if (lo !== plan.lo || hi !== plan.hi) {
    plan.toward = destination(tables, lo, hi, port, nowS);
    plan.lo = lo;
    plan.hi = hi;
  }
  return plan.toward;
}

/** Of a forward action: the port, VERDICT_LIST where there are several, or a drop. */
export function forwardVerdict(tables: Tables, plan: Plan): number {
  const { actions } = plan;
  const at = forwardList(plan);
  if (actions[at] !== 1) return VERDICT_LIST;
  return isUp(tables, actions[at + 1]) ? actions[at + 1] : NO_DESTINATION;
}

function isUp(tables: Tables, port: number): boolean {
  return tables.outCount[port] > 0 && tables.control[SharedState.portWord(port, PORT_UP)] !== 0;
}

/** Lists frame `i` as its verdict says. */
export function list(tables: Tables, plan: Plan, i: number, verdict: number): void {
  const { laneCounters } = plan;
  if (verdict === VERDICT_LIST) listAll(tables, plan, i);
  else if (verdict === VERDICT_FLOOD) flood(tables, i, plan.port, laneCounters);
  else if (verdict < 0) dropFrame(plan, i, dropCounter(verdict));
  else if (tables.outCount[verdict] > 0) tables.lists[verdict][tables.listCount[verdict]++] = i;
  else {
    (tables.outCounters[verdict] ?? laneCounters)[DROP_LINK_DOWN]++;
    if (plan.bridge !== null && plan.bridge.taps !== null) tapDrop(plan, plan.bridge.taps, i, DROP_LINK_DOWN);
  }
}

/** Lists frame `i` for the ports of a forward action that are up, even the one it came from. */
function listAll(tables: Tables, plan: Plan, i: number): void {
  const { actions, laneCounters } = plan;
  const { listCount, lists } = tables;
  const at = forwardList(plan);
  const end = at + actions[at];
  let copies = -1;
  for (let k = at + 1; k <= end; k++) {
    const out = actions[k];
    if (!isUp(tables, out)) continue;
    lists[out][listCount[out]++] = i;
    copies++;
  }
  if (copies < 0) dropFrame(plan, i, DROP_NO_DESTINATION);
  else laneCounters[COPIES] += copies;
}
