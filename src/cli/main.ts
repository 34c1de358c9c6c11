// The command `ringyard`: reads the words and hands them to the file of the command. What a command needs is loaded when
// it runs: `ringyard --help` loads neither the switch nor the schemas.

import { Command, CommanderError } from "commander";
import { VERSION } from "../control/version.ts";
import { escaped } from "../core/quote.ts";
import { addAttachCommands } from "./attach.ts";
import { addBenchCommand } from "./bench.ts";
import { addCaptureCommand } from "./capture.ts";
import { addConfigCommands } from "./config.ts";
import { addDoctorCommand } from "./doctor.ts";
import { addDownCommand } from "./down.ts";
import { EXIT, EXIT_HELP, reportError } from "./exit.ts";
import { addFdbCommands } from "./fdb.ts";
import { addMeterCommands } from "./meter.ts";
import { addMirrorCommands } from "./mirror.ts";
import { addNicCommands } from "./nic.ts";
import { endWithOutput } from "./output.ts";
import { addPortCommands } from "./port.ts";
import { addRuleCommands } from "./rule.ts";
import { addStatsCommand } from "./stats.ts";
import { addTraceCommand } from "./trace.ts";
import { addUpCommand } from "./up.ts";
import { addVersionCommand } from "./version.ts";
import { addVlanCommands } from "./vlan.ts";

export function createProgram(): Command {
  const program = new Command("ringyard")
    .description("a virtual switch in one process: virtio ports for VMs and containers, one copy per frame")
    .version(VERSION)
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(ourForm(text)) })
    .addHelpText("after", EXIT_HELP);
  addUpCommand(program);
  addDownCommand(program);
  addPortCommands(program);
  addAttachCommands(program);
  addVlanCommands(program);
  addFdbCommands(program);
  addMirrorCommands(program);
  addRuleCommands(program);
  addMeterCommands(program);
  addTraceCommand(program);
  addCaptureCommand(program);
  addStatsCommand(program);
  addConfigCommands(program);
  addNicCommands(program);
  addDoctorCommand(program);
  addBenchCommand(program);
  addVersionCommand(program);
  return program;
}

/** Runs a command line; returns its exit code. */
export async function main(words: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(words, { from: "user" });
    return Number(process.exitCode ?? EXIT.OK);
  } catch (error) {
    // Commander has printed its message by now; help and --version come this way too, with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    return reportError(error);
  }
}

/** `error: unknown option '--x'\n(Did you mean --y?)` in the form of all our errors; commander repeats words as they were typed. */
function ourForm(text: string): string {
  const line = text
    .replace(/^error: /, "ringyard: ")
    .replace(/\n$/, "")
    .replace(/\n\(Did (you mean [^\n]*\))$/, " (did $1");
  return `${escaped(line)}\n`;
}

if (import.meta.main) {
  endWithOutput();
  process.exitCode = await main(process.argv.slice(2));
}
