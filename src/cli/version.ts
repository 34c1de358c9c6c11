// `ringyard version`: of this command and, with --control, of a running switch, which may be older.

import type { Command } from "commander";
import { VERSION } from "../control/version.ts";
import { type AskOptions, addControl, addJson, ask } from "./ask.ts";
import { print, printJson } from "./output.ts";

export function addVersionCommand(program: Command): void {
  const version = program
    .command("version")
    .description("version of ringyard and of Bun; with --control, of the switch that runs there");
  addJson(addControl(version)).action(async (options: AskOptions) => {
    const running =
      options.control === undefined ? undefined : await ask(options, (client) => client.request("version", {}));
    if (options.json) return printJson({ version: VERSION, bun: Bun.version, running });
    print(`ringyard ${VERSION}, bun ${Bun.version}\n`);
    if (running !== undefined) print(`running: ringyard ${running.version}, process ${running.pid}\n`);
  });
}
