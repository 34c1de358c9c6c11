// The part of the NIC suite that runs inside the virtual machine: the rounds.
//
//   bun bench/suites/nic-inside.ts ROUNDS SECONDS SYSTEM,SYSTEM… whole|smoke

import { asked, print, scoped } from "../inside.ts";
import { nicBusy, nicRingyard } from "../peers/nic-ringyard.ts";
import { ends, NIC_MODELS, type NicModel, type NicSystem } from "../peers/nic-system.ts";
import { nicTestpmd } from "../peers/nic-testpmd.ts";
import { Undo } from "../undo.ts";
import { FRAME_SIZES, framesOf, pingOf } from "./nic-subjects.ts";
import { frames, reach, roundTrips } from "./vduse-traffic.ts";

const SYSTEMS: readonly NicSystem[] = [nicRingyard, nicBusy, nicTestpmd];

async function measure(system: NicSystem, model: NicModel, round: number, seconds: number, undo: Undo): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    print({ sample: { subject, unit, system: system.name, round, value } });
  const { pair, hosts } = await ends(model, undo);
  const stop = await system.start(
    pair.map(({ address }) => address),
    undo,
  );
  const [a, b] = hosts;
  await reach(a, b);
  // What compiles while it runs does so before it counts.
  await frames(a, b, seconds, undo);
  for (const size of FRAME_SIZES) {
    report(framesOf(model, size), "thousands/s", await frames(a, b, seconds, undo, size));
  }
  report(pingOf(model), "ms", (await roundTrips(a, b)).median);
  await stop();
}

const { rounds, seconds, systems: wanted } = asked();
const systems = SYSTEMS.filter(({ name }) => wanted.includes(name));
const undo = new Undo();
undo.trapSignals();
for (let round = 0; round < rounds; round++) {
  for (const model of NIC_MODELS) {
    for (let turn = 0; turn < systems.length; turn++) {
      const system = systems[(round + turn) % systems.length];
      await scoped(undo, `${system.name}, ${model}`, (own) => measure(system, model, round, seconds, own));
    }
  }
}
await undo.unwind();
process.exit(0);
