// How soon a change of one rule among 10,000 takes effect under load: from the request on the control socket to the first frame that meets
// the rules as they are then. Without a quota, the worker on CPU 0, the client on CPU 1, in two ways:
//
//   full    frames as fast as the switch takes them, all of its threads on CPU 0: whoever compiles shares it with a worker that polls
//   paced   up to a thousand frames each millisecond; the client sleeps in between, and so leaves CPU 1 to the control thread
//
// What a machine with processors to spare does lies between them, next to the second.

import { join, resolve } from "node:path";
import { run } from "../../test/support/process.ts";
import { mixedRules, SEED } from "../mixed-rules.ts";
import { launch, ready, replaceRules } from "../peers/ringyard.ts";
import { scratchFolder, socketsListening } from "../peers/system.ts";
import { median, OURS } from "../stats.ts";
import type { Bar, Context } from "../suite.ts";
import { mortal, Undo } from "../undo.ts";
import { ruleCount } from "./rules-subjects.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LIMIT_MS = 120_000;
const UPDATES = 50;
const UPDATES_SMOKE = 4;

type Pace = "full" | "paced";
const WAYS: readonly { pace: Pace; cpus: string; text: string }[] = [
  { pace: "full", cpus: "0", text: "one CPU, full load" },
  { pace: "paced", cpus: "0,1", text: "paced load" },
];

/** The first change after the list of rules, code being cold: also among those of which the greatest is judged. */
const firstOf = (text: string) => `update of one rule, ${text}, first`;
const medianOf = (text: string) => `update of one rule, ${text}, median`;
const greatestOf = (text: string) => `update of one rule, ${text}, greatest`;

/** What rules-update-entry.ts prints. */
export interface UpdateTimes {
  /** ms to the first frame that met the change, one for each change. */
  readonly toFirstFrame: readonly number[];
  /** ms to the answer. */
  readonly toAnswer: readonly number[];
  /** Millions of frames a second, meanwhile. */
  readonly mpps: number;
}

/** One round. */
export async function measureUpdates(round: number, context: Context): Promise<void> {
  for (const { pace, cpus, text } of WAYS) {
    const undo = new Undo();
    const unwind = context.undo.defer(() => undo.unwind());
    try {
      const { toFirstFrame, toAnswer, mpps } = await updateTimes(pace, cpus, context, undo);
      const report = (subject: string, value: number) =>
        context.sample({ subject, unit: "ms", system: OURS, round, value, readings: toFirstFrame });
      report(firstOf(text), toFirstFrame[0]);
      report(medianOf(text), median(toFirstFrame));
      report(greatestOf(text), Math.max(...toFirstFrame));
      const answers = `answered after ${median(toAnswer).toFixed(1)} ms (median)`;
      context.say(
        `${text}: ${toFirstFrame.length} updates, ${answers}; ${mpps.toFixed(2)} Mpps, none lost or misjudged`,
      );
    } catch (error) {
      context.failed(`updates, ${text}`, error);
    } finally {
      await unwind();
    }
  }
}

async function updateTimes(pace: Pace, cpus: string, context: Context, undo: Undo): Promise<UpdateTimes> {
  const folder = scratchFolder(undo);
  const control = join(folder, "control.sock");
  const sockets = ["0", "1", "2"].map((name) => join(folder, name));
  const ports = Object.fromEntries(sockets.map((socket, index) => [`p${index}`, `vhost-user:${socket}`]));
  const program = launch(ports, "busy", undo, { control, cpus });
  await ready(program);
  await socketsListening(sockets, () => program.output);
  await replaceRules(mixedRules(ruleCount(context), SEED), control, folder);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const count = context.smoke ? UPDATES_SMOKE : UPDATES;
  const entry = [bun, join(ROOT, "bench/suites/rules-update-entry.ts"), control, `${count}`, pace, ...sockets];
  const { stdout } = await run(mortal(["taskset", "-c", "1", ...entry]), { timeoutMs: LIMIT_MS });
  await program.stop();
  return JSON.parse(stdout);
}

export const UPDATE_BARS: readonly Bar[] = WAYS.map(({ text }) => ({
  subject: greatestOf(text),
  of: "max",
  atMost: 50,
}));
