// `ringyard config check|show`.

import type { Command } from "commander";
import type { Config } from "../control/config.ts";
import type { Kinds } from "../control/uri.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";

interface ShowOptions extends AskOptions {
  config?: string;
}

export function addConfigCommands(program: Command): void {
  const collect = (word: string, words: string[] = []) => [...words, word];
  const config = program
    .command("config")
    .helpCommand(false)
    .description("check a configuration file, show the running one");
  const check = config
    .command("check")
    .description("say ok, or every mistake with its line")
    .argument("[file]", "the file to read", "ringyard.toml")
    .option("--port <name=uri>", "a port that ringyard up is given beside those of the file (repeat for more)", collect)
    .addHelpText(
      "after",
      examples("ringyard config check /etc/ringyard.toml", "ringyard config check --port web=tap:web ringyard.toml"),
    );
  // Taken as everywhere, so that scripts can pass it to all commands; no switch is asked.
  addControl(check).action(async (file: string, { port }: { port?: string[] }) => {
    const [{ checkWhole }, { readWords }] = await Promise.all([
      import("../control/config-check.ts"),
      import("./up-run.ts"),
    ]);
    await checkWhole(await readFile(file, (kinds) => readWords({ port }, kinds)));
    print("ok\n");
  });
  const show = config
    .command("show")
    .description("the configuration of the running switch, as TOML")
    .option("-c, --config <file>", "that of a file instead, with defaults filled in")
    .addHelpText(
      "after",
      examples("ringyard config show > ringyard.toml", "ringyard config show -c ringyard.toml --json"),
    );
  addJson(addControl(show)).action(async ({ config, ...options }: ShowOptions) => {
    const { configData, configToml, joinConfig } = await import("../control/config-show.ts");
    const data =
      config === undefined
        ? joinConfig(await ask(options, (client) => client.request("config.show", {})))
        : configData(await readFile(config));
    if (options.json) printJson(data);
    else print(configToml(data));
  });
}

/** The configuration of a file, with what a command line lays over it. */
async function readFile(file: string, over?: (kinds: Kinds) => Config): Promise<Config> {
  const [{ loadConfig, overlay }, { kinds }] = await Promise.all([
    import("../control/config.ts"),
    import("../control/wiring.ts"),
  ]);
  const config = await loadConfig(file, kinds);
  return over === undefined ? config : overlay(config, over(kinds));
}
