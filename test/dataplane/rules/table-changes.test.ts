// Rules that come and go one at a time among hundreds, so that tables are changed in place: counters go on, refused ones leave no trace,
// and when changes pause, all is made anew.

import { afterEach, expect, test } from "bun:test";
import { RANK_LENGTH, RANK_ROW } from "../../../src/dataplane/rules/plan-layout.ts";
import { byRank, type MeterSpec, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { failure } from "../../support/failure.ts";
import { turnsWhile } from "../../support/turns.ts";
import { until } from "../../support/until.ts";
import { rulesOf } from "./rules-of.ts";
import { TwoWorkers } from "./two-workers.ts";

const open: TwoWorkers[] = [];
function start(): TwoWorkers {
  const it = new TwoWorkers();
  open.push(it);
  return it;
}
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** That no frame of the test meets. */
const OTHERS: Rule[] = Array.from({ length: 400 }, (_, i) => ({
  ...rulesOf([500, { "ip4.dst": 0x0a000000 + i }, { do: "drop" }])[0],
  id: 1000 + i,
}));
const COUNTS: Rule = { ...rulesOf([900, {}, { do: "count" }])[0], id: 7 };
const PASS: Rule = { ...rulesOf([100, {}, { do: "forward", ports: [1] }])[0], id: 8 };
const DROP: Rule = { ...rulesOf([800, {}, { do: "drop" }])[0], id: 9 };

/** The text of what the workers run. */
const sources = (it: TwoWorkers) => it.rigs.map(({ plan }) => plan!.program.functions);

test("each worker runs the rules as they are, and counters go on", async () => {
  const it = start();
  const rules = [COUNTS, ...OTHERS, PASS];
  await it.table.replace(rules, []);
  const functions = sources(it);
  let frames = 0;
  for (let n = 0; n < 40; n++) {
    const guest = n % 2 === 0 ? [DROP] : [];
    const gone = OTHERS[(n * 7) % OTHERS.length];
    await it.table.replace([...rules.filter((rule) => rule !== gone), ...guest].sort(byRank), []);
    expect(it.send(n % 2)).toBe(guest.length === 0 ? 1 : 0);
    frames++;
    expect(it.table.counters(COUNTS.id).frames).toBe(frames);
    // One that came again begins anew.
    expect(it.table.counters(DROP.id).frames).toBe(guest.length);
  }
  expect(it.table.counters(PASS.id).frames).toBe(20);
  expect(sources(it)).toEqual(functions);
});

test("rows are those of as many rules as there are, twice at most", async () => {
  const it = start();
  const rules = [...OTHERS, PASS];
  await it.table.replace(rules, []);
  for (let n = 0; n < 600; n++) await it.table.replace([{ ...COUNTS, id: 5000 + n }, ...rules], []);
  const { ranks } = it.rigs[0].plan!;
  const rows = new Set(Array.from({ length: ranks.length / RANK_LENGTH }, (_, k) => ranks[k * RANK_LENGTH + RANK_ROW]));
  expect(rows.size).toBe(rules.length + 1);
  expect(Math.max(...rows)).toBeLessThan(2 * rules.length);
});

test("what a worker refuses leaves the rules before, and the next change goes through", async () => {
  const it = start();
  const rules = [COUNTS, ...OTHERS, PASS];
  await it.table.replace(rules, []);
  it.send(0);
  it.refusing = 1;
  expect(await failure(it.table.replace([COUNTS, DROP, ...OTHERS, PASS], []))).toMatchObject({ message: "refused" });
  expect([it.send(0), it.send(1)]).toEqual([1, 1]);
  // Takes the row that the refused one was to have.
  const other = { ...COUNTS, id: 6 };
  await it.table.replace([other, COUNTS, DROP, ...OTHERS.slice(1), PASS], []);
  expect([it.send(0), it.send(1)]).toEqual([0, 0]);
  expect([other, COUNTS, DROP, PASS].map(({ id }) => it.table.counters(id).frames)).toEqual([2, 5, 2, 3]);
});

test("an id of a rule that stays is nobody else's", async () => {
  const it = start();
  const rules = [COUNTS, ...OTHERS, PASS];
  await it.table.replace(rules, []);
  const twin = { ...DROP, id: OTHERS[5].id };
  expect(await failure(it.table.replace([twin, ...rules], []))).toMatchObject({
    message: "two rules have the id 1005",
  });
  // In the place of the other one it may have it.
  await it.table.replace([twin, ...rules.filter((rule) => rule !== OTHERS[5])].sort(byRank), []);
  expect(it.send(0)).toBe(0);
});

const METER: MeterSpec = { name: "m", unit: "bits", rate: 1e6, burst: 1e6 };

test.each([
  ["", []],
  [" but a meter", [METER]],
])("the same rules again, after none at all%s, count into rows of their own", async (_, meters) => {
  const it = start();
  const counting = [COUNTS, { ...COUNTS, id: 10 }, { ...COUNTS, id: 11 }];
  const rules = [...counting, ...OTHERS, PASS];
  await it.table.replace(rules, meters);
  it.send(0);
  await it.table.replace([], meters);
  await it.table.replace(rules, meters);
  it.send(0);
  expect([...counting, PASS].map(({ id }) => it.table.counters(id).frames)).toEqual([1, 1, 1, 1]);
});

test("a rule of a new shape is met at once, and part of the source when changes pause", async () => {
  const it = start();
  const rules = [COUNTS, ...OTHERS, PASS];
  await it.table.replace(rules, []);
  const functions = sources(it);
  // SENT comes from there.
  const shaped = { ...rulesOf([800, { "eth.src": 0x020000000001 }, { do: "drop" }])[0], id: 9 };
  await it.table.replace([COUNTS, shaped, ...OTHERS, PASS], []);
  expect([it.send(0), it.send(1)]).toEqual([0, 0]);
  // Is none the later for it.
  it.refusing = 1;
  expect(await failure(it.table.replace([COUNTS, DROP, ...OTHERS, PASS], []))).toMatchObject({ message: "refused" });
  const before = it.requests.length;
  await until("all is compiled anew", () => it.requests.length > before, { timeoutMs: 10_000 });
  expect(sources(it)).not.toEqual(functions);
  expect([it.send(0), it.send(1)]).toEqual([0, 0]);
  expect([COUNTS, shaped].map(({ id }) => it.table.counters(id).frames)).toEqual([4, 4]);
});

test("thousands are compiled while others have their turns, and a change asked for meanwhile comes behind them", async () => {
  const it = start();
  const many = Array.from({ length: 8_000 }, (_, n) => ({
    ...rulesOf([500, { "ip4.dst": 0x0a000000 + n, "ip4.src": n }, { do: "drop" }])[0],
    id: 1000 + n,
  }));
  let asked: Promise<void> | undefined;
  const { turns } = await turnsWhile(
    () => it.table.replace([...many, PASS], []),
    () => {
      asked ??= it.table.replace([DROP, ...many, PASS], []);
    },
  );
  expect(turns).toBeGreaterThan(5);
  expect(it.requests).toHaveLength(1);
  expect(it.send(0)).toBe(1);
  await asked;
  expect(it.send(0)).toBe(0);
  expect(it.table.counters(DROP.id).frames).toBe(1);
});
