// `ringyard up`: the switch itself, in the foreground, until SIGTERM or SIGINT.

import { type Command, Option } from "commander";
import type { LogLevel } from "../control/log.ts";
import { addControl, examples } from "./ask.ts";

export interface UpOptions {
  config?: string;
  port?: string[];
  cpus?: string;
  poll?: "adaptive" | "busy" | "interrupt";
  control?: string;
  logLevel: LogLevel;
}

export function addUpCommand(program: Command): void {
  const collect = (word: string, words: string[] = []) => [...words, word];
  const up = program
    .command("up")
    .description("run the switch, in the foreground")
    .option("-c, --config <file>", "configuration, read again on SIGHUP")
    .option("--port <name=uri>", "a port beside those of the file, or in place of one (repeat for more)", collect)
    .option("--cpus <list>", "one worker on each of these CPUs, such as 0-1,4 (default: one worker, not pinned)")
    .addOption(
      new Option("--poll <mode>", "how workers wait (default: adaptive)").choices(["adaptive", "busy", "interrupt"]),
    )
    .addOption(
      new Option("--log-level <level>", "the least that is logged")
        .choices(["debug", "info", "warn", "error", "silent"])
        .default("info"),
    )
    .addHelpText(
      "after",
      examples(
        "ringyard up --port vm1=vhost-user:/run/vm1.sock --port web='tap:web?netns=blue'",
        "ringyard up -c /etc/ringyard.toml --cpus 2-3",
      ).concat(
        "\n\nSIGHUP reads the file again and changes what differs; SIGTERM and SIGINT end the switch, as ringyard down does; twice, at once.",
      ),
    );
  addControl(up).action(async (options: UpOptions) => {
    const [{ createSwitch }, { kinds }, { runUp }] = await Promise.all([
      import("../control/switch.ts"),
      import("../control/wiring.ts"),
      import("./up-run.ts"),
    ]);
    await runUp(options, { createSwitch, kinds });
  });
}
