// `ringyard rule`, `meter` and `trace`, each as a process on a running switch: what they print, as text and as JSON, their
// refusals and exit codes, and the rules of a configuration file over a reload.

import { beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MeterInfo, RuleInfo, RuleTest, TraceInfo } from "../../src/control/rules/rules-api.ts";
import { useDirectories } from "../support/control.ts";
import { run } from "../support/process.ts";
import { askRingyard, ringyard, useRingyard } from "../support/ringyard.ts";

const directory = useDirectories();
const up = useRingyard();
const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

let control: string;

beforeAll(async () => {
  control = join(directory(), "c.sock");
  const ports = ["vm1", "vm2", "probe"].flatMap((name) => ["--port", `${name}=memory:${name}`]);
  await up([...ports, "--control", control]).says("ringyard ready");
});

beforeEach(async () => {
  await ask("rule", "replace", "-f", file("empty.txt", ""));
});

const ask = (...words: string[]) => askRingyard(control, ...words);
const json = async <T>(...words: string[]): Promise<T> => JSON.parse(await ask(...words, "--json"));
const rules = async () => (await json<RuleInfo[]>("rule", "list")).map(({ id, text }) => `${id} ${text}`);

function file(name: string, text: string): string {
  const path = join(directory(), name);
  writeFileSync(path, text);
  return path;
}

describe("rule", () => {
  test("add prints the id, list a line for each rule, del takes them away", async () => {
    const id = Number((await ask("rule", "add", "in vm1 tcp dport 80,443 drop")).replace("rule ", ""));
    expect(await json<RuleInfo>("rule", "add", "--id", "9000", "prio 7 forward vm2")).toMatchObject({
      ...{ id: 9000, priority: 7, text: "prio 7 forward vm2", frames: 0, bytes: 0 },
      rule: { id: 9000, prio: 7, actions: ["forward vm2"] },
    });
    // Words that no shell takes apart need no quotes.
    expect(await ask("rule", "add", "vlan", "10", "count")).toBe("rule 9001\n");
    const lines = (await ask("rule", "list")).trimEnd().split("\n");
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ["ID", "PRIO", "RULE", "FRAMES", "BYTES", "LAST HIT"],
      [String(id), "1000", "in vm1 tcp dport 80,443 drop", "0", "0", "-"],
      ["9001", "1000", "vlan 10 count", "0", "0", "-"],
      ["9000", "7", "forward vm2", "0", "0", "-"],
    ]);
    expect(await ask("rule", "del", String(id), "9000", "9001")).toBe("");
    expect(await rules()).toEqual([]);
  });

  test("list says what a rule waits for", async () => {
    await ask("port", "add", "db", "null:");
    await ask("rule", "add", "forward db");
    await ask("port", "del", "db");
    expect(await ask("rule", "list")).toContain("forward db (waits: no port db)");
    expect(await json<RuleInfo[]>("rule", "list")).toMatchObject([{ inactive: "no port db" }]);
    await ask("port", "add", "db", "null:");
    expect(await ask("rule", "list")).not.toContain("waits");
    await ask("port", "del", "db");
  });

  test("replace takes a file of lines, and the standard input", async () => {
    const lines = file("rules.txt", "# what vm1 may do\nid 20 prio 5 in vm1 drop\n\nprio 9 in vm2 allow   # and vm2\n");
    expect(await ask("rule", "replace", "-f", lines)).toBe("2 rules: 2 added, 0 removed\n");
    const [first] = await rules();
    const { stdout } = await run(
      [process.execPath, MAIN, "rule", "replace", "-f", "-", "--json", "--control", control],
      {
        stdin: "prio 9 in vm2 allow\n",
      },
    );
    expect(JSON.parse(stdout)).toEqual({
      rules: [{ id: Number.parseInt(first, 10), text: "prio 9 in vm2 allow" }],
      ...{ added: 0, removed: 1 },
    });
  });

  test("replace takes the rules and meters of a .toml and of a .json file", async () => {
    const toml = file(
      "x.toml",
      '[ports]\nx = "null:"\n[[rules]]\nprio = 3\ntcp = { dport = 80 }\nactions = ["meter m"]\n[meters]\nm = "1 Mbit/s"\n',
    );
    expect(await ask("rule", "replace", "-f", toml)).toBe("1 rule: 1 added, 0 removed\n");
    const rule = { prio: 4, in: "vm1", actions: "drop" };
    const both = file("x.json", JSON.stringify({ rules: ["prio 5 drop", rule], meters: { m: { rate: "2 Mbit/s" } } }));
    await ask("rule", "replace", "-f", both);
    expect((await rules()).map((line) => line.replace(/^\d+ /, ""))).toEqual(["prio 5 drop", "prio 4 in vm1 drop"]);
    expect(await json<MeterInfo[]>("meter", "list")).toMatchObject([{ name: "m", rate: "2 Mbit/s" }]);
    await ask("meter", "del", "m");
  });

  test("replace takes what list --json printed", async () => {
    await ask("rule", "add", "prio 7 in vm1,vm2 vlan 10-20 ip src 10.0.0.0/8 set vlan 30 forward probe");
    await ask("rule", "add", "log 1/100");
    const listed = await ask("rule", "list", "--json");
    expect(await ask("rule", "replace", "-f", file("list.json", listed))).toBe("2 rules: 0 added, 0 removed\n");
    const { stdout } = await run([process.execPath, MAIN, "rule", "replace", "-f", "-", "--control", control], {
      stdin: listed,
    });
    expect(stdout).toBe("2 rules: 0 added, 0 removed\n");
    expect(JSON.parse(await ask("rule", "list", "--json"))).toEqual(JSON.parse(listed));
  });

  test("test says which constraint a frame fails, and adds nothing", async () => {
    const args = [
      "rule",
      "test",
      "in vm1 eth type arp drop",
      "--in",
      "vm1",
      `ffffffffffff 020000000001 0800 ${"00".repeat(46)}`,
    ];
    expect(await ask(...args)).toBe(
      "HOLDS  CONSTRAINT\nyes    in vm1\nno     eth type arp  the frame: eth type ip\n\ndoes not match\n",
    );
    expect(await json<RuleTest>(...args)).toMatchObject({
      matches: false,
      constraints: [{ holds: true }, { holds: false }],
    });
    expect(await ask("rule", "test", "drop", "--in", "vm1", "ffffffffffff0200000000010800")).toBe("matches\n");
    expect(await rules()).toEqual([]);
  });
});

test("meter set, list, show and del", async () => {
  expect(await ask("meter", "set", "up", "rate=100Mbit/s", "burst=2 Mbit")).toBe("");
  await ask("rule", "add", "--id", "9500", "in vm1 meter up");
  expect(await json<MeterInfo>("meter", "set", "up", "rate=5 kframes/s")).toMatchObject({
    ...{ name: "up", rate: "5000 frames/s", burst: "500 frames", rules: [9500] },
  });
  const [title, line] = (await ask("meter", "list")).split("\n");
  expect(title).toMatch(/^NAME +RATE +BURST +FRAMES +BYTES +DROPPED +RULES$/);
  expect(line).toMatch(/^up +5000 frames\/s +500 frames +0 +0 +0 +9500$/);
  expect(await ask("meter", "show", "up")).toBe(await ask("meter", "list"));
  expect(await json<MeterInfo>("meter", "show", "up")).toEqual((await json<MeterInfo[]>("meter", "show"))[0]);
  expect(await ask("config", "show")).toContain('[meters.up]\nrate = "5000 frames/s"\nburst = "500 frames"\n');
  await ask("rule", "del", "9500");
  expect(await ask("meter", "del", "up")).toBe("");
});

test("trace shows the steps of a frame", async () => {
  await ask("rule", "add", "--id", "9600", "prio 100 in vm1 eth type 0x88b5 count mirror probe forward vm2");
  const frame = `020000000002 020000000001 88b5 ${"00".repeat(46)}`;
  const text = await ask("trace", "--in", "vm1", frame);
  expect(text).toMatch(/^header +\S/);
  expect(text).toContain("prio 100 in vm1 eth type 0x88b5 count mirror probe forward vm2\n");
  const steps = await json<TraceInfo[]>("trace", "--in", "vm1", frame);
  expect(steps.find(({ step }) => step === "rule")?.data).toMatchObject({ id: 9600, priority: 100 });
  expect(steps.at(-1)).toMatchObject({ step: "verdict", data: { do: "send", ports: ["vm2"], mirrors: ["probe"] } });
  expect(text.trimEnd().split("\n").at(-1)).toMatch(/^verdict +.*vm2/);
});

describe("refusals are one line and an exit code", () => {
  const ARP = "ffffffffffff0200000000010806";
  const cases: [string[], number, string | RegExp][] = [
    [["rule", "add", "in vm1 tcp dprot 80 drop"], 2, 'rule: column 12: unknown word "dprot": did you mean dport?'],
    [
      ["rule", "add", "in vm9 drop"],
      1,
      'rule "prio 1000 in vm9 drop": no port vm9: did you mean vm1? ports: probe, vm1, vm2',
    ],
    [["rule", "add", "meter m"], 1, 'rule "prio 1000 meter m": no meter m: meters: none'],
    [["rule", "add", "id 3 drop", "--id", "4"], 2, "--id 4: the rule says id 3: leave one out"],
    [["rule", "add", "drop", "--id", "x"], 2, '"x" is no id of a rule: ringyard rule list shows them'],
    [["rule", "add"], 2, "missing required argument 'text'"],
    [["rule", "del", "77"], 1, "no rule 77: ringyard rule list shows them"],
    [["rule", "del"], 2, "no rule is named: ringyard rule del ID..., or ringyard rule del --all"],
    [["rule", "del", "7", "--all"], 2, "--all goes without ids: ringyard rule del ID..., or ringyard rule del --all"],
    [["rule", "del", "\u009b"], 2, '"\\u009b" is no id of a rule: ringyard rule list shows them'],
    [["rule", "del", "seven"], 2, '"seven" is no id of a rule: ringyard rule list shows them'],
    [["rule", "replace"], 2, "required option '-f, --file <file>' not specified"],
    [
      ["rule", "replace", "-f", "/nowhere.txt"],
      1,
      "cannot read /nowhere.txt: ENOENT: name a readable file with -f, or -",
    ],
    [["rule", "test", "drop", ARP], 2, "required option '--in <port>' not specified"],
    [["rule", "test", "drp", "--in", "vm1", ARP], 2, /^rule: column 1: unknown word "drp"/],
    [["trace", "--in", "vm9", ARP], 1, "no port vm9: did you mean vm1? ports: probe, vm1, vm2"],
    [["trace", "--in", "vm1", "ffff"], 2, "FRAME: a frame of 2 bytes: two addresses and a type are 14"],
    [
      ["trace", "--in", "vm1", "x.txt"],
      2,
      'FRAME: "x.txt" is no frame: write hex digits, or FILE.pcap:N for the Nth frame of a capture',
    ],
    [["trace", "--in", "vm1", "/nowhere.pcap:1"], 1, "cannot read /nowhere.pcap: ENOENT: name the file of a capture"],
    [["meter", "set", "m", "rate=fast"], 2, /^meter m: rate: "fast" is no rate/],
    [["meter", "set", "m", "rat=1"], 2, 'unknown setting "rat": did you mean rate? known: burst, rate'],
    [["meter", "set", "m", "burst=1 Mbit"], 2, "a meter needs a rate: write for example rate=100Mbit/s"],
    [["meter", "del", "m"], 1, "no meter m: meters: none"],
    [["meter", "show", "m"], 1, "no meter m: meters: none"],
  ];
  test.each(cases)("%j", async (words, exitCode, line) => {
    const result = await ringyard(...words, "--control", control);
    expect([result.stdout, result.exitCode]).toEqual(["", exitCode]);
    expect(result.stderr).toMatch(/^ringyard: [^\n]+\n$/);
    const said = result.stderr.slice("ringyard: ".length, -1);
    if (typeof line === "string") expect(said).toBe(line);
    else expect(said).toMatch(line);
  });

  test("of a file, one for each mistake, and nothing is changed", async () => {
    await ask("rule", "add", "--id", "9700", "drop");
    const lines = file("bad.txt", "drop\ntcp dprot 80 drop\nin vm1\n");
    const json = file("bad.json", '["drop", {"tcp": {"dprot": 1}, "actions": ["drop"]}]');
    const toml = file("bad.toml", 'rules = [\n"drop",\n"drp"]\n');
    for (const [path, pattern] of [
      [lines, /^ringyard: .*bad\.txt:2: column 5: unknown word "dprot".*\nringyard: .*bad\.txt:3: column 7: .*\n$/],
      [json, /^ringyard: .*bad\.json: rules\.1\.tcp\.dprot: unknown key "dprot".*\n$/],
      [toml, /^ringyard: .*bad\.toml:3: rules\.1: column 1: unknown word "drp".*\n$/],
      [
        file("none.json", "{"),
        /^ringyard: .*none\.json:1: no JSON: column 2: expected a key in " or }, found the end\n$/,
      ],
      [
        file("broken\nline.json", "{"),
        /^ringyard: ".*broken\\nline\.json":1: no JSON: column 2: expected a key in " or }, found the end\n$/,
      ],
      [
        file("odd.json", '{"rule": []}'),
        /^ringyard: .*odd\.json: unknown key rule: expected a list of rules, or \{ rules, meters \}\n$/,
      ],
    ] as const) {
      const { stderr, exitCode } = await ringyard("rule", "replace", "-f", path, "--control", control);
      expect(stderr).toMatch(pattern);
      expect(exitCode).toBe(1);
    }
    const gone = file("gone.txt", "drop\nin vm9 drop\n");
    expect((await ringyard("rule", "replace", "-f", gone, "--control", control)).stderr).toContain("no port vm9");
    expect(await rules()).toEqual(["9700 prio 1000 drop"]);
  });

  test("of the standard input without rules, which a failed command in front of a pipe gives", async () => {
    await ask("rule", "add", "--id", "9800", "drop");
    const replace = (stdin: string) =>
      run([process.execPath, MAIN, "rule", "replace", "-f", "-", "--control", control], { stdin, allowFailure: true });
    for (const nothing of ["", "\n \n", "# none\n"]) {
      const { stderr, exitCode } = await replace(nothing);
      expect([stderr, exitCode]).toEqual([
        "ringyard: no rules on the standard input: ringyard rule del --all takes all rules away, and so does the JSON []\n",
        2,
      ]);
    }
    expect(await rules()).toEqual(["9800 prio 1000 drop"]);
    expect((await replace("[]")).stdout).toBe("0 rules: 0 added, 1 removed\n");
    await ask("rule", "add", "drop");
    await ask("rule", "add", "count");
    expect(await ask("rule", "del", "--all")).toBe("");
    expect(await rules()).toEqual([]);
  });

  test("of a file that never ends, and only as many as somebody reads", async () => {
    const replace = (path: string) => ringyard("rule", "replace", "-f", path, "--control", control);
    expect((await replace("/dev/zero")).stderr).toBe(
      "ringyard: /dev/zero is longer than 64 MiB: name a readable file with -f, or -\n",
    );
    const words = Array.from({ length: 30 }, (_, n) => `drp${n}`);
    for (const path of [
      file("many.json", JSON.stringify(words)),
      file("many.toml", `rules = ${JSON.stringify(words)}\n`),
      file("many.txt", words.join("\n")),
    ]) {
      const lines = (await replace(path)).stderr.trimEnd().split("\n");
      expect(lines).toHaveLength(21);
      expect(lines[20]).toEndWith(": and 10 more mistakes");
    }
  });

  test("on a terminal a rule's mistake is shown in its text", async () => {
    const { reportError } = await import("../../src/cli/exit.ts");
    const { parseRule } = await import("../../src/control/rules/parse-rule.ts");
    const written: string[] = [];
    const write = process.stderr.write;
    process.stderr.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
    try {
      parseRule("in vm1 tcp dprot 80 drop");
    } catch (error) {
      expect(reportError(error, true)).toBe(2);
    } finally {
      process.stderr.write = write;
    }
    expect(written.join("")).toBe(
      'ringyard: rule: column 12: unknown word "dprot": did you mean dport?\n\n  in vm1 tcp dprot 80 drop\n             ^^^^^\n',
    );
  });
});

describe("a file's rules", () => {
  const CONFIG = 'rules = ["in a drop", "in b meter m"]\n[ports]\na = "null:"\nb = "null:"\n[meters]\nm = "1 Mbit/s"\n';

  test("run from the start, and follow the file over SIGHUP", async () => {
    const path = file("ringyard.toml", CONFIG);
    const socket = join(directory(), "c.sock");
    const running = up(["-c", path, "--control", socket]);
    await running.says("ringyard ready: 2 ports");
    const listed = async () =>
      JSON.parse((await ringyard("rule", "list", "--json", "--control", socket)).stdout).map(
        ({ id, text }: RuleInfo) => `${id} ${text}`,
      );
    expect(await listed()).toEqual(["1 prio 1000 in a drop", "2 prio 1000 in b meter m"]);
    await ringyard("rule", "add", "prio 1 count", "--control", socket);
    writeFileSync(path, CONFIG.replace("in a drop", "in c drop").replace('a = "null:"', 'c = "null:"'));
    running.child.kill("SIGHUP");
    await running.says("configuration reloaded");
    expect(await listed()).toEqual(["4 prio 1000 in c drop", "5 prio 1000 in b meter m", "3 prio 1 count"]);
    writeFileSync(path, CONFIG.replace("in a drop", "in a drp"));
    running.child.kill("SIGHUP");
    await running.says("configuration not reloaded, nothing changed");
    expect(await listed()).toHaveLength(3);
    expect(await running.stop()).toBe(0);
  });

  test("are checked, with line and word, and their names too", async () => {
    const wrong = file("wrong.toml", CONFIG.replace("in a drop", "in a drp"));
    expect((await ringyard("config", "check", wrong)).stderr).toStartWith(`ringyard: ${wrong}:1: rules.0: column 6: `);
    const names = file("names.toml", CONFIG.replace("in a drop", "in vm7 drop"));
    expect(await ringyard("config", "check", names)).toEqual({
      stdout: "",
      stderr: `ringyard: ${names}:1: rules.0: no port vm7: ports: a, b\n`,
      exitCode: 1,
    });
    expect((await ringyard("up", "-c", names, "--control", join(directory(), "c.sock"))).stderr).toEndWith(
      `ringyard: ${names}:1: rules.0: no port vm7: ports: a, b\n`,
    );
    expect(await ringyard("config", "check", file("right.toml", CONFIG))).toMatchObject({
      stdout: "ok\n",
      exitCode: 0,
    });
  });

  test("are checked as a start would take them", async () => {
    const check = async (rules: string[]) => {
      const path = file("whole.toml", `rules = ${JSON.stringify(rules)}\n`);
      return (await ringyard("config", "check", path)).stderr.replaceAll(path, "FILE");
    };
    expect(await check(["id 2147483647 drop", "drop"])).toBe(
      "ringyard: FILE:1: rules.1: no rule id above 2147483647: choose an id, delete the rule that has this one, or restart the switch\n",
    );
    const list = (from: number) => Array.from({ length: 60 }, (_, n) => from + n).join();
    const wide = Array.from(
      { length: 80 },
      (_, n) => `prio ${n} tcp sport ${list(1000)} dport ${list(2000 + 60 * n)} drop`,
    );
    expect(await check(wide)).toMatch(/^ringyard: rules: too many rules to compile: combinations of values .*\n$/);
  });

  test("may name ports of the command line", async () => {
    const path = file("ringyard.toml", 'rules = ["in x drop"]\n');
    expect((await ringyard("config", "check", path)).exitCode).toBe(1);
    expect((await ringyard("config", "check", path, "--port", "x=null:")).stdout).toBe("ok\n");
    const running = up(["-c", path, "--port", "x=null:", "--control", join(directory(), "c.sock")]);
    await running.says("ringyard ready: 1 port");
    expect(await running.stop()).toBe(0);
  });
});
