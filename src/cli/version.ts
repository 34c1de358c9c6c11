// `ringyard version`: of this command, and of the switch if one is asked for.

import type { Command } from "commander";
import { VERSION } from "../control/version.ts";
import { addJson } from "./ask.ts";
import { print, printJson } from "./output.ts";

export function addVersionCommand(program: Command): void {
  const version = program.command("version").description("version of ringyard and of Bun");
  addJson(version).action(({ json }: { json?: boolean }) => {
    if (json) printJson({ version: VERSION, bun: Bun.version });
    else print(`ringyard ${VERSION}, bun ${Bun.version}\n`);
  });
}
