// `ringyard meter list|show|set|del`: token buckets that rules share.

import type { Command } from "commander";
import { listed } from "../control/listed.ts";
import { suggest } from "../control/nearest.ts";
import type { MeterArgs } from "../control/protocol.ts";
import type { MeterInfo } from "../control/rules/rules-api.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted, word } from "../core/quote.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { type Column, print, printJson, table } from "./output.ts";

export function addMeterCommands(program: Command): void {
  const meter = program
    .command("meter")
    .helpCommand(false)
    .description("rate limits by name, for rules that say: meter NAME");
  const list = meter.command("list").description("all meters, and what they dropped");
  addJson(addControl(list)).action((options: AskOptions) => showMeters(options));
  const show = meter.command("show").description("one meter, or all of them").argument("[name]");
  addJson(addControl(show)).action((name: string | undefined, options: AskOptions) =>
    name === undefined ? showMeters(options) : showMeter(name, options),
  );
  addSet(meter);
  const del = meter.command("del").description("remove a meter that no rule uses").argument("<name>");
  addJson(addControl(del)).action((name: string, options: AskOptions) =>
    ask(options, async (client) => {
      const result = await client.request("meter.del", { name });
      if (options.json) printJson(result);
    }),
  );
}

function showMeters(options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const { meters } = await client.request("meter.list", {});
    if (options.json) printJson(meters);
    else print(meterTable(meters));
  });
}

function showMeter(name: string, options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const { meters } = await client.request("meter.list", {});
    const meter = meters.find((each) => each.name === name);
    if (meter === undefined) {
      const names = meters.map((each) => each.name);
      throw new RingyardError("NOT_FOUND", `no meter ${word(name)}`, suggest(name, "meters:", names));
    }
    if (options.json) printJson(meter);
    else print(meterTable([meter]));
  });
}

function addSet(meter: Command): void {
  const set = meter
    .command("set")
    .description("add a meter, or change one while rules use it")
    .argument("<name>", "up to 32 letters, digits, _ . -")
    .argument("<setting...>", "rate=N[k|M|G]bit/s or N[k|M]frames/s, burst=N[k|M|G]bit or N frames")
    .addHelpText(
      "after",
      examples(
        "ringyard meter set uploads rate=100Mbit/s",
        "ringyard meter set pings 'rate=10 frames/s' 'burst=20 frames'",
      ),
    );
  addJson(addControl(set)).action((name: string, words: string[], options: AskOptions) =>
    ask(options, async (client) => {
      const { meter } = await client.request("meter.set", readMeter(name, words));
      if (options.json) printJson(meter);
    }),
  );
}

const SETTINGS = ["rate", "burst"] as const;

/** `rate=… burst=…` as the switch takes it; values are checked there. */
function readMeter(name: string, words: readonly string[]): MeterArgs {
  const meter: Partial<MeterArgs> = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = SETTINGS.find((setting) => setting === word.slice(0, Math.max(0, equals)));
    if (key === undefined) {
      const given = equals < 0 ? word : word.slice(0, equals);
      throw new RingyardError("BAD_OPTION", `unknown setting ${quoted(given)}`, suggest(given, "known:", SETTINGS));
    }
    if (meter[key] !== undefined) throw new RingyardError("BAD_OPTION", `${key} is given twice`, "leave one out");
    meter[key] = word.slice(equals + 1);
  }
  const { rate, burst } = meter;
  if (rate === undefined)
    throw new RingyardError("BAD_OPTION", "a meter needs a rate", "write for example rate=100Mbit/s");
  return { name, rate, ...(burst !== undefined && { burst }) };
}

const LIST: Column[] = [
  { title: "NAME" },
  { title: "RATE", right: true },
  { title: "BURST", right: true },
  { title: "FRAMES", right: true },
  { title: "BYTES", right: true },
  { title: "DROPPED", right: true },
  { title: "RULES" },
];

function meterTable(meters: readonly MeterInfo[]): string {
  const rows = meters.map(({ name, rate, burst, frames, bytes, dropped, rules, users }) => [
    ...[name, rate, burst, frames, bytes, dropped],
    listed(rules, undefined, users) || "-",
  ]);
  return table(LIST, rows);
}
