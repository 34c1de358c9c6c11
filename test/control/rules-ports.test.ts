// Ports come and go while rules name them: the rules wait, take effect again, and never mean another port.

import { beforeEach, expect, test } from "bun:test";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { RuleService } from "../../src/control/rules/rule-service.ts";
import { RingyardError } from "../../src/core/errors.ts";
import type { Rule } from "../../src/dataplane/rules/rule.ts";
import { MAX_PORTS } from "../../src/dataplane/shared.ts";
import { failure } from "../support/failure.ts";
import { FakeRuleTable } from "../support/fake-rule-table.ts";

let table: FakeRuleTable;
let service: RuleService;

beforeEach(async () => {
  table = new FakeRuleTable();
  service = new RuleService(table, (change) => change());
  for (const [index, name] of ["a", "b", "c"].entries()) await service.portComes(name, index);
});

const add = (text: string) => service.add(parseRule(text));
const inactive = () => service.list().map((rule) => rule.inactive);

/** The ports that a rule of the dataplane names. */
function ports({ match, actions }: Rule): (number | undefined)[][] {
  const from = match.flatMap(({ oneOf }) => oneOf.map((value) => ("value" in value ? Number(value.value) : undefined)));
  const to = actions.flatMap((action) => {
    if (action.do === "forward") return action.ports;
    return action.do === "mirror" ? [action.port] : [];
  });
  return [from, to];
}

test("a rule for frames from a port that went matches nothing, and again when it is back", async () => {
  await add("in a drop");
  await service.portGoes("a");
  expect(inactive()).toEqual(["no port a"]);
  const [[from]] = ports(table.rules[0]);
  expect(from).toBeGreaterThanOrEqual(MAX_PORTS);
  await service.portComes("a", 5);
  expect(inactive()).toEqual([undefined]);
  expect(ports(table.rules[0])).toEqual([[5], []]);
});

test("of several ports those that are there count", async () => {
  await add("in a,b forward b,c");
  await service.portGoes("b");
  expect(inactive()).toEqual(["no port b"]);
  expect(ports(table.rules[0])).toEqual([[0], [2]]);
  await service.portGoes("a");
  await service.portGoes("c");
  expect(inactive()).toEqual(["no port a, b, c"]);
  expect(table.rules[0].actions).toEqual([{ do: "forward", ports: [] }]);
});

test("of many ports that are not there the first are named", async () => {
  const names = Array.from({ length: 100 }, (_, n) => `p${n}`);
  for (const [n, name] of names.entries()) await service.portComes(name, 10 + n);
  await add(`in ${names.join(",")} drop`);
  for (const name of names) await service.portGoes(name);
  expect(inactive()).toEqual(["no port p0, p1, p10, p11, p12, p13, p14, p15 and 92 more"]);
});

test("nothing is mirrored to a port that went, and the rest of the rule goes on", async () => {
  await add("in a mirror c count drop");
  await service.portGoes("c");
  expect(table.rules[0].actions).toEqual([{ do: "count" }, { do: "drop" }]);
  await service.portComes("c", 9);
  expect(table.rules[0].actions).toEqual([{ do: "mirror", port: 9 }, { do: "count" }, { do: "drop" }]);
});

test("an index that another port gets means that port only", async () => {
  await add("in a forward b");
  await service.portGoes("a");
  await service.portComes("other", 0);
  expect(ports(table.rules[0])).toEqual([[MAX_PORTS], [1]]);
  expect(inactive()).toEqual(["no port a"]);
});

test("ports that no rule names cost no compilation", async () => {
  await add("in a drop");
  const { replaced } = table;
  await service.portComes("d", 3);
  await service.portGoes("d");
  await service.portGoes("b");
  expect(table.replaced).toBe(replaced);
});

test("rules that name other ports are the same objects: they are not compiled again", async () => {
  await add("in a drop");
  await add("in b drop");
  const [, second] = table.rules;
  await service.portGoes("a");
  expect(table.rules[1]).toBe(second);
});

test("where the dataplane keeps the rules of a port that went, no other port comes before it has let go", async () => {
  await add("in a drop");
  table.failure = new RingyardError("SYSTEM", "no memory");
  expect((await failure(service.portGoes("a"))).message).toBe("no memory");
  // The workers still drop what comes from index 0.
  expect((await failure(service.portComes("other", 0))).message).toBe("no memory");
  table.failure = null;
  await service.portComes("other", 0);
  expect(ports(table.rules[0])).toEqual([[MAX_PORTS], []]);
});

test("a port whose rules cannot be had is not there", async () => {
  await add("in a drop");
  await service.portGoes("a");
  table.failure = new RingyardError("SYSTEM", "no memory");
  await failure(service.portComes("a", 0));
  expect(inactive()).toEqual(["no port a"]);
});

test("a rule that waits may stay in a replacement, and no new one may name that port", async () => {
  await add("in a drop");
  await service.portGoes("a");
  const texts = (...more: string[]) => ({ ...service.number(["in a drop", ...more].map(parseRule)), meters: [] });
  await service.put(texts("drop"));
  expect(service.list().map(({ id, inactive }) => [id, inactive])).toEqual([
    [1, "no port a"],
    [2, undefined],
  ]);
  expect((await failure(service.put(texts("forward a")))).message).toBe('rule "prio 1000 forward a": no port a');
  // Those of a configuration may: their ports come after them.
  await service.put(texts("forward a"), "wait");
  expect(service.list()).toHaveLength(2);
});
