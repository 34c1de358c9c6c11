// HOT
// `forward` where ports have policies (policy.ts), with or without rules.
//
//   fetched burst -> header-arena (private headers) -> flow-runs (frames of one flow in a row)
//     run:    parse (key) -> guards -> decide (rules)
//     frame:  policing -> actions of rules -> VLAN -> learning -> destination, or flood -> lists per port
//   -> egress: tags of the port, delivery
//
// Rules come before the bridge: what they change is what the bridge sees, and what they forward by name goes as it is, past VLANs,
// isolation and flood control. Guards and policing come before rules, and no rule lets a frame past them.

import type { Batch } from "../../mem/batch.ts";
import {
  DROP_BAD_SOURCE,
  DROP_ISOLATED,
  DROP_LINK_DOWN,
  DROP_LOOP,
  DROP_OFFLOAD,
  DROP_OWN_PORT,
  DROP_POLICED,
  DROP_RESERVED,
  DROP_RULE,
  DROP_VLAN,
} from "../../mem/counters.ts";
import { isReserved } from "../classify.ts";
import type { Fallback } from "../fallback.ts";
import { fdbLookup } from "../fdb.ts";
import { applyActions, countAnswer, kindsOf } from "../rules/apply-actions.ts";
import { beginBurst, isBadSource } from "../rules/burst.ts";
import { findRuns } from "../rules/flow-runs.ts";
import { keepForm, slotStart, takeBurst } from "../rules/header-arena.ts";
import { KEY_CLASS, KEY_TYPE } from "../rules/key.ts";
import { beginTurn } from "../rules/meter.ts";
import { reachesHeader } from "../rules/offload-guard.ts";
import { parseKey } from "../rules/parse.ts";
import type { Plan } from "../rules/plan.ts";
import { KIND_ACTS, KIND_DROP, KIND_FLOOD, KIND_FORWARD, KIND_TERMINAL } from "../rules/plan-layout.ts";
import { forwardVerdict, list } from "../rules/plan-verdict.ts";
import { decide } from "../rules/program.ts";
import { PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { dropCounter } from "../verdict.ts";
import type { Bridge } from "./bridge.ts";
import { BUCKET_POLICE } from "./bridge-memory.ts";
import { withinLimit } from "./buckets.ts";
import { dropFrame } from "./drop.ts";
import { sendLists } from "./egress.ts";
import { floodClass, floodFrame } from "./flood.ts";
import { refusedAtEntry } from "./guards.ts";
import { learnSource } from "./learn.ts";
import { takeProbe } from "./loop-guard.ts";
import { mirrorArrivals, mirrorEntered, noteDepartures, noteEntered } from "./mirror.ts";
import { decidePriority } from "./priority.ts";
import { reaches } from "./reach.ts";
import { MAY_CLAIM, noteClaim } from "./suppress.ts";
import { tapArrivals } from "./tap.ts";
import { enterVlan, isMember, VID_NONE } from "./vlans.ts";

/** Forwards the frames of `batch`, which came in on `port`, by the policies of `bridge` and the rules of `plan`. */
export function forwardBridged(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  batch: Batch,
  port: number,
  counters: Float64Array,
): void {
  if (tables.control[SharedState.portWord(port, PORT_UP)] === 0) {
    counters[DROP_LINK_DOWN] += batch.count;
    return;
  }
  const { runs } = plan;
  beginBurst(tables, plan, port, counters);
  bridge.sourceVid = -1;
  bridge.vid = -1;
  beginTurn(bridge.buckets.meters);
  takeBurst(plan.arena);
  const { mirrors, taps } = bridge;
  if (taps !== null) tapArrivals(plan, taps, batch.count);
  if (mirrors !== null) mirrorArrivals(tables, fallback, plan, bridge, mirrors, batch.count);
  findRuns(runs, plan.arena, batch.count);
  tables.longest = 0;
  for (let r = 0; r < runs.count; r++) judgeRun(tables, plan, bridge, r);
  if (mirrors !== null) {
    mirrorEntered(tables, fallback, plan, bridge, mirrors);
    noteDepartures(tables, mirrors);
  }
  sendLists(tables, fallback, plan, bridge);
  if (plan.anyMirrored !== 0) {
    plan.anyMirrored = 0;
    plan.mirrored.fill(0);
  }
}

/** Asks guards and rules about run `r`, and judges its frames. */
function judgeRun(tables: Tables, plan: Plan, bridge: Bridge, r: number): void {
  const { arena, program, runs } = plan;
  const { words } = arena;
  const { key } = program;
  const i = runs.start[r];
  const end = runs.start[r + 1];
  const at = slotStart(i) >> 2;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], plan.port, key);
  let refused = isBadSource(words[at + 1], words[at + 2]) ? DROP_BAD_SOURCE : 0;
  if (refused === 0 && takeProbe(bridge.probes, plan, i)) refused = DROP_LOOP;
  if (refused === 0) refused = refusedAtEntry(bridge.guards, plan, i);
  if (refused !== 0) {
    for (let k = i; k < end; k++) dropFrame(plan, k, refused);
    return;
  }
  if (bridge.queues !== null) decidePriority(bridge.priorities, key, plan.port, i, end);
  plan.classes = key[KEY_CLASS];
  plan.type = key[KEY_TYPE] >>> 16;
  plan.answer = decide(program);
  plan.answers = program.flows;
  plan.kinds = kindsOf(plan);
  for (let k = i; k < end; k++) judgeFrame(tables, plan, bridge, k);
}

function judgeFrame(tables: Tables, plan: Plan, bridge: Bridge, i: number): void {
  const { arena, kinds } = plan;
  const { length, needs } = arena.judged;
  const word = slotStart(i) >> 2;
  const source1 = arena.words[word + 1];
  const source2 = arena.words[word + 2];
  if (!withinLimit(bridge.buckets, plan.port, BUCKET_POLICE, length[i])) {
    dropFrame(plan, i, DROP_POLICED);
    return;
  }
  if (needs[i] !== 0 && reachesHeader(plan, i)) {
    dropFrame(plan, i, DROP_OFFLOAD);
    return;
  }
  if (bridge.keeps) keepForm(arena, i);
  // Of all its forms: it may have a tag less, or more.
  tables.longest = Math.max(tables.longest, length[i]);
  let terminal = kinds & KIND_TERMINAL;
  if ((kinds & KIND_ACTS) === 0 && (bridge.taps === null || !bridge.taps.rules)) countAnswer(plan, 1, length[i]);
  else terminal = applyActions(plan, tables, i);
  tables.longest = Math.max(tables.longest, length[i]);
  if (terminal < 0) {
    dropFrame(plan, i, dropCounter(terminal));
    return;
  }
  if (terminal === KIND_DROP) {
    dropFrame(plan, i, DROP_RULE);
    return;
  }
  const vid = enterVlan(bridge.vlans, plan, i, terminal === KIND_FORWARD);
  if (vid < 0) {
    dropFrame(plan, i, dropCounter(vid));
    return;
  }
  if (bridge.mirrors !== null) noteEntered(plan, bridge.mirrors, i, vid);
  const refused = vid === VID_NONE ? 0 : learnSource(tables, plan, bridge, source1, source2, vid);
  if (refused !== 0) {
    dropFrame(plan, i, refused);
    return;
  }
  if ((plan.classes & MAY_CLAIM) !== 0) noteClaim(tables, plan, bridge, i, vid);
  if (terminal === KIND_FORWARD) list(tables, plan, i, forwardVerdict(tables, plan));
  else sendOn(tables, plan, bridge, i, vid, terminal === KIND_FLOOD);
}

/** Lists frame `i` of VLAN `vid` for where its destination is, or floods it. */
function sendOn(tables: Tables, plan: Plan, bridge: Bridge, i: number, vid: number, always: boolean): void {
  const { arena } = plan;
  const { judged, words } = arena;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  const lo = words[word];
  const hi = words[word + 1] & 0xffff;
  if (isReserved(lo, hi)) {
    dropFrame(plan, i, DROP_RESERVED);
    return;
  }
  if (always || (lo & 1) !== 0) {
    floodFrame(tables, plan, bridge, i, vid, floodClass(lo, hi));
    return;
  }
  if (lo !== bridge.lo || hi !== bridge.hi || vid !== bridge.vid) {
    bridge.toward = fdbLookup(tables.fdb, lo, hi, plan.nowS, vid);
    bridge.lo = lo;
    bridge.hi = hi;
    bridge.vid = vid;
  }
  if (bridge.toward < 0) floodFrame(tables, plan, bridge, i, vid, floodClass(lo, hi));
  else listFor(tables, plan, bridge, i, vid, bridge.toward);
}

/** Lists frame `i` of VLAN `vid` for one port, or counts why it may not go there. */
export function listFor(tables: Tables, plan: Plan, bridge: Bridge, i: number, vid: number, out: number): void {
  if (out === plan.port) dropFrame(plan, i, DROP_OWN_PORT);
  else if (!isMember(bridge.vlans, vid, out)) dropFrame(plan, i, DROP_VLAN);
  else if (!reaches(bridge.reach, plan.port, out)) dropFrame(plan, i, DROP_ISOLATED);
  else list(tables, plan, i, out);
}
