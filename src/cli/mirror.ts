// `ringyard mirror list|add|del`: copies of what passes some ports or VLANs, for one port.

import type { Command } from "commander";
import type { PolicyWords } from "../control/policy/policy-words.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { type Column, print, printJson, table } from "./output.ts";
import { readSettingWords } from "./settings.ts";

export function addMirrorCommands(program: Command): void {
  const mirror = program
    .command("mirror")
    .helpCommand(false)
    .description("copies of what passes some ports or VLANs, for one port");
  const list = mirror.command("list").description("all mirrors");
  addJson(addControl(list)).action((options: AskOptions) => showMirrors(options));
  const add = mirror
    .command("add")
    .description("add a mirror")
    .argument("<name>", "up to 32 letters, digits, _ . -")
    .argument("<setting...>", "ports=NAME[:in|:out],..., vlans=ID[:in|:out],..., to=NAME, truncate=BYTES")
    .addHelpText(
      "after",
      examples(
        "ringyard mirror add m1 ports=vm1,vm2:in to=probe",
        "ringyard mirror add m2 vlans=10 to=probe truncate=128",
      ),
    );
  addJson(addControl(add)).action(async (name: string, words: string[], options: AskOptions) => {
    const { MIRROR_KEYS } = await import("../control/policy/mirror-policy.ts");
    const settings = readSettingWords(words, MIRROR_KEYS);
    await ask(options, async (client) => {
      const result = await client.request("mirror.add", { name, settings });
      if (options.json) printJson(result);
    });
  });
  const del = mirror.command("del").description("remove a mirror").argument("<name>");
  addJson(addControl(del)).action((name: string, options: AskOptions) =>
    ask(options, async (client) => {
      const result = await client.request("mirror.del", { name });
      if (options.json) printJson(result);
    }),
  );
}

/** A mirror as it is printed: what was said of it, and whether it works. */
type Listed = { name: string; inactive?: string } & PolicyWords;

function showMirrors(options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const { joinSaid } = await import("../control/policy/policy-words.ts");
    const { mirrors, settings } = await client.request("mirror.list", {});
    const said = joinSaid(settings);
    const listed = mirrors.map(({ name, ...state }): Listed => ({ name, ...said.get(name), ...state }));
    if (options.json) printJson(listed);
    else print(mirrorTable(listed));
  });
}

const LIST: Column[] = [
  { title: "NAME" },
  { title: "PORTS" },
  { title: "VLANS" },
  { title: "TO" },
  { title: "BYTES", right: true },
  { title: "STATE" },
];

function mirrorTable(mirrors: readonly Listed[]): string {
  const rows = mirrors.map(({ name, ports = [], vlans = [], to, truncate = "all", inactive }) => [
    ...[name, listText(ports), listText(vlans), String(to), String(truncate)],
    inactive === undefined ? "active" : `waits: ${inactive}`,
  ]);
  return table(LIST, rows);
}

function listText(value: PolicyWords[string]): string {
  return Array.isArray(value) ? value.join(", ") || "-" : String(value);
}
