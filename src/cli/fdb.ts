// `ringyard fdb show|add|del|flush`: the table of MAC addresses.

import type { Command } from "commander";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { fdbTable } from "./fdb-view.ts";
import { print, printJson } from "./output.ts";

interface PortOptions extends AskOptions {
  port?: string;
}

export function addFdbCommands(program: Command): void {
  const fdb = program
    .command("fdb")
    .helpCommand(false)
    .description("the MAC table: which address is behind which port");
  const show = fdb.command("show").description("known addresses").option("--port <name>", "of one port only");
  addJson(addControl(show)).action((options: PortOptions) => showFdb(options));
  const add = fdb
    .command("add")
    .description("pin an address to a port; it does not age")
    .argument("<mac>")
    .argument("<port>")
    .addHelpText("after", examples("ringyard fdb add 02:00:00:00:00:01 web"));
  addJson(addControl(add)).action((mac: string, port: string, options: AskOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.add", { mac, port });
      if (options.json) printJson(result);
    }),
  );
  const del = fdb.command("del").description("forget one address").argument("<mac>");
  addJson(addControl(del)).action((mac: string, options: AskOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.del", { mac });
      if (options.json) printJson(result);
    }),
  );
  const flush = fdb
    .command("flush")
    .description("forget learned addresses; pinned ones stay")
    .option("--port <name>", "of one port only");
  addJson(addControl(flush)).action(({ port, ...options }: PortOptions) =>
    ask(options, async (client) => {
      const result = await client.request("fdb.flush", port === undefined ? {} : { port });
      if (options.json) printJson(result);
      else print(`${result.flushed} forgotten\n`);
    }),
  );
}

function showFdb({ port, ...options }: PortOptions): Promise<void> {
  return ask(options, async (client) => {
    const fdb = await client.request("fdb.show", port === undefined ? {} : { port });
    if (options.json) printJson(fdb);
    else print(fdbTable(fdb));
  });
}
