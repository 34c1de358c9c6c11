// `ringyard bench`: how fast the switch is on this machine, by itself; needs no peer, no privilege and no running switch. The measuring
// is control/speed.ts's, loaded when it runs.

import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import { VERSION } from "../control/version.ts";
import { addJson, examples } from "./ask.ts";
import { speedText } from "./bench-view.ts";
import { print, printJson } from "./output.ts";

interface BenchOptions {
  seconds: number;
  cpu?: number;
  json?: boolean;
}

const MOST_SECONDS = 60;

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= 0.1 && value <= MOST_SECONDS) return value;
  throw new InvalidArgumentError(`expected a decimal number from 0.1 to ${MOST_SECONDS}, such as 0.5`);
}

function cpu(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value < 1024) return value;
  throw new InvalidArgumentError("expected the number of a processor");
}

export function addBenchCommand(program: Command): void {
  const bench = program
    .command("bench")
    .description("how fast the switch is on this machine: what a frame costs a worker, and how long it takes")
    .option("--seconds <count>", "of each measurement", seconds, 2)
    .option("--cpu <number>", "processor for the worker (default: not pinned)", cpu)
    .addHelpText(
      "after",
      "\nFrames go between two memory ports of a switch of its own. Other work on the machine makes it slower.\n" +
        "FRAMES/S and GBIT/S are what a frame's cost leaves room for: the drivers' time is not in them.",
    )
    .addHelpText("after", examples("ringyard bench", "ringyard bench --cpu 2 --seconds 5", "ringyard bench --json"));
  addJson(bench).action(async (options: BenchOptions) => {
    const [{ measureSpeed }, { checkCpus }] = await Promise.all([
      import("../control/speed.ts"),
      import("../control/host.ts"),
    ]);
    if (options.cpu !== undefined) checkCpus([options.cpu], "--cpu");
    const progress = (what: string, n: number, of: number) => process.stderr.write(`${n} of ${of}: ${what}\n`);
    const speed = await measureSpeed({ ...options, progress });
    if (options.json) printJson({ version: VERSION, bun: Bun.version, cpus: availableParallelism(), ...speed });
    else print(speedText(speed));
  });
}
