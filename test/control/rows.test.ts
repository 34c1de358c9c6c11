// Rows: arrays of results that are made while they are sent, and which requests have them.

import { expect, test } from "bun:test";
import { requestHandler } from "../../src/control/requests.ts";
import { Rows } from "../../src/control/rows.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { Running } from "../../src/control/running.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch } from "../support/fake-switch.ts";

test("rows of a list come in pieces, each made when it is taken", () => {
  const made: number[] = [];
  const items = Array.from({ length: 200 }, (_, n) => n);
  const rows = Rows.of(items, (n) => {
    made.push(n);
    return String(n);
  });
  const taken: string[] = [];
  for (const piece of rows.pieces) {
    taken.push(...piece);
    expect(made).toHaveLength(taken.length);
  }
  expect(taken).toEqual(items.map(String));
  expect([...Rows.of([], String).pieces]).toEqual([]);
});

test("lists that may be long are answered with rows", async () => {
  const fake = new FakeSwitch({});
  const running = new Running(fake, fakeKinds, { settings: {} });
  const control = () => ({ connections: 0, accepted: 0, requests: 0, errors: {} });
  const handle = requestHandler(running, { control, shutdown: () => fake.close() });
  const ask = async (op: string) => {
    const answer = await handle({ id: 1, op, args: {} }, new AbortController().signal);
    return Object.entries(answer)
      .filter(([, value]) => value instanceof Rows)
      .map(([key, { pieces }]) => [key, [...pieces].flat().length]);
  };
  await running.addRule(parseRule("drop"));
  await running.setVlan(10, { ageing: 20 });
  expect([await ask("fdb.show"), await ask("rule.list"), await ask("vlan.show")]).toEqual([
    [["entries", 0]],
    [["rules", 1]],
    [
      ["vlans", 1],
      ["members", 0],
    ],
  ]);
});
