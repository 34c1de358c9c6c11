// The rules and meters of a switch: added, removed and replaced, all of a change or nothing, and what is refused.

import { beforeEach, describe, expect, spyOn, test } from "bun:test";
import { meterFromObject } from "../../src/control/rules/meter-spec.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { RuleEntry } from "../../src/control/rules/rule-entry.ts";
import { RuleService } from "../../src/control/rules/rule-service.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { RuleLimitError } from "../../src/dataplane/rules/rule-limit.ts";
import { failure } from "../support/failure.ts";
import { FakeRuleTable } from "../support/fake-rule-table.ts";

let table: FakeRuleTable;
let service: RuleService;
/** What the log was told. */
let logged: [object, string][];

beforeEach(async () => {
  let last: Promise<unknown> = Promise.resolve();
  table = new FakeRuleTable();
  logged = [];
  const alone = <T>(change: () => Promise<T>) => {
    const result = last.then(change);
    last = result.catch(() => {});
    return result;
  };
  service = new RuleService(table, alone, { info: (facts, message) => logged.push([facts, message]) });
  await service.portComes("vm1", 4);
  await service.portComes("web", 7);
});

const add = (text: string) => service.add(parseRule(text));
const meter = (name: string, rate: string, burst?: string) =>
  service.setMeter(meterFromObject(name, { rate, ...(burst !== undefined && { burst }) }));
const listed = () => service.list().map(({ id, text }) => `${id} ${text}`);
const put = (...texts: string[]) =>
  service.put({ ...service.number(texts.map(parseRule)), meters: service.set().meters });
const advice = async (promise: Promise<unknown>) => {
  const { code, advice } = await failure(promise);
  return `${code} ${advice}`;
};

describe("a rule", () => {
  test("is added with an id, and given to the dataplane with numbers", async () => {
    expect(await add("prio 100 in vm1 tcp dport 80 forward web")).toEqual({
      ...{ id: 1, priority: 100, text: "prio 100 in vm1 tcp dport 80 forward web", frames: 0, bytes: 0 },
    });
    expect(table.rules).toEqual([
      {
        id: 1,
        priority: 100,
        match: [
          { field: "in", oneOf: [{ value: 4n, mask: 0xffffn }] },
          { field: "tcp", oneOf: [{ value: 1n, mask: 1n }] },
          { field: "tcp.dport", oneOf: [{ value: 80n, mask: 0xffffn }] },
        ],
        actions: [{ do: "forward", ports: [7] }],
      },
    ]);
  });

  test("stands behind those of its priority, and before those of lower ones", async () => {
    await add("prio 10 drop");
    await add("prio 20 in vm1 drop");
    await add("prio 20 in web drop");
    await add("id 1000 prio 20 drop");
    await add("prio 30 count");
    expect(listed()).toEqual([
      "1001 prio 30 count",
      "2 prio 20 in vm1 drop",
      "3 prio 20 in web drop",
      "1000 prio 20 drop",
      "1 prio 10 drop",
    ]);
    expect(table.rules.map(({ id }) => id)).toEqual([1001, 2, 3, 1000, 1]);
  });

  test("has the counters of its id", async () => {
    await add("drop");
    table.counted.set(1, { frames: 3, bytes: 192, lastHitS: 0 });
    expect(service.list()).toEqual([
      { id: 1, priority: 1000, text: "prio 1000 drop", frames: 3, bytes: 192, lastHitS: 0 },
    ]);
  });

  test("whose id was chosen leaves the numbers above it when it goes", async () => {
    await add("id 2147483647 prio 0 drop");
    expect(await advice(add("in vm1 drop"))).toStartWith("LIMIT no rule id above 2147483647: choose an id, delete");
    await service.delete([2147483647]);
    expect((await add("in vm1 drop")).id).toBe(1);
    await put("in vm1 drop", "in web drop");
    expect(listed()).toEqual(["1 prio 1000 in vm1 drop", "2 prio 1000 in web drop"]);
  });

  test("is deleted by its id, whose number is not given again", async () => {
    for (const text of ["drop", "in vm1 drop", "in web drop"]) await add(text);
    await service.delete([3, 1]);
    expect(listed()).toEqual(["2 prio 1000 in vm1 drop"]);
    expect((await add("drop")).id).toBe(4);
  });

  const refused: [string, string, string][] = [
    [
      "a port that is not there",
      "in vm2 drop",
      'NOT_FOUND rule "prio 1000 in vm2 drop": no port vm2: did you mean vm1? ports: vm1, web',
    ],
    [
      "a forward to nowhere",
      "forward web,db",
      'NOT_FOUND rule "prio 1000 forward web,db": no port db: ports: vm1, web',
    ],
    ["a mirror to nowhere", "mirror db", 'NOT_FOUND rule "prio 1000 mirror db": no port db: ports: vm1, web'],
    ["a meter that is not there", "meter up", 'NOT_FOUND rule "prio 1000 meter up": no meter up: meters: none'],
    ["an id that is taken", "id 1 drop", "EXISTS rule 1 exists: choose another id, or delete it first"],
  ];
  test.each(refused)("is refused for %s", async (_, text, line) => {
    await add("drop");
    expect(await advice(add(text))).toBe(line);
    expect(listed()).toEqual(["1 prio 1000 drop"]);
    expect(table.replaced).toBe(1);
  });

  test("is refused where it is longer than an answer can carry", async () => {
    const names = Array.from({ length: 256 }, (_, index) => `port${String(index).padStart(28, "0")}`);
    for (const [index, name] of names.entries()) await service.portComes(name, index);
    const list = names.join();
    expect(await advice(add(`in ${names.slice(0, 220).join()} forward ${list}`))).toEndWith(
      "longer than 15000 characters: spread its lists over several rules",
    );
  });

  test("that is not there cannot be deleted, nor others with it", async () => {
    await add("drop");
    expect(await advice(service.delete([1, 5]))).toBe("NOT_FOUND no rule 5: ringyard rule list shows them");
    expect(listed()).toEqual(["1 prio 1000 drop"]);
  });

  test("that the dataplane refuses leaves everything as it was", async () => {
    await add("in vm1 drop");
    table.failure = new RingyardError("LIMIT", "too many rules");
    expect(await advice(add("in web drop"))).toBe("LIMIT too many rules");
    expect(await advice(service.delete([1]))).toBe("LIMIT too many rules");
    expect(listed()).toEqual(["1 prio 1000 in vm1 drop"]);
    table.failure = null;
    expect((await add("in web drop")).id).toBe(2);
  });
});

describe("a replacement", () => {
  test("is given at once, and keeps ids and rules of the same text", async () => {
    for (const text of ["in vm1 drop", "in web drop", "drop"]) await add(text);
    const before = table.rules;
    await put("in vm1 drop", "drop", "prio 5 count");
    expect(listed()).toEqual(["1 prio 1000 in vm1 drop", "3 prio 1000 drop", "4 prio 5 count"]);
    expect(table.replaced).toBe(4);
    // The same objects: they need not be compiled again.
    expect(table.rules[0]).toBe(before[0]);
    expect(table.rules[1]).toBe(before[2]);
  });

  test("of which one rule is refused changes nothing", async () => {
    await add("in vm1 drop");
    expect(await advice(put("in web drop", "drop", "in db drop"))).toContain("no port db");
    expect(await advice(put("in web drop", "meter m drop"))).toContain("no meter m");
    expect(listed()).toEqual(["1 prio 1000 in vm1 drop"]);
    expect(table.replaced).toBe(1);
  });

  test("waits for the change before it", async () => {
    await Promise.all([add("in vm1 drop"), service.delete([1]), add("in web drop")]);
    expect(listed()).toEqual(["2 prio 1000 in web drop"]);
  });
});

describe("a list of thousands", () => {
  const texts = Array.from({ length: 1200 }, (_, n) => `prio ${n} in vm1 tcp dport ${n} drop`);

  test("is given to the dataplane once, and what is rehearsed behind it leaves nothing", async () => {
    await put(...texts);
    expect([table.replaced, table.rules.length, listed().length]).toEqual([1, 1200, 1200]);
    expect((await add("in web drop")).id).toBe(1201);
    expect([table.replaced, table.rules.length]).toEqual([2, 1201]);
  });

  test("has its next change rehearsed where all came at once, and else not", async () => {
    const resolve = spyOn(RuleEntry.prototype, "resolve");
    try {
      await put(...texts);
      expect(resolve.mock.calls.length).toBeGreaterThan(2 * texts.length);
      resolve.mockClear();
      await put("id 1201 in web drop", ...texts.map((text, n) => `id ${n + 1} ${text}`));
      expect(resolve.mock.calls.length).toBe(texts.length + 1);
    } finally {
      resolve.mockRestore();
    }
  });

  test("takes effect where its next change could not be made", async () => {
    await service.portGoes("vm1");
    await service.put({ ...service.number(texts.map(parseRule)), meters: [] }, "wait");
    expect([table.replaced, listed().length]).toEqual([1, 1200]);
    await put();
    await put("id 2147483647 drop", ...texts.map((text, n) => `id ${n + 1} ${text.replace("vm1", "web")}`));
    expect([table.replaced, listed().length]).toEqual([3, 1201]);
  });
});

describe("a meter", () => {
  test("is set, shown with the rules that use it, changed and deleted", async () => {
    expect(await meter("up", "100 Mbit/s", "1 Mbit")).toEqual({
      ...{ name: "up", rate: "100 Mbit/s", burst: "1 Mbit", frames: 0, bytes: 0, dropped: 0, rules: [], users: 0 },
    });
    await meter("pings", "10 frames/s");
    await add("icmp meter pings");
    await add("in vm1 meter up");
    await add("in web meter up");
    expect(table.rules.map(({ actions }) => actions[0])).toEqual([
      { do: "meter", meter: 1 },
      { do: "meter", meter: 0 },
      { do: "meter", meter: 0 },
    ]);
    table.metered.set("up", { frames: 9, bytes: 900, dropped: 2 });
    await meter("up", "5 Gbit/s", "1 Mbit");
    expect(service.meters()[0]).toEqual({
      ...{ name: "up", rate: "5 Gbit/s", burst: "1 Mbit", frames: 9, bytes: 900, dropped: 2, rules: [2, 3], users: 2 },
    });
    await service.delete([1]);
    await service.deleteMeter("pings");
    expect(table.meters).toEqual([{ name: "up", unit: "bits", rate: 5e9, burst: 1e6 }]);
  });

  test("that stands before others takes their numbers with it when it goes", async () => {
    await meter("a", "1 Mbit/s");
    await meter("b", "1 Mbit/s");
    await add("meter b");
    await service.deleteMeter("a");
    expect(table.rules[0].actions).toEqual([{ do: "meter", meter: 0 }]);
  });

  test("that is used, or is not there, cannot be deleted", async () => {
    await meter("up", "1 Mbit/s");
    await add("meter up");
    expect(await advice(service.deleteMeter("up"))).toBe("BUSY meter up is used by rule 1: delete what uses it first");
    await add("in vm1 meter up");
    expect(await advice(service.deleteMeter("up"))).toContain("is used by rules 1, 2");
    expect(await advice(service.deleteMeter("upp"))).toBe("NOT_FOUND no meter upp: did you mean up? meters: up");
  });

  test("that thousands of rules use is shown with the first of them", async () => {
    await meter("up", "1 Mbit/s");
    await put(...Array.from({ length: 3000 }, (_, n) => `udp dport ${n} meter up`));
    const [{ rules, users }] = service.meters();
    expect([rules.length, rules[0], users]).toEqual([1000, 1, 3000]);
    expect(await advice(service.deleteMeter("up"))).toBe(
      "BUSY meter up is used by rules 1, 2, 3, 4, 5, 6, 7, 8 and 2992 more: delete what uses it first",
    );
  });
});

describe("the log", () => {
  test("has every change of rules and meters, and nothing of ports that come and go", async () => {
    await meter("m", "1 Mbit/s", "8 kbit");
    await add("in vm1 drop");
    await put("in vm1 drop", "in web drop");
    await service.portGoes("web");
    await service.delete([2]);
    await service.deleteMeter("m");
    expect(logged).toEqual([
      [{ meter: "m", rate: "1 Mbit/s", burst: "8 kbit" }, "meter set"],
      [{ rule: 1, text: "prio 1000 in vm1 drop" }, "rule added"],
      [{ rules: 2, meters: 1, added: 1, removed: 0 }, "rules replaced"],
      [{ rules: [2], count: 1 }, "rules deleted"],
      [{ meter: "m" }, "meter deleted"],
    ]);
  });

  test("is not filled by a long rule, nor by one that is refused", async () => {
    await add(`ip dst ${Array.from({ length: 100 }, (_, n) => `10.0.0.${n}`).join()} drop`);
    await failure(add("in none drop"));
    expect(logged.map(([facts]) => JSON.stringify(facts).length)).toEqual([expect.any(Number)]);
    expect(JSON.stringify(logged).length).toBeLessThan(300);
  });
});

test("a limit names a rule that comes by its text, and one that is there by its id", async () => {
  await add("in vm1 drop");
  table.failure = new RuleLimitError(2, "its lists are too long", "split it", "rule 2: its lists are too long");
  expect(await advice(add("in web drop"))).toBe('LIMIT rule "prio 1000 in web drop": its lists are too long: split it');
  table.failure = new RuleLimitError(1, "its lists are too long", "split it", "rule 1: its lists are too long");
  expect(await advice(add("in web drop"))).toBe("LIMIT rule 1: its lists are too long: split it");
});
