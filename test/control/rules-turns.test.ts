// Thousands of rules are read, checked, compared and listed in turns with everything else; what is asked for meanwhile happens behind
// them, and nobody sees a half of them.

import { beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadConfig } from "../../src/control/config.ts";
import type { KnownRules } from "../../src/control/rules/known-rules.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { ruleCalls } from "../../src/control/rules/rule-requests.ts";
import { Running } from "../../src/control/running.ts";
import { parsePort } from "../../src/control/uri.ts";
import { useDirectories } from "../support/control.ts";
import { failure } from "../support/failure.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch } from "../support/fake-switch.ts";
import { turnsWhile } from "../support/turns.ts";

/** Some hundred milliseconds' work. */
const COUNT = 5_000;
/** Less than half of the turns that it leaves to others. */
const TURNS = 5;

const directory = useDirectories();
let fake: FakeSwitch;
let running: Running;
let calls: ReturnType<typeof ruleCalls>;

beforeEach(async () => {
  fake = new FakeSwitch({});
  running = new Running(fake, fakeKinds, { settings: {} });
  calls = ruleCalls(running);
  await addPort("a");
});

const addPort = (name: string) => running.addPort({ spec: parsePort(name, "null:", fakeKinds), link: "up" });
const listed = () => fake.rules.list().map(({ id, text }) => `${id} ${text}`);
/** Of priority `priority`, each of them another. */
const textsOf = (priority: number, count = COUNT) =>
  Array.from(
    { length: count },
    (_, n) => `prio ${priority} in a ip dst 10.${n >> 8}.${n & 255}.0/24 tcp dport 80 drop`,
  );
const replace = (rules: string[]) => calls["rule.replace"]({ rules });

/** The path of a file with these rules. */
async function fileOf(rules: string[]): Promise<string> {
  const path = join(directory(), "ringyard.toml");
  await Bun.write(path, `rules = ${JSON.stringify(rules)}\n[ports]\na = "null:"\n`);
  return path;
}

describe("others have their turns while thousands of rules", () => {
  test("replace others, and are replaced by the same", async () => {
    const came = await turnsWhile(async () => replace(textsOf(9)));
    expect(came.turns).toBeGreaterThan(TURNS);
    expect(came.result).toMatchObject({ added: COUNT, removed: 0 });
    const before = fake.table.rules;
    expect(await replace(textsOf(9))).toMatchObject({ added: 0, removed: 0 });
    expect(fake.table.rules).toEqual(before);
  });

  test("are read from a file", async () => {
    let read = 0;
    const seen = new Set<number>();
    class Counted extends Map<string, never> {
      override get(): undefined {
        read++;
      }
    }
    const file = await fileOf(textsOf(9));
    const { result } = await turnsWhile(
      () => loadConfig(file, fakeKinds, new Counted()),
      () => seen.add(read),
    );
    expect(result.rules.map(({ rule }) => rule)).toEqual(textsOf(9).map(parseRule));
    expect(read).toBe(COUNT);
    expect([...seen].filter((count) => count > 0 && count < COUNT).length).toBeGreaterThan(TURNS);
  });

  test("become those of a reload", async () => {
    const config = await loadConfig(await fileOf(textsOf(9)), fakeKinds);
    const { turns } = await turnsWhile(() => running.replace(config));
    expect(turns).toBeGreaterThan(TURNS);
    expect(fake.rules.list()).toHaveLength(COUNT);
  });
});

describe("a rule that is there already", () => {
  const known = (): Promise<KnownRules> => running.knownRules();

  test("is not read again from the same file, nor from what the switch says of it", async () => {
    const texts = ["in a drop", "id 7 in a allow"];
    const file = await fileOf(texts);
    const first = await loadConfig(file, fakeKinds);
    await running.replace(first);
    const again = await loadConfig(file, fakeKinds, await known());
    for (const [n, { rule }] of again.rules.entries()) expect(rule).toBe(first.rules[n].rule);
    const said = await fileOf(["prio 1000 in a drop", "id 7 prio 1000 in a allow"]);
    const canonical = await loadConfig(said, fakeKinds, await known());
    for (const [n, { rule }] of canonical.rules.entries()) expect(rule).toBe(first.rules[n].rule);
  });

  test("is read where it says something else, if only its id", async () => {
    await running.replace(await loadConfig(await fileOf(["in a drop"]), fakeKinds));
    const other = await loadConfig(await fileOf(["id 7 in a drop", "in  a drop"]), fakeKinds, await known());
    expect(other.rules.map(({ rule }) => rule)).toEqual(["id 7 in a drop", "in a drop"].map(parseRule));
  });

  test("is known no longer than it is there", async () => {
    await replace(["in a drop"]);
    await replace([]);
    expect((await known()).size).toBe(0);
  });
});

describe("what is asked for while a list is on its way", () => {
  /** What `ask` leads to, asked in a turn that the replacement leaves to others. */
  async function during<T>(texts: string[], ask: () => Promise<T>): Promise<T> {
    let asked: Promise<T> | undefined;
    await turnsWhile(
      async () => replace(texts),
      () => {
        asked ??= ask();
      },
    );
    return await asked!;
  }

  test("is done behind it: a rule more, and one less", async () => {
    await replace(textsOf(9));
    await during(textsOf(8), () => running.addRule(parseRule("prio 1 drop")));
    expect(listed().at(-1)).toBe(`${2 * COUNT + 1} prio 1 drop`);
    expect(listed()).toHaveLength(COUNT + 1);
    // An id that the list is about to give.
    const id = 2 * COUNT + 2;
    await during(textsOf(7), () => running.deleteRules([id]));
    expect(listed()).toHaveLength(COUNT - 1);
    expect(listed()[0]).toStartWith(`${id + 1} prio 7`);
  });

  test("is done behind it: another list", async () => {
    const last = await during(textsOf(9), async () => replace(textsOf(8)));
    expect(last).toMatchObject({ added: COUNT, removed: COUNT });
    expect(fake.rules.list().map(({ text }) => text)).toEqual(textsOf(8));
  });

  test("is done behind it: a reload, and a port", async () => {
    const config = await loadConfig(
      await fileOf(["in b drop", ...textsOf(8)].slice(0, 9)),
      fakeKinds,
      await running.knownRules(),
    );
    fake.calls.length = 0;
    await during(textsOf(9), async () => {
      await Promise.all([addPort("b"), running.replace(config)]);
    });
    expect(fake.calls[0]).toStartWith("rules 1,2,");
    expect(fake.calls[1]).toBe("addPort b");
    // What was replaced is nobody's any more; what the list said was said by hand.
    expect(fake.rules.list().filter(({ inactive }) => inactive !== undefined)).toEqual([]);
    expect(fake.rules.list()).toHaveLength(COUNT + 9);
  });

  test("has its place even where nothing of the list is read yet", async () => {
    const reading = Promise.withResolvers<{ rules: ReturnType<typeof parseRule>[]; meters: [] }>();
    const replaced = running.replaceRules(reading.promise);
    const added = running.addRule(parseRule("in a allow"));
    reading.resolve({ rules: [parseRule("in a drop")], meters: [] });
    await Promise.all([replaced, added]);
    expect(listed()).toEqual(["1 prio 1000 in a drop", "2 prio 1000 in a allow"]);
  });

  test("is done where the list is refused, which changes nothing", async () => {
    await replace(textsOf(9));
    const before = [fake.table.rules, listed()];
    for (const [wrong, problem] of [
      ["in a drp", `rules.${COUNT}: column 6: unknown word "drp"`],
      ["in nowhere drop", "no port nowhere"],
    ]) {
      const error = await failure(Promise.resolve(replace([...textsOf(8), wrong])));
      expect(error.message).toContain(problem);
      expect([fake.table.rules, listed()]).toEqual(before);
    }
    const refused = failure(Promise.resolve(replace([...textsOf(8), "in nowhere drop"])));
    expect((await running.addRule(parseRule("prio 1 drop"))).id).toBe(COUNT + 1);
    await refused;
    expect(listed()).toHaveLength(COUNT + 1);
  });

  test("is a list of what there was before, or of what comes, and never of both", async () => {
    await replace(textsOf(9, COUNT / 2));
    const seen = new Set<string>();
    await turnsWhile(
      async () => replace(textsOf(8)),
      () => {
        const infos = fake.rules.list();
        seen.add([...new Set(infos.map(({ priority }) => priority)), infos.length].join());
      },
    );
    expect([...seen, "8,5000"]).toContain("9,2500");
    for (const said of seen) expect(["9,2500", "8,5000"]).toContain(said);
  });
});
