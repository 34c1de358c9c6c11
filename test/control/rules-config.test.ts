// Rules and meters in the configuration: their forms, every mistake with its line and word, and TOML that reads back the same.

import { describe, expect, test } from "bun:test";
import { ConfigError, checkNames, parseConfig } from "../../src/control/config.ts";
import { configData, configToml } from "../../src/control/config-show.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const parse = (text: string) => parseConfig(text, "ringyard.toml", fakeKinds);

function linesOf(action: () => unknown): string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("it was accepted");
}

const EXAMPLE = `
rules = [
  "prio 100 in web tcp dport 80,443 meter up forward db",
  { prio = 20, in = ["web"], ip = { dst = "10.0.0.0/8" }, actions = ["drop"] },
  { rule = "id 7 drop" },
]

[ports]
web = "null:"
db = "null:"

[meters]
pings = "10 frames/s"

[meters.up]
rate = "100 Mbit/s"
burst = "1 Mbit"
`;

const TEXTS = [
  "prio 100 in web tcp dport 80,443 meter up forward db",
  "prio 20 in web ip dst 10.0.0.0/8 drop",
  "id 7 prio 1000 drop",
];

describe("a file that is right", () => {
  test("has rules as texts and as objects, and meters as texts and as tables", () => {
    const config = parse(EXAMPLE);
    const { rules, meters } = configData(config);
    expect(rules).toEqual(TEXTS);
    expect(meters).toEqual([
      { name: "pings", rate: "10 frames/s", burst: "64 frames" },
      { name: "up", rate: "100 Mbit/s", burst: "1 Mbit" },
    ]);
    expect(config.rules.map(({ place }) => place)).toEqual([
      "ringyard.toml:3: rules.0",
      "ringyard.toml:4: rules.1",
      "ringyard.toml:5: rules.2",
    ]);
    checkNames(config, config.ports.keys(), config.meters.keys());
  });

  test("has rules as tables", () => {
    const config = parse('[[rules]]\nrule = "drop"\n[[rules]]\nprio = 5\nvlan = [10]\nactions = "allow"\n');
    expect(configData(config).rules).toEqual(["prio 1000 drop", "prio 5 vlan 10 allow"]);
    expect(config.rules.map(({ place }) => place)).toEqual(["ringyard.toml:1: rules.0", "ringyard.toml:3: rules.1"]);
  });

  test("is shown as TOML that reads back to the same", () => {
    const data = configData(parse(EXAMPLE));
    const text = configToml(data);
    expect(text).toStartWith(`rules = [\n  ${JSON.stringify(TEXTS[0])},\n`);
    expect(text).toEndWith('\n[meters.up]\nrate = "100 Mbit/s"\nburst = "1 Mbit"\n');
    expect(configData(parse(text))).toEqual(data);
  });
});

describe("a mistake names file, line and word", () => {
  const cases: [string, string, string[]][] = [
    [
      "a word",
      'rules = [\n"drop",\n"tcp dprot 80 drop"]',
      ['ringyard.toml:3: rules.1: column 5: unknown word "dprot": did you mean dport?'],
    ],
    ["a rule in a table", '[[rules]]\nrule = "drp"', [/^ringyard\.toml:2: rules\.0\.rule: column 1: .*"drp"/.source]],
    ["a rule as a number", "rules = [3]", [/^ringyard\.toml:1: rules\.0: /.source]],
    ["rules as a word", 'rules = "drop"', ['ringyard.toml:1: rules: expected a list of rules, found "drop"']],
    [
      "an id twice",
      'rules = ["id 7 drop",\n"id 7 allow"]',
      ["ringyard.toml:2: rules.1: id 7 is given twice: give each rule its own, or none"],
    ],
    [
      "a key of an object",
      "[[rules]]\nactions = 'drop'\n[[rules]]\ntcp = { dport = 99999 }\nactions = 'drop'",
      [/^ringyard\.toml:4: rules\.1\.tcp\.dport: .*99999/.source],
    ],
    ["a rate", '[meters.up]\nrate = "fast"', [/^ringyard\.toml:2: meters\.up\.rate: "fast" is no rate: /.source]],
    ["a meter's key", '[meters.up]\nrate = "1 Mbit/s"\nbrust = 1', ["ringyard.toml:3: meters.up.brust: unknown key"]],
    [
      "a meter's name",
      '[meters]\n"a b" = "1 Mbit/s"',
      ['ringyard.toml:2: meters."a b": not the name of a meter: write 1 to 32 letters, digits, _ . -'],
    ],
    ["meters as a word", "meters = 3", ["ringyard.toml:1: meters: expected a table of meters, found 3"]],
  ];
  test.each(cases)("%s", (_, text, expected) => {
    const lines = linesOf(() => parse(text));
    expect(lines).toHaveLength(expected.length);
    for (const [index, line] of lines.entries()) {
      if (expected[index].startsWith("^")) expect(line).toMatch(new RegExp(expected[index]));
      else expect(line).toStartWith(expected[index]);
    }
  });

  test("names of ports and meters, all of them", () => {
    const config = parse(
      'rules = [\n"in web,vm1 forward db",\n"meter upp drop"]\n[ports]\nweb = "null:"\n[meters]\nup = "1 Mbit/s"',
    );
    expect(linesOf(() => checkNames(config, config.ports.keys(), config.meters.keys()))).toEqual([
      "ringyard.toml:2: rules.0: no port vm1: ports: web",
      "ringyard.toml:2: rules.0: no port db: ports: web",
      "ringyard.toml:3: rules.1: no meter upp: did you mean up? meters: up",
    ]);
  });
});
