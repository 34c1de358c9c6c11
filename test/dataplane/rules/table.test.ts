// The rule table over two workers that are this thread: what it sends them, what it keeps when they refuse, whose counters go on,
// and which memory it gives back.

import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { METER_BUCKET } from "../../../src/dataplane/rules/meter.ts";
import { RANK_ROW } from "../../../src/dataplane/rules/plan-layout.ts";
import type { MeterSpec, Rule } from "../../../src/dataplane/rules/rule.ts";
import type { LoggedFrame } from "../../../src/dataplane/rules/table.ts";
import { CLOCK_S } from "../../../src/dataplane/shared.ts";
import { failure } from "../../support/failure.ts";
import { until } from "../../support/until.ts";
import { rulesOf } from "./rules-of.ts";
import { SENT, TwoWorkers } from "./two-workers.ts";

const DROP: Rule[] = rulesOf([1, {}, { do: "drop" }]);
const PASS: Rule[] = rulesOf([1, {}, { do: "forward", ports: [1] }]);

let it: TwoWorkers;
const open: TwoWorkers[] = [];
function start(): TwoWorkers {
  it = new TwoWorkers();
  open.push(it);
  return it;
}
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

describe("replace", () => {
  test("puts rules in force on every worker, and takes them away", async () => {
    const { table } = start();
    await table.replace(DROP, []);
    expect([it.send(0), it.send(1)]).toEqual([0, 0]);
    await table.replace(PASS, []);
    expect([it.send(0), it.send(1)]).toEqual([1, 1]);
    await table.replace([], []);
    expect(it.rigs.map(({ plan }) => plan)).toEqual([null, null]);
  });

  test("ranks rules by priority, then by id, in whatever order they come", async () => {
    const { table } = start();
    const [first] = DROP;
    const [second] = PASS;
    await table.replace(
      [
        { ...second, id: 5, priority: 9 },
        { ...first, id: 4, priority: 9 },
      ],
      [],
    );
    expect(it.send(0)).toBe(0);
    await table.replace(
      [
        { ...first, id: 5, priority: 9 },
        { ...second, id: 4, priority: 9 },
      ],
      [],
    );
    expect(it.send(0)).toBe(1);
    await table.replace(
      [
        { ...second, id: 5, priority: 9 },
        { ...first, id: 4, priority: 8 },
      ],
      [],
    );
    expect(it.send(0)).toBe(1);
  });

  test("runs one after the other, in the order of calls", async () => {
    const { table } = start();
    let release = () => {};
    it.delay = new Promise((resolve) => {
      release = resolve;
    });
    const done = [table.replace(DROP, []), table.replace(PASS, []), table.replace([], [])];
    // Not by promises alone: a turn that ends here goes on behind what else waits, and nothing else would ever run.
    await until("the first plan is sent", () => it.requests.length > 0, { everyMs: 0 });
    expect(it.requests.length).toBe(1);
    release();
    await Promise.all(done);
    expect(it.requests.map((request) => request.op === "plan" && request.plan !== null)).toEqual([true, true, false]);
  });

  test("that a worker refuses leaves the rules before, on every worker", async () => {
    const { table } = start();
    await table.replace(PASS, []);
    it.refusing = 1;
    expect(await failure(table.replace(DROP, []))).toMatchObject({ message: "refused" });
    expect([it.send(0), it.send(1)]).toEqual([1, 1]);
    await table.replace(DROP, []);
    expect([it.send(0), it.send(1)]).toEqual([0, 0]);
  });

  const BAD: [string, Rule[], MeterSpec[], object][] = [
    ["a port that cannot be", rulesOf([1, {}, { do: "mirror", port: 256 }]), [], { code: "BAD_OPTION" }],
    ["a port that is no number", rulesOf([1, {}, { do: "forward", ports: [0.5] }]), [], { code: "BAD_OPTION" }],
    ["a port twice", rulesOf([1, {}, { do: "forward", ports: [1, 1] }]), [], { code: "BAD_OPTION" }],
    ["a meter that is not there", rulesOf([1, {}, { do: "meter", meter: 0 }]), [], { code: "BAD_OPTION" }],
    ["a VLAN above 4095", rulesOf([1, {}, { do: "set-vlan", id: 4096 }]), [], { code: "BAD_OPTION" }],
    ["an address in words", rulesOf([1, {}, { do: "set-mac", src: "0a:b" }]), [], { code: "BAD_OPTION" }],
    ["actions behind the last", rulesOf([1, {}, { do: "drop" }, { do: "count" }]), [], { code: "BAD_OPTION" }],
    ["one id twice", [...DROP, ...PASS], [], { code: "BAD_OPTION", message: "two rules have the id 1" }],
    ["a meter without a rate", DROP, [{ name: "m", unit: "bits", rate: 0, burst: 1e6 }], { code: "BAD_OPTION" }],
    ["a meter without a burst", DROP, [{ name: "m", unit: "bits", rate: 1, burst: 7 }], { code: "BAD_OPTION" }],
    ["a burst of 3 GiB", DROP, [{ name: "m", unit: "bits", rate: 1, burst: 8 * 3e9 }], { code: "LIMIT" }],
  ];
  test.each(BAD)("refuses %s, and nothing changes", async (_, rules, meters, error) => {
    const { table } = start();
    await table.replace(PASS, []);
    it.send(0);
    expect(await failure(table.replace(rules, meters))).toMatchObject(error);
    expect([it.send(0), it.send(1), it.requests.length]).toEqual([1, 1, 1]);
    expect(table.counters(1).frames).toBe(3);
  });

  test("after close is refused", async () => {
    const { table } = start();
    await table.replace(PASS, []);
    await table.replace([], []);
    table.close();
    expect(await failure(table.replace(PASS, []))).toMatchObject({ code: "BUSY" });
  });
});

describe("counters", () => {
  test("are sums over workers, and go on as long as the id stays", async () => {
    const { table } = start();
    await table.replace(PASS, []);
    it.send(0, 3);
    it.send(1, 4);
    expect(table.counters(1)).toEqual({ frames: 7, bytes: 700, lastHitS: 0 });
    await table.replace(
      [
        { ...DROP[0], priority: 77 },
        { ...PASS[0], id: 9 },
      ],
      [],
    );
    it.send(1, 2);
    expect(table.counters(1)).toMatchObject({ frames: 9, bytes: 900 });
    expect(table.counters(9)).toEqual({ frames: 0, bytes: 0, lastHitS: -1 });
    await table.replace([{ ...PASS[0], id: 9 }], []);
    await table.replace(PASS, []);
    expect(table.counters(1)).toEqual({ frames: 0, bytes: 0, lastHitS: -1 });
  });

  test("say how long ago the last frame was", async () => {
    const { table } = start();
    await table.replace(PASS, []);
    const clocks = it.rigs.map(({ shared }) => shared.control);
    for (const control of clocks) control[CLOCK_S] = 10;
    it.send(0);
    for (const control of clocks) control[CLOCK_S] = 12;
    it.send(1);
    for (const control of clocks) control[CLOCK_S] = 17;
    expect(table.counters(1).lastHitS).toBe(5);
  });

  test("of a rule that goes are not those of the next that comes", async () => {
    const { table } = start();
    for (let id = 1; id < 50; id++) {
      const meter: MeterSpec = { name: `m${id}`, unit: "frames", rate: 1, burst: 1 };
      await table.replace([{ ...PASS[0], id }], [meter]);
      it.send(id % 2);
      expect(table.counters(id).frames).toBe(1);
    }
    // In their places, of which there are so many as two plans need.
    const { plan } = it.rigs[0];
    expect(plan?.ranks[RANK_ROW]).toBeLessThan(2);
    expect(plan?.meters.specs[METER_BUCKET]).toBeLessThan(2);
  });

  test("of rules that stay are nobody else's, however many come and go", async () => {
    const { table } = start();
    const rules: Rule[] = [];
    for (let id = 1; id <= 20; id++) {
      rules.push({ ...rulesOf([id, {}, { do: "count" }])[0], id });
      if (id % 5 === 0) rules.splice(1, 2);
      await table.replace(rules, []);
      it.send(id % 2);
    }
    for (const { id } of rules) expect([id, table.counters(id).frames]).toEqual([id, 21 - id]);
  });

  test("stay with their rules when a worker refuses others", async () => {
    const { table } = start();
    await table.replace(PASS, []);
    it.send(0);
    it.refusing = 0;
    await failure(table.replace([{ ...DROP[0], id: 2 }], []));
    it.send(0);
    it.send(1);
    expect([table.counters(1).frames, table.counters(2).frames]).toEqual([3, 0]);
    await table.replace([{ ...DROP[0], id: 3 }], []);
    it.send(1);
    expect(table.counters(3).frames).toBe(1);
  });
});

describe("meters", () => {
  const slow = (burst: number): MeterSpec => ({ name: "slow", unit: "frames", rate: 1e-6, burst });
  const other: MeterSpec = { name: "other", unit: "frames", rate: 1e-6, burst: 2 };
  const metered = (meter: number) => rulesOf([1, {}, { do: "meter", meter }, { do: "forward", ports: [1] }]);

  test("keep their tokens over replacements, and are shared by workers", async () => {
    const { table } = start();
    await table.replace(metered(0), [slow(10)]);
    expect([it.send(0, 4), it.send(1, 4)]).toEqual([4, 4]);
    await table.replace(metered(1), [other, slow(10)]);
    expect(it.send(0, 4)).toBe(2);
    expect(table.meterCounters("slow")).toEqual({ frames: 12, bytes: 1200, dropped: 2 });
    expect(table.meterCounters("other")).toEqual({ frames: 0, bytes: 0, dropped: 0 });
    expect(table.meterCounters("neither")).toEqual({ frames: 0, bytes: 0, dropped: 0 });
  });

  test("begin anew with other figures, and go on counting", async () => {
    const { table } = start();
    await table.replace(metered(0), [slow(3)]);
    expect(it.send(0, 4)).toBe(3);
    await table.replace(metered(0), [slow(5)]);
    expect(it.send(0, 6)).toBe(5);
    await table.replace(metered(0), [slow(1)]);
    expect(it.send(1, 2)).toBe(1);
    expect(table.meterCounters("slow")).toEqual({ frames: 12, bytes: 1200, dropped: 3 });
  });

  test("that go leave nothing to those of the same name that come later", async () => {
    const { table } = start();
    await table.replace(metered(0), [slow(3)]);
    it.send(0, 4);
    await table.replace([], []);
    await table.replace(metered(0), [slow(3)]);
    expect(it.send(0, 4)).toBe(3);
    expect(table.meterCounters("slow")).toEqual({ frames: 4, bytes: 400, dropped: 1 });
  });
});

describe("drain", () => {
  test("hands over what rules logged, of every worker, and says what was lost", async () => {
    const { table } = start();
    expect(table.drain()).toBe(0);
    await table.replace(rulesOf([1, {}, { do: "log", every: 2 }]), []);
    it.send(0, 3);
    it.send(1, 1);
    expect(table.drain()).toBe(0);
    const entry: LoggedFrame = { rule: 1, port: 0, length: 100, head: SENT };
    expect(it.logged).toEqual([entry, entry, entry]);
    for (let k = 0; k < 100; k++) it.send(1, 64);
    const lost = table.drain();
    expect(lost).toBeGreaterThan(0);
    expect(it.logged.length + lost).toBe(3 + 3200);
    expect(table.drain()).toBe(0);
  });
});

describe("memory", () => {
  function mappings(): number {
    return readFileSync("/proc/self/maps", "utf8").split("\n").length;
  }

  test("of plans that are gone is given back", async () => {
    const { table } = start();
    const rules = Array.from({ length: 500 }, (_, k) => ({ ...PASS[0], id: k + 1 }));
    const turn = async () => {
      await table.replace(rules, [{ name: "m", unit: "frames", rate: 1, burst: 1 }]);
      it.refusing = 1;
      await failure(table.replace(DROP, []));
      await failure(table.replace(rulesOf([1, {}, { do: "mirror", port: 999 }]), []));
      await table.replace([], []);
    };
    await turn();
    const before = mappings();
    for (let k = 0; k < 100; k++) await turn();
    // The collector's own come and go.
    expect(mappings()).toBeLessThan(before + 50);
  });
});
