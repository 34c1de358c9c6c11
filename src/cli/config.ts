// `ringyard config check|show`.

import type { Command } from "commander";
import type { Config } from "../control/config.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";

interface ShowOptions extends AskOptions {
  config?: string;
}

export function addConfigCommands(program: Command): void {
  const config = program
    .command("config")
    .helpCommand(false)
    .description("check a configuration file, show the running one");
  const check = config
    .command("check")
    .description("say ok, or every mistake with its line")
    .argument("[file]", "the file to read", "ringyard.toml")
    .addHelpText("after", examples("ringyard config check /etc/ringyard.toml"));
  // Taken as everywhere, so that scripts can pass it to all commands; no switch is asked.
  addControl(check).action(async (file: string) => {
    const [{ checkNames }, config] = await Promise.all([import("../control/config.ts"), readFile(file)]);
    checkNames(config, config.ports.keys(), config.meters.keys());
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
    const { configData, configToml } = await import("../control/config-show.ts");
    const data =
      config === undefined
        ? await ask(options, (client) => client.request("config.show", {}))
        : configData(await readFile(config));
    if (options.json) printJson(data);
    else print(configToml(data));
  });
}

async function readFile(file: string): Promise<Config> {
  const [{ loadConfig }, { kinds }] = await Promise.all([
    import("../control/config.ts"),
    import("../control/wiring.ts"),
  ]);
  return loadConfig(file, kinds);
}
