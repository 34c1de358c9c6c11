// What 10,000 rules of mixed shapes (mixed-rules.ts) cost, and how soon a change of one of them takes effect. Three parts:
//
//   peers    two vhost-user ports under the quota, a client on CPU 1:  warm flows, under DPDK's driver: 256 flows circle
//                                                                      all new flows, under a driver of our own
//            ringyard with the rules, with a hundred like them and without, OVS-DPDK with the same as OpenFlow flows
//   worker   one worker alone, nanoseconds a frame by stages (rules-cost.ts)
//   update   one rule added or removed under load, until the first frame that meets it (rules-update.ts)
//
// The bars are times of a frame: 1.3 times that of none is 1 / 1.3 of its frames per second.

import { reserveHugepages } from "../../scripts/hugepages.ts";
import { mixedRules, SEED } from "../mixed-rules.ts";
import { DpdkClient, MANY_FLOWS } from "../peers/dpdk-client.ts";
import { FlowClient } from "../peers/flow-client.ts";
import { ovsDpdk, ovsDpdkWith } from "../peers/ovs-dpdk.ts";
import { ringyard, ringyardWith } from "../peers/ringyard.ts";
import type { System } from "../peers/system.ts";
import { median, OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { type Attach, throughput } from "../throughput.ts";
import { COST_BARS, COST_SYSTEMS, measureCost } from "./rules-cost.ts";
import { FEW_RULES, HUNDRED, NO_RULES, ruleCount } from "./rules-subjects.ts";
import { measureUpdates, UPDATE_BARS } from "./rules-update.ts";

const OVS_HUNDRED = `${ovsDpdk.name}-100-rules`;
const OVS_NO_RULES = `${ovsDpdk.name}-no-rules`;
const OVS_SYSTEMS = [ovsDpdk.name, OVS_HUNDRED, OVS_NO_RULES];
export const RULES_SYSTEM_NAMES = [...new Set([OURS, HUNDRED, NO_RULES, ...OVS_SYSTEMS, ...COST_SYSTEMS])];

const SIZES = [64, 1500];
const WARM = "warm flows";
const NEW = "all new flows";
const subjectOf = (size: number, traffic: string) => `${size} B, ${traffic}`;

function systemsOf(context: Context): System[] {
  const rules = mixedRules(ruleCount(context), SEED);
  const few = mixedRules(FEW_RULES, SEED);
  const all: System[] = [
    ringyardWith(OURS, rules),
    ringyardWith(HUNDRED, few),
    { ...ringyard, name: NO_RULES },
    ovsDpdkWith(ovsDpdk.name, rules),
    ovsDpdkWith(OVS_HUNDRED, few),
    { ...ovsDpdk, name: OVS_NO_RULES },
  ];
  return all.filter(({ name }) => context.systems.includes(name));
}

/**
 * Seconds. With 10,000 rules the engine's compilers take 0.7 s of processor time for the search that new flows run, of a switch that has 40 %
 * of one.
 */
const NEW_WARM_UP = 6;
const NEW_WARM_UP_SMOKE = 2;

async function measurePeers(round: number, size: number, context: Context): Promise<void> {
  const systems = systemsOf(context);
  const warmUp = context.smoke ? NEW_WARM_UP_SMOKE : NEW_WARM_UP;
  const clients: [traffic: string, attachTo: (system: System) => Attach][] = [
    [WARM, () => (sockets, undo) => DpdkClient.attach(sockets, size, undo, MANY_FLOWS)],
    [
      NEW,
      ({ name }) =>
        (sockets, undo) =>
          FlowClient.attach(sockets, size, undo, { ordered: name.startsWith(OURS), warmUp }),
    ],
  ];
  for (const [traffic, attachTo] of clients) {
    const subject = subjectOf(size, traffic);
    for (let turn = 0; turn < systems.length; turn++) {
      const system = systems[(round + turn) % systems.length];
      try {
        const readings = await throughput(system, attachTo(system), context);
        context.sample({ subject, unit: "Mpps", system: system.name, round, value: median(readings), readings });
      } catch (error) {
        context.failed(`${system.name}, ${subject}`, error);
      }
    }
  }
}

async function run(context: Context): Promise<void> {
  for (let round = 0; round < context.rounds; round++) {
    const restore = context.undo.defer(reserveHugepages());
    for (const size of context.sizes ?? SIZES) await measurePeers(round, size, context);
    await restore();
    await measureCost(round, context);
    if (context.systems.includes(OURS)) await measureUpdates(round, context);
  }
}

export const rules: Suite = {
  name: "rules",
  about: "10,000 rules against none, beside OVS-DPDK with the same; how soon a change takes effect",
  bars: [
    { subject: subjectOf(64, WARM), against: NO_RULES, atLeast: 1 / 1.3 },
    { subject: subjectOf(64, NEW), against: NO_RULES, atLeast: 1 / 3 },
    ...COST_BARS,
    ...UPDATE_BARS,
  ],
  notes: [
    "One worker's nanoseconds are the least reading of each round: what the code takes while nobody else has a part of the processor.",
  ],
  run,
};
