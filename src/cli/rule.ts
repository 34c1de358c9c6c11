// `ringyard rule list|add|del|replace|test`. Rules are read here, where a mistake can be pointed at, and sent in their canonical
// form; the switch reads them again.

import type { Command } from "commander";
import type { NamedRule } from "../control/rules/named-rule.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { ruleTable, testText } from "./rule-view.ts";
import { frameArgs } from "./trace-frame.ts";

interface AddOptions extends AskOptions {
  id?: string;
}

interface DelOptions extends AskOptions {
  all?: boolean;
}

interface ReplaceOptions extends AskOptions {
  file: string;
}

export interface FrameOptions extends AskOptions {
  in: string;
}

export const FRAME = "hex digits, or FILE.pcap:N for the Nth frame of a capture";
const TEXT = "a match, then actions; docs/RULES.md has the words";

export function addRuleCommands(program: Command): void {
  const rule = program
    .command("rule")
    .helpCommand(false)
    .description("what the switch does with frames besides learning and flooding");
  const list = rule.command("list").description("all rules, in the order in which they are tried");
  addJson(addControl(list)).action((options: AskOptions) => showRules(options));
  addAdd(rule);
  addDel(rule);
  addReplace(rule);
  addTest(rule);
}

function addAdd(rule: Command): void {
  const add = rule
    .command("add")
    .description("add a rule, behind those of its priority")
    .argument("<text...>", TEXT)
    .option("--id <n>", "its id, which must be free (default: the switch chooses one)")
    .addHelpText(
      "after",
      examples(
        "ringyard rule add 'prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop'",
        "ringyard rule add 'in vm1 meter uploads continue'",
        "ringyard rule add --id 7 'arp op request mirror probe'",
      ),
    );
  addJson(addControl(add)).action(async (words: string[], { id, ...options }: AddOptions) => {
    const { formatRule } = await import("../control/rules/format-rule.ts");
    const text = formatRule(withId(await readText(words.join(" ")), id));
    await ask(options, async (client) => {
      const { rule } = await client.request("rule.add", { rule: text });
      if (options.json) printJson((await withObjects([rule]))[0]);
      else print(`rule ${rule.id}\n`);
    });
  });
}

function addDel(rule: Command): void {
  const del = rule
    .command("del")
    .description("remove rules, all of these or none")
    .argument("[id...]")
    .option("--all", "every rule that there is");
  addJson(addControl(del)).action((words: string[], { all = false, ...options }: DelOptions) => {
    if (all === words.length > 0) {
      const problem = all ? "--all goes without ids" : "no rule is named";
      throw new RingyardError("BAD_OPTION", problem, "ringyard rule del ID..., or ringyard rule del --all");
    }
    return ask(options, async (client) => {
      const result = all
        ? await client.request("rule.replace", { rules: [] })
        : await client.request("rule.del", { ids: words.map(readId) });
      if (options.json) printJson(all ? {} : result);
    });
  });
}

function addReplace(rule: Command): void {
  const replace = rule
    .command("replace")
    .description("put the rules of a file in the place of all that there are, at one moment")
    .requiredOption("-f, --file <file>", "one rule to a line; or by their names .toml, .json; - is the standard input")
    .addHelpText(
      "after",
      examples(
        "ringyard rule replace -f rules.txt",
        "ringyard rule list --json > rules.json; ringyard rule replace -f rules.json",
      ).concat(
        "\n\nA rule whose text stays keeps its id and its counters. Meters of a .toml or .json file are set, others stay.",
      ),
    );
  addJson(addControl(replace)).action(async ({ file, ...options }: ReplaceOptions) => {
    const { readRules } = await import("./rule-file.ts");
    const args = await readRules(file);
    await ask(options, async (client) => {
      const { rules, added, removed } = await client.request("rule.replace", args);
      if (options.json) printJson({ rules, added, removed });
      else print(`${rules.length === 1 ? "1 rule" : `${rules.length} rules`}: ${added} added, ${removed} removed\n`);
    });
  });
}

function addTest(rule: Command): void {
  const test = rule
    .command("test")
    .description("would this rule match this frame? It is not added")
    .argument("<text>", TEXT)
    .requiredOption("--in <port>", "the port where the frame comes in")
    .argument("<frame>", FRAME)
    .addHelpText("after", examples("ringyard rule test 'ip tcp dport 80 drop' --in vm1 web.pcap:3"));
  addJson(addControl(test)).action(async (text: string, frame: string, { in: port, ...options }: FrameOptions) => {
    const { formatRule } = await import("../control/rules/format-rule.ts");
    const rule = formatRule(await readText(text));
    const sample = await frameArgs(port, frame);
    await ask(options, async (client) => {
      const result = await client.request("rule.test", { rule, ...sample });
      if (options.json) printJson(result);
      else print(testText(result));
    });
  });
}

function showRules(options: AskOptions): Promise<void> {
  return ask(options, async (client) => {
    const { rules } = await client.request("rule.list", {});
    if (options.json) printJson(await withObjects(rules));
    else print(ruleTable(rules));
  });
}

async function readText(text: string): Promise<NamedRule> {
  const { parseRule } = await import("../control/rules/parse-rule.ts");
  return parseRule(text);
}

/** `rule`: the same as an object, as TOML and JSON have it, with its id: `rule replace -f` takes it. */
async function withObjects<R extends { id: number; text: string }>(
  rules: readonly R[],
): Promise<(R & { rule: object })[]> {
  const [{ ruleToObject }, { parseRule }] = await Promise.all([
    import("../control/rules/rule-object.ts"),
    import("../control/rules/parse-rule.ts"),
  ]);
  return rules.map((info) => ({ ...info, rule: ruleToObject({ ...parseRule(info.text), id: info.id }) }));
}

function withId(rule: NamedRule, word: string | undefined): NamedRule {
  if (word === undefined) return rule;
  const id = readId(word);
  if (rule.id === undefined || rule.id === id) return { ...rule, id };
  throw new RingyardError("BAD_OPTION", `--id ${id}: the rule says id ${rule.id}`, "leave one out");
}

/** An id's range is the switch's to check. */
function readId(word: string): number {
  if (/^[1-9]\d{0,9}$/.test(word)) return Number(word);
  throw new RingyardError(
    "BAD_OPTION",
    `${quoted(word.slice(0, 40))} is no id of a rule`,
    "ringyard rule list shows them",
  );
}
