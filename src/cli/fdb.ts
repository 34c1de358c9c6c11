// `ringyard fdb show|add|del|flush`: the table of MAC addresses.

import type { Command } from "commander";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { VID_MAX } from "../dataplane/bridge/policy.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { fdbTable } from "./fdb-view.ts";
import { print, printJson } from "./output.ts";

interface VlanOptions extends AskOptions {
  vlan?: string;
}

interface PortOptions extends VlanOptions {
  port?: string;
}

export function addFdbCommands(program: Command): void {
  const fdb = program
    .command("fdb")
    .helpCommand(false)
    .description("the MAC table: which address is behind which port");
  const show = fdb.command("show").description("known addresses").option("--port <name>", "of one port only");
  show.option("--vlan <id>", "of one VLAN only");
  addJson(addControl(show)).action((options: PortOptions) => showFdb(options));
  const add = fdb
    .command("add")
    .description("pin an address to a port; it does not age")
    .argument("<mac>")
    .argument("<port>")
    .option("--vlan <id>", "in this VLAN (that of the port's untagged frames)")
    .addHelpText(
      "after",
      examples("ringyard fdb add 02:00:00:00:00:01 web", "ringyard fdb add 02:00:00:00:00:01 uplink --vlan 10"),
    );
  addJson(addControl(add)).action((mac: string, port: string, options: VlanOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.add", { mac, port, ...vlanOf(options) });
      if (options.json) printJson(result);
    }),
  );
  const del = fdb.command("del").description("forget one address").argument("<mac>");
  del.option("--vlan <id>", "in this VLAN only (wherever it is)");
  addJson(addControl(del)).action((mac: string, options: VlanOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.del", { mac, ...vlanOf(options) });
      if (options.json) printJson(result);
    }),
  );
  const flush = fdb
    .command("flush")
    .description("forget learned addresses; pinned ones stay")
    .option("--port <name>", "of one port only")
    .option("--vlan <id>", "of one VLAN only");
  addJson(addControl(flush)).action((options: PortOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.flush", { ...portOf(options), ...vlanOf(options) });
      if (options.json) printJson(result);
      else print(`${result.flushed} forgotten\n`);
    }),
  );
}

function showFdb(options: PortOptions): Promise<void> {
  return ask(options, async (client) => {
    const fdb = await client.request("fdb.show", { ...portOf(options), ...vlanOf(options) });
    if (options.json) printJson(fdb);
    else print(fdbTable(fdb));
  });
}

function portOf({ port }: PortOptions): { port?: string } {
  return port === undefined ? {} : { port };
}

function vlanOf({ vlan }: VlanOptions): { vlan?: number } {
  if (vlan === undefined) return {};
  const id = /^[1-9]\d{0,3}$/.test(vlan) ? Number(vlan) : Number.NaN;
  if (id <= VID_MAX) return { vlan: id };
  throw new RingyardError("BAD_OPTION", `--vlan: expected the id of a VLAN, 1 to ${VID_MAX}, found ${quoted(vlan)}`);
}
