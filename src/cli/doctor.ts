// `ringyard doctor`: what this machine can do, before anything runs.

import type { Command } from "commander";
import type { DoctorReport } from "../control/doctor.ts";
import { addJson } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { print, printJson, table } from "./output.ts";

export function addDoctorCommand(program: Command): void {
  const doctor = program
    .command("doctor")
    .description("what this machine can do: each port kind, why not, and what would enable it")
    .addHelpText("after", "\nExits with 0 where at least one kind of port works, else with 1.");
  addJson(doctor).action(async ({ json }: { json?: boolean }) => {
    const [{ examine }, { kinds }] = await Promise.all([
      import("../control/doctor.ts"),
      import("../control/wiring.ts"),
    ]);
    const report = examine(kinds);
    if (json) printJson(report);
    else print(reportText(report));
    process.exitCode = report.usable ? EXIT.OK : EXIT.FAILED;
  });
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
