// Rules and meters over a reload: changed all at once, between the ports that go and those that come, and put back with them;
// those of the file and those that were added by hand.

import { beforeEach, describe, expect, test } from "bun:test";
import { type Config, type ConfigError, parseConfig } from "../../src/control/config.ts";
import { configData } from "../../src/control/config-show.ts";
import { meterFromObject } from "../../src/control/rules/meter-spec.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { Running } from "../../src/control/running.ts";
import { parsePort } from "../../src/control/uri.ts";
import { RingyardError } from "../../src/core/errors.ts";
import type { MeterSpec } from "../../src/dataplane/rules/rule.ts";
import { failure } from "../support/failure.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch } from "../support/fake-switch.ts";

/** `rules` in their order, and ports without anything behind them. */
function file(rules: string[], ports: string[] = ["a", "b"], meters: string[] = []): Config {
  const lines = [`rules = ${JSON.stringify(rules)}`, "[ports]", ...ports.map((name) => `${name} = "null:"`)];
  return parseConfig([...lines, "[meters]", ...meters].join("\n"), "test.toml", fakeKinds);
}

let fake: FakeSwitch;
let running: Running;

beforeEach(() => {
  fake = new FakeSwitch({});
  running = new Running(fake, fakeKinds, { settings: {} });
});

const listed = () => fake.rules.list().map(({ id, text }) => `${id} ${text}`);
const addPort = (name: string) => running.addPort({ spec: parsePort(name, "null:", fakeKinds), link: "up" });
const replaceRules = (texts: string[], meters: MeterSpec[] = []) =>
  running.replaceRules(Promise.resolve({ rules: texts.map(parseRule), meters }));
const add = (text: string) => running.addRule(parseRule(text));

test("a start, while frames are held, adds the ports first and compiles once", async () => {
  await running.replace(file(["in a drop", "forward b"], ["a", "b"]), { held: true });
  expect(fake.calls).toEqual(["addPort a", "addPort b", "rules 1,2"]);
});

describe("a reload", () => {
  test("puts rules behind ports that go and before ports that come", async () => {
    await running.replace(file(["in a drop", "in b drop"]));
    fake.calls.length = 0;
    await running.replace(file(["in a drop", "in c forward a"], ["a", "c"]));
    expect(fake.calls).toEqual(["removePort b", "rules 1,2", "rules 1,3", "addPort c", "rules 1,3"]);
    expect(fake.rules.list().map(({ inactive }) => inactive)).toEqual([undefined, undefined]);
  });

  test("does not touch rules that stay", async () => {
    await running.replace(file(["in a drop", "meter m"], ["a"], ['m = "1 Mbit/s"']));
    fake.calls.length = 0;
    const diff = await running.replace(file(["prio 1000 in a drop", "meter m"], ["a"], ['m = "1000 kbit/s"']));
    expect(diff.actions).toEqual([]);
    expect(fake.calls).toEqual([]);
  });

  test("changes meters alone", async () => {
    await running.replace(file(["meter m"], ["a"], ['m = "1 Mbit/s"']));
    await running.replace(file(["meter m"], ["a"], ['m = "2 Mbit/s"']));
    expect(fake.table.meters).toMatchObject([{ name: "m", rate: 2e6 }]);
    expect(listed()).toEqual(["1 prio 1000 meter m"]);
  });

  test("keeps ids, and the order of the file", async () => {
    await running.replace(file(["in a drop", "in b drop"]));
    await running.replace(file(["in a drop", "in b allow", "in b drop"]));
    expect(listed()).toEqual(["1 prio 1000 in a drop", "3 prio 1000 in b allow", "4 prio 1000 in b drop"]);
  });

  test("is refused, with each place, before anything is changed, where names are missing", async () => {
    await running.replace(file(["in a drop"]));
    fake.calls.length = 0;
    const error = await failure(running.replace(file(["in a drop", "forward c", "meter m"], ["a"])));
    expect((error as ConfigError).lines).toEqual([
      "test.toml:1: rules.1: no port c: did you mean a? ports: a",
      "test.toml:1: rules.2: no meter m: meters: none",
    ]);
    expect(fake.calls).toEqual([]);
  });

  const failures: [string, string][] = [
    ["the rules", "rules 2,3"],
    ["a port that comes", "addPort c"],
    ["the settings", "configure"],
  ];
  test.each(failures)("puts the old rules back where %s cannot be had", async (_, call) => {
    await running.replace(file(["in a drop", "in b drop"], ["a", "b"], ['m = "1 Mbit/s"']));
    const state = () => ({
      ...{ listed: listed(), rules: fake.table.rules, meters: fake.table.meters, config: configData(running.config) },
    });
    const before = state();
    fake.failures.set(call, new RingyardError("BUSY", "no"));
    const wanted = file(["in b drop", "in c drop"], ["b", "c"]);
    wanted.settings.poll = "busy";
    expect((await failure(running.replace(wanted))).message).toContain("no");
    expect(state()).toEqual(before);
    fake.failures.clear();
    await running.replace(wanted);
    expect(fake.rules.list().map(({ text }) => text)).toEqual(["prio 1000 in b drop", "prio 1000 in c drop"]);
    expect(fake.table.meters).toEqual([]);
  });
});

describe("what was added by hand", () => {
  test("stays over a reload, behind what the file says", async () => {
    await running.replace(file(["in a drop"]));
    await add("in b drop");
    await add("prio 2000 count");
    await running.setMeter(meterFromObject("hand", "1 Mbit/s"));
    await running.replace(file(["in a allow"], ["a", "b"], ['m = "2 Mbit/s"']));
    expect(listed()).toEqual(["3 prio 2000 count", "2 prio 1000 in b drop", "4 prio 1000 in a allow"]);
    expect(fake.table.meters.map(({ name }) => name).sort()).toEqual(["hand", "m"]);
  });

  test("is the file's as soon as that says the same", async () => {
    await running.replace(file([]));
    await add("in a drop");
    await add("id 9 in b drop");
    await running.setMeter(meterFromObject("m", "1 Mbit/s"));
    await running.replace(file(["in a drop", "id 9 in b allow"], ["a", "b"], ['m = "2 Mbit/s"']));
    expect(listed()).toEqual(["1 prio 1000 in a drop", "9 prio 1000 in b allow"]);
    await running.replace(file([]));
    expect(listed()).toEqual([]);
    expect(fake.table.meters).toEqual([]);
  });

  test.each(["del", "replace"])(
    "stays also where the file said the same before it was taken away by hand (%s)",
    async (how) => {
      await running.replace(file(["id 9 in a drop"], ["a"], ['m = "2 Mbit/s"']));
      await (how === "del" ? running.deleteRules([9]) : replaceRules([]));
      await running.deleteMeter("m");
      await running.setMeter(meterFromObject("m", "1 Mbit/s"));
      await add("id 9 in a drop");
      await add("meter m");
      await running.replace(file([], ["a"]));
      expect(listed()).toEqual(["9 prio 1000 in a drop", "10 prio 1000 meter m"]);
      expect(fake.table.meters).toMatchObject([{ name: "m", rate: 1e6 }]);
    },
  );

  test("waits for a port that a reload takes away", async () => {
    await running.replace(file([]));
    await add("in b drop");
    await running.replace(file([], ["a"]));
    expect(fake.rules.list()).toMatchObject([{ text: "prio 1000 in b drop", inactive: "no port b" }]);
  });

  test("keeps a reload from taking its meter away, before anything is changed", async () => {
    await running.replace(file([], ["a", "b"], ['m = "1 Mbit/s"']));
    await add("meter m");
    fake.calls.length = 0;
    const { advice } = await failure(running.replace(file([], ["a"])));
    expect(advice).toBe("meter m is used by rule 1, which was added by hand: keep the meter, or ringyard rule del 1");
    expect(fake.calls).toEqual([]);
  });

  test("may name ports that were added by hand, and so may the file", async () => {
    await running.replace(file([]));
    await addPort("hand");
    await running.replace(file(["in hand drop"]));
    expect(fake.rules.list()).toMatchObject([{ text: "prio 1000 in hand drop" }]);
    expect(fake.rules.list()[0].inactive).toBeUndefined();
  });
});

describe("what was removed or changed by hand", () => {
  test("comes back with a reload", async () => {
    const wanted = file(["in a drop", "in b drop"], ["a", "b"], ['m = "1 Mbit/s"']);
    await running.replace(wanted);
    await running.deleteRules([1]);
    await running.setMeter(meterFromObject("m", "9 Mbit/s"));
    await running.replace(wanted);
    expect(listed()).toEqual(["3 prio 1000 in a drop", "4 prio 1000 in b drop"]);
    expect(fake.table.meters).toMatchObject([{ rate: 1e6 }]);
    await running.deleteMeter("m");
    await running.replace(wanted);
    expect(fake.table.meters).toHaveLength(1);
  });

  test("by a replacement too, beside its rules", async () => {
    await running.replace(file(["in a drop", "in b drop"]));
    const replaced = await replaceRules(["in b drop", "count"]);
    expect(replaced).toMatchObject({ rules: [{ id: 2 }, { id: 3 }], added: 1, removed: 1 });
    expect(listed()).toEqual(["2 prio 1000 in b drop", "3 prio 1000 count"]);
    await running.replace(file(["in b drop"]));
    expect(listed()).toEqual(["2 prio 1000 in b drop", "3 prio 1000 count"]);
    await running.replace(file(["in a drop"]));
    expect(listed()).toEqual(["3 prio 1000 count", "4 prio 1000 in a drop"]);
  });
});

test("the running configuration has rules and meters, with the ids that people chose", async () => {
  await running.replace(file(["id 5 in a drop"], ["a", "b"], ['m = "1 Mbit/s"']));
  await add("prio 2000 count");
  expect(configData(running.config)).toMatchObject({
    rules: ["prio 2000 count", "id 5 prio 1000 in a drop"],
    meters: [{ name: "m", rate: "1 Mbit/s" }],
  });
});

test("a replacement adds and changes meters, and is one change", async () => {
  await running.replace(file([], ["a"], ['m = "1 Mbit/s"', 'n = "1 Mbit/s"']));
  fake.calls.length = 0;
  const meters = [meterFromObject("m", "5 Mbit/s"), meterFromObject("new", "1 Mbit/s")];
  await replaceRules(["meter new"], meters);
  expect(fake.calls).toEqual(["rules 1 n,m,new"]);
  const wrong = replaceRules(["meter none"], meters);
  expect((await failure(wrong)).message).toBe('rule "prio 1000 meter none": no meter none');
});
