// `ringyard doctor`: what this machine can do, before anything runs.

import type { Command } from "commander";
import type { DoctorReport } from "../control/doctor.ts";
import type { HostFact } from "../control/host.ts";
import { defaultControlPath } from "../control/paths.ts";
import { errorLine } from "../core/errors.ts";
import { type AskOptions, addControl, addJson, ask } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { print, printJson, table } from "./output.ts";

export function addDoctorCommand(program: Command): void {
  const doctor = program
    .command("doctor")
    .description("what this machine can do: each port kind, why not, and what would enable it")
    .addHelpText("after", "\nExits with 0 where at least one kind of port works, else with 1.");
  addJson(addControl(doctor)).action(async (options: AskOptions) => {
    const [{ examine }, { kinds }] = await Promise.all([
      import("../control/doctor.ts"),
      import("../control/wiring.ts"),
    ]);
    const report = examine(kinds);
    report.host.push(await switchFact(options));
    if (options.json) printJson(report);
    else print(reportText(report));
    process.exitCode = report.usable ? EXIT.OK : EXIT.FAILED;
  });
}

/** Whether a switch runs already; that none does is fine. */
async function switchFact(options: AskOptions): Promise<HostFact> {
  const name = "switch";
  try {
    const { version, pid } = await ask(options, (client) => client.request("version", {}));
    const path = options.control ?? defaultControlPath();
    return { name, ok: true, value: `ringyard ${version} runs at ${path}, process ${pid}` };
  } catch (error) {
    return { name, ok: true, value: errorLine(error) };
  }
}

export function reportText({ host, kinds }: DoctorReport): string {
  const word = (ok: boolean) => (ok ? "ok" : "no");
  const machine = host.map(({ name, ok, value, next }) => [
    name,
    word(ok),
    next === undefined ? value : `${value}; try: ${next}`,
  ]);
  const ports = kinds.map(({ kind, available, summary, reason, next }) => {
    const why = [reason, next === undefined ? undefined : `try: ${next}`]
      .filter((part) => part !== undefined)
      .join("; ");
    return [kind, word(available), why === "" ? summary : `${summary} (${why})`];
  });
  const columns = (title: string) => [{ title }, { title: "OK" }, { title: "NOTE" }];
  return `${table(columns("MACHINE"), machine)}\n${table(columns("PORT KIND"), ports)}`;
}
