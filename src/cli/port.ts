// `ringyard port list|show|add|del|set`.

import type { Command } from "commander";
import type { PortChanges, PortInfo } from "../control/api.ts";
import { suggest } from "../control/nearest.ts";
import { quoted } from "../control/quote.ts";
import { RingyardError } from "../core/errors.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { portDetails, portTable } from "./port-view.ts";

interface AddOptions extends AskOptions {
  link?: "up" | "down";
  macLimit?: number;
}

export function addPortCommands(program: Command): void {
  const port = program.command("port").helpCommand(false).description("list, show, add, remove and change ports");
  const list = port.command("list").description("all ports in a table");
  addJson(addControl(list)).action((options: AskOptions) =>
    ask(options, async (client) => {
      const { ports } = await client.request("port.list", {});
      if (options.json) printJson(ports);
      else print(portTable(ports));
    }),
  );
  const show = port.command("show").description("everything about one port").argument("<name>");
  addJson(addControl(show)).action((name: string, options: AskOptions) =>
    ask(options, async (client) => {
      const { port } = await client.request("port.show", { name });
      if (options.json) printJson(port);
      else print(portDetails(port));
    }),
  );
  addAdd(port);
  const del = port.command("del").description("remove a port").argument("<name>");
  addJson(addControl(del)).action((name: string, options: AskOptions) =>
    ask(options, async (client) => {
      const result = await client.request("port.del", { name });
      if (options.json) printJson(result);
    }),
  );
  addSet(port);
}

function addAdd(port: Command): void {
  const add = port
    .command("add")
    .description("add a port")
    .argument("<name>", "up to 32 letters, digits, _ . -")
    .argument("<uri>", "KIND:TARGET[?OPTION=VALUE&...]; ringyard doctor lists the kinds")
    .addHelpText(
      "after",
      examples(
        "ringyard port add vm1 vhost-user:/run/vm1.sock",
        "ringyard port add web 'tap:web?netns=blue&mtu=1500'",
        "ringyard port add spare null: link=down mac-limit=16",
      ),
    )
    .argument("[setting...]", "link=up|down, mac-limit=N");
  addJson(addControl(add)).action((name: string, uri: string, words: string[], options: AddOptions) =>
    ask(options, async (client) => {
      const { mtu, ...settings } = readSettings(words);
      if (mtu !== undefined)
        throw new RingyardError("BAD_OPTION", "mtu is part of the uri", `write '${uri}?mtu=${mtu}'`);
      const { port } = await client.request("port.add", { name, uri, ...settings });
      printChanged(port, options);
    }),
  );
}

function addSet(port: Command): void {
  const set = port
    .command("set")
    .description("change a port while it runs")
    .argument("<name>")
    .argument("<setting...>", "link=up|down, mtu=N, mac-limit=N")
    .addHelpText("after", examples("ringyard port set web link=down", "ringyard port set vm1 mtu=9000 mac-limit=16"));
  addJson(addControl(set)).action((name: string, words: string[], options: AskOptions) =>
    ask(options, async (client) => {
      const { port } = await client.request("port.set", { name, ...readSettings(words) });
      printChanged(port, options);
    }),
  );
}

function printChanged(port: PortInfo, { json }: AskOptions): void {
  if (json) printJson(port);
}

const SETTINGS = ["link", "mtu", "mac-limit"];

/** `link=down mtu=9000` as the switch takes it; ranges are checked there. */
export function readSettings(words: readonly string[]): PortChanges {
  const changes: PortChanges = {};
  for (const word of words) {
    const [key, value] = word.split("=", 2);
    if (!SETTINGS.includes(key))
      throw new RingyardError("BAD_OPTION", `unknown setting ${quoted(key)}`, suggest(key, "known:", SETTINGS));
    if (value === undefined) throw new RingyardError("BAD_OPTION", `setting ${key} has no value`, `write ${key}=VALUE`);
    if (key === "link") {
      if (value !== "up" && value !== "down")
        throw new RingyardError("BAD_OPTION", `link: expected up or down, found ${quoted(value)}`);
      changes.link = value;
      continue;
    }
    if (!/^\d{1,10}$/.test(value))
      throw new RingyardError("BAD_OPTION", `${key}: expected a number, found ${quoted(value)}`);
    changes[key === "mtu" ? "mtu" : "macLimit"] = Number(value);
  }
  return changes;
}
