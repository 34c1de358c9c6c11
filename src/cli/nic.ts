// `ringyard nic list|take|give`: the machine's network devices, and who drives them: the kernel or a switch. No switch need run.

import type { Command } from "commander";
import type { NicChanges } from "../control/nics.ts";
import { errorLine, RingyardError } from "../core/errors.ts";
import type { GivenBack } from "../core/nics.ts";
import { addJson, examples } from "./ask.ts";
import { EXIT, reportError } from "./exit.ts";
import { changeText, givenText, nicTable } from "./nic-view.ts";
import { print, printJson } from "./output.ts";

interface NicOptions {
  json?: boolean;
  force?: boolean;
  all?: boolean;
}

const ADDRESS = "PCI address, as 0000:03:00.0 or 03:00.0";

export function addNicCommands(program: Command): void {
  const nic = program
    .command("nic")
    .helpCommand(false)
    .description("list NICs, take them from the kernel for a switch to drive, and give them back");
  const list = nic.command("list").description("every network device on PCI, and whether ringyard can drive it");
  addJson(list).action(async ({ json }: NicOptions) => {
    const nics = (await load()).nics.list();
    if (json) printJson(nics);
    else print(nicTable(nics));
  });
  addTake(nic);
  addGive(nic);
}

function addTake(nic: Command): void {
  const take = nic
    .command("take")
    .description("take NICs from the kernel's driver and bind them to vfio-pci")
    .argument("<address...>", ADDRESS)
    .option("--force", "also where the host uses it, or ringyard has no driver for it")
    .addHelpText(
      "after",
      examples("ringyard nic take 0000:03:00.0", "ringyard nic take 03:00.0 03:00.1").concat(
        "\n\nA port takes its NIC by itself; this is for those who want it taken before. Devices of one IOMMU group go together.",
      ),
    );
  addJson(take).action(async (addresses: string[], { json, force = false }: NicOptions) => {
    const { nics, takeNics } = await load();
    report(await takeNics(nics, addresses, force), json);
  });
}

function addGive(nic: Command): void {
  const give = nic
    .command("give")
    .description("give NICs back to the driver that they had")
    .argument("[address...]", ADDRESS)
    .option("--all", "all that were taken and that no process drives, also what a killed switch left")
    .addHelpText("after", examples("ringyard nic give 0000:03:00.0", "ringyard nic give --all"));
  addJson(give).action(async (addresses: string[], { json, all = false }: NicOptions) => {
    if (all === addresses.length > 0) {
      throw new RingyardError(
        "BAD_OPTION",
        "nic give: give addresses or --all",
        "ringyard nic list shows what is taken",
      );
    }
    const { nics, giveNics } = await load();
    if (all) reportAll(await nics.giveAll(), json);
    else report(await giveNics(nics, addresses), json);
  });
}

/** What only a command that runs needs. */
async function load() {
  const [several, { nics }] = await Promise.all([import("../control/nics.ts"), import("../control/wiring.ts")]);
  return { ...several, nics };
}

function report({ changes, failed }: NicChanges, json = false): void {
  if (json) {
    printJson({ changes, failed: failed.map(({ address, error }) => ({ address, reason: errorLine(error) })) });
  } else print(changes.map(changeText).join(""));
  for (const { error } of failed) process.exitCode = Math.max(Number(process.exitCode ?? 0), reportError(error));
}

function reportAll(result: GivenBack, json = false): void {
  if (json) printJson(result);
  else print(givenText(result));
  for (const { name, reason } of result.failed) reportError(new RingyardError("SYSTEM", `${name}: ${reason}`));
  if (result.failed.length > 0) process.exitCode = EXIT.FAILED;
}
