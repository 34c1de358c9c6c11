// `ringyard vlan show|set`.

import type { Command } from "commander";
import type { VlanInfo } from "../control/policy/vlan-info.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { readSettingWords } from "./settings.ts";
import { vlanDetails, vlanTable } from "./vlan-view.ts";

export function addVlanCommands(program: Command): void {
  const vlan = program
    .command("vlan")
    .helpCommand(false)
    .description("VLANs: who belongs to them, and how they are kept");
  const show = vlan
    .command("show")
    .description("all VLANs that ports or settings name, or everything about one")
    .argument("[id]", "1 to 4094; 0 where ports have no VLANs");
  addJson(addControl(show)).action((word: string | undefined, options: AskOptions) =>
    word === undefined ? showAll(options) : showOne(readVlan(word), options),
  );
  const set = vlan
    .command("set")
    .description("change how a VLAN is kept while it is used; ports join it by port set")
    .argument("<id>", "1 to 4094; 0 where ports have no VLANs")
    .argument("<setting...>", "ageing=SECONDS, learning=true|false, suppress=arp,nd")
    .addHelpText(
      "after",
      examples("ringyard vlan set 10 ageing=60 suppress=arp,nd", "ringyard vlan set 10 ageing=").concat(
        "\n\nKEY= takes a setting back to its default.",
      ),
    );
  addJson(addControl(set)).action(async (word: string, words: string[], options: AskOptions) => {
    const { VLAN_POLICY_KEYS } = await import("../control/policy/vlan-policy.ts");
    const id = readVlan(word);
    const settings = readSettingWords(words, VLAN_POLICY_KEYS);
    await ask(options, async (client) => {
      await client.request("vlan.set", { id, settings });
      if (options.json) printJson((await vlansOf(client, { id }))[0]);
    });
  });
}

type Client = Parameters<Parameters<typeof ask>[1]>[0];

async function vlansOf(client: Client, args: { id?: number }): Promise<VlanInfo[]> {
  const { vlans, members } = await client.request("vlan.show", args);
  const byVlan = Map.groupBy(members, ({ vlan }) => vlan);
  return vlans.map((info) => ({
    ...info,
    members: (byVlan.get(info.id) ?? []).map(({ vlan: _, ...member }) => member),
  }));
}

function showAll(options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const vlans = await vlansOf(client, {});
    if (options.json) printJson(vlans);
    else print(vlanTable(vlans));
  });
}

function showOne(id: number, options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const [vlan] = await vlansOf(client, { id });
    if (options.json) printJson(vlan);
    else print(vlanDetails(vlan));
  });
}

/** Its range is the switch's to check. */
function readVlan(word: string): number {
  if (/^\d{1,4}$/.test(word)) return Number(word);
  throw new RingyardError(
    "BAD_OPTION",
    `${quoted(word)} is no VLAN id`,
    "write 1 to 4094, or 0 for a switch without VLANs",
  );
}
