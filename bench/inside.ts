// Suites that measure inside a virtual machine: their half on the host boots it, and reads what their half inside prints.
//
//   host: runInside() ---boots---> machine: bun bench/suites/NAME-inside.ts ---one JSON object a line---> samples of the host's

import { bootVm, type VmOptions } from "../scripts/vm/machine.ts";
import type { Context, Sample } from "./suite.ts";
import { Undo } from "./undo.ts";

/** What the half inside prints. */
export type Line = { sample: Sample } | { failed: [what: string, message: string] } | { say: string };

/** For one round of everything, with patience for a busy host. */
const ROUND_LIMIT_S = 900;

const SMOKE = "smoke";

/** Prints a line, inside. */
export function print(line: Line): void {
  console.log(JSON.stringify(line));
}

/** Runs a step with an Undo of its own; its failure is told and does not stop the others. Inside. */
export async function scoped(all: Undo, what: string, body: (undo: Undo) => Promise<void>): Promise<void> {
  const undo = new Undo();
  const unwind = all.defer(() => undo.unwind());
  try {
    await body(undo);
  } catch (error) {
    print({ failed: [what, error instanceof Error ? error.message : String(error)] });
  } finally {
    await unwind();
  }
}

/** Calls `take` with each whole line. */
function byLine(take: (line: string) => void): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) take(line);
  };
}

/** What `runInside` was asked for. Inside. */
export function asked(): { rounds: number; seconds: number; systems: string[]; smoke: boolean } {
  const [rounds, seconds, systems, scale] = process.argv.slice(2);
  return { rounds: Number(rounds), seconds: Number(seconds), systems: systems.split(","), smoke: scale === SMOKE };
}

/** Boots a machine and runs `program` in it with rounds, seconds, systems and scale as its words. */
export async function runInside(
  context: Context,
  machine: VmOptions,
  program: string,
  systems: readonly string[],
): Promise<void> {
  const vm = await bootVm({ ...machine, say: context.say });
  const close = context.undo.defer(() => vm.close());
  const take = byLine((text) => {
    if (!text.startsWith("{")) return context.say(text);
    const line: Line = JSON.parse(text);
    if ("sample" in line) context.sample(line.sample);
    else if ("failed" in line) context.failed(...line.failed);
    else context.say(line.say);
  });
  const scale = context.smoke ? SMOKE : "whole";
  const words = ["bun", program, `${context.rounds}`, `${context.seconds}`, systems.join(), scale];
  const { code } = await vm.run(words, {
    seconds: context.rounds * ROUND_LIMIT_S,
    stdout: take,
    stderr: byLine(context.say),
  });
  if (code !== 0) context.failed("the rounds", `ended with ${code}`);
  for (const complaint of await vm.complaints()) context.failed("the kernel", complaint);
  await close();
}
