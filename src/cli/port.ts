// `ringyard port list|show|add|del|set`.

import type { Command } from "commander";
import type { PortInfo } from "../control/api.ts";
import type { ControlClient } from "../control/client.ts";
import type { PolicyWord, PolicyWords } from "../control/policy/policy-words.ts";
import type { Operations } from "../control/protocol.ts";
import { RingyardError } from "../core/errors.ts";
import { phrase, quoted } from "../core/quote.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { portDetails, portTable } from "./port-view.ts";
import { readSettingWords } from "./settings.ts";

interface AddOptions extends AskOptions {
  link?: "up" | "down";
  macLimit?: number;
}

const POLICY = "vlan=ID, trunk=IDS, isolated=true and more: docs/SWITCHING.md has them all";

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
      const { port, policy } = await portAndPolicy(client, name);
      if (options.json) printJson({ ...port, policy });
      else print(portDetails(port, policy));
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

async function portAndPolicy(client: ControlClient, name: string): Promise<{ port: PortInfo; policy: PolicyWords }> {
  const { joinPieces } = await import("../control/policy/policy-words.ts");
  const { port } = await client.request("port.show", { name });
  const { settings } = await client.request("port.policy", { name });
  return { port, policy: joinPieces(settings) };
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
        "ringyard port add db vhost-user:/run/db.sock vlan=20 isolated=true",
      ),
    )
    .argument("[setting...]", `link=up|down, mac-limit=N, ${POLICY}`);
  addJson(addControl(add)).action((name: string, uri: string, words: string[], options: AddOptions) =>
    ask(options, async (client) => {
      const { mtu, macLimit, ...settings } = await readSettings(words);
      if (typeof mtu === "number") {
        const written = `${phrase(uri)}${uri.includes("?") ? "&" : "?"}mtu=${mtu}`;
        throw new RingyardError("BAD_OPTION", "mtu is part of the uri", `write '${written}'`);
      }
      await client.request("port.add", {
        ...{ name, uri, ...settings },
        ...(typeof macLimit === "number" ? { macLimit } : {}),
      });
      await printChanged(client, name, options);
    }),
  );
}

function addSet(port: Command): void {
  const set = port
    .command("set")
    .description("change a port while it runs")
    .argument("<name>")
    .argument("<setting...>", `link=up|down, mtu=N, mac-limit=N, ${POLICY}`)
    .addHelpText(
      "after",
      examples(
        "ringyard port set web link=down",
        "ringyard port set vm1 mtu=9000 mac-limit=16",
        "ringyard port set vm1 vlan=20 isolated=true storm-broadcast='1000 frames/s'",
        "ringyard port set up1 trunk=10,20-30 native=10",
        "ringyard port set vm1 isolated= police=none",
      ).concat("\n\nAll of these or none. KEY= takes a setting back to its default."),
    );
  addJson(addControl(set)).action((name: string, words: string[], options: AskOptions) =>
    ask(options, async (client) => {
      await client.request("port.set", { name, ...(await readSettings(words)) });
      await printChanged(client, name, options);
    }),
  );
}

async function printChanged(client: ControlClient, name: string, { json }: AskOptions): Promise<void> {
  if (!json) return;
  const { port, policy } = await portAndPolicy(client, name);
  printJson({ ...port, policy });
}

type Settings = Omit<Operations["port.set"]["args"], "name">;

/** Besides what is a port's policy. */
const RUNNING = ["link", "mtu", "mac-limit"];

/** `link=down mac-limit=9 vlan=20` as the switch takes it; ranges are checked there. An empty value, or `none`, is the default. */
export async function readSettings(words: readonly string[]): Promise<Settings> {
  const { PORT_POLICY_KEYS } = await import("../control/policy/port-policy.ts");
  const policy: PolicyWord[] = [];
  const changes: Settings = {};
  for (const setting of readSettingWords(words, [...RUNNING, ...PORT_POLICY_KEYS])) {
    const { key } = setting;
    const value = String(setting.value);
    const isNothing = value === "" || value === "none";
    if (!RUNNING.includes(key)) policy.push(setting);
    else if (key === "link") changes.link = isNothing ? "up" : readLink(value);
    else if (isNothing) changes[key === "mtu" ? "mtu" : "macLimit"] = null;
    else if (!/^\d{1,10}$/.test(value))
      throw new RingyardError("BAD_OPTION", `${key}: expected a number, found ${quoted(value)}`);
    else changes[key === "mtu" ? "mtu" : "macLimit"] = Number(value);
  }
  return policy.length === 0 ? changes : { ...changes, policy };
}

function readLink(value: string): "up" | "down" {
  if (value === "up" || value === "down") return value;
  throw new RingyardError("BAD_OPTION", `link: expected up or down, found ${quoted(value)}`);
}
