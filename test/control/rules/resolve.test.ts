// Names become numbers; names that nothing has are said.

import { describe, expect, test } from "bun:test";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { namesIn, resolveRule, UnknownNameError } from "../../../src/control/rules/resolve.ts";

const PORTS: Record<string, number> = { vm1: 3, vm2: 5, span: 0 };
const METERS: Record<string, number> = { web: 0, dns: 1 };
const lookup = { port: (name: string) => PORTS[name], meter: (name: string) => METERS[name] };
const resolve = (text: string) => resolveRule({ ...parseRule(text), id: 9 }, lookup);

test("ports and meters by number", () => {
  expect(resolve("prio 5 in vm2,vm1 tcp dport 80 mirror span meter dns forward vm2,span")).toEqual({
    id: 9,
    priority: 5,
    match: [
      {
        field: "in",
        oneOf: [
          { value: 3n, mask: 0xffffn },
          { value: 5n, mask: 0xffffn },
        ],
      },
      { field: "tcp", oneOf: [{ value: 1n, mask: 1n }] },
      { field: "tcp.dport", oneOf: [{ value: 80n, mask: 0xffffn }] },
    ],
    actions: [
      { do: "mirror", port: 0 },
      { do: "meter", meter: 1 },
      { do: "forward", ports: [5, 0] },
    ],
  });
});

test("what has no names stays as it is", () => {
  const rule = parseRule("id 9 vlan 5 set vlan 6 strip vlan set dscp ef count log drop");
  expect(resolveRule({ ...rule, id: 9 }, lookup)).toEqual({ ...rule, id: 9 } as ReturnType<typeof resolve>);
});

describe("a name that nothing has", () => {
  test.each<[string, "port" | "meter", string, string]>([
    ["in vm1,vm3 drop", "port", "vm3", "rule 9: no port is called vm3: add it: ringyard port add vm3 URI"],
    ["forward vm1,gone", "port", "gone", "rule 9: no port is called gone: add it: ringyard port add gone URI"],
    ["mirror gone", "port", "gone", "rule 9: no port is called gone: add it: ringyard port add gone URI"],
    ["meter slow drop", "meter", "slow", "rule 9: no meter is called slow: define it: [meters.slow]"],
  ])("%s", (text, kind, name, line) => {
    try {
      resolve(text);
    } catch (error) {
      if (!(error instanceof UnknownNameError)) throw error;
      expect(error).toMatchObject({ code: "NOT_FOUND", kind, name: "RingyardError", word: name });
      expect(error.advice).toBe(line);
      return;
    }
    throw new Error("resolved");
  });
});

test("names are listed once each, in order", () => {
  expect(namesIn(parseRule("in b,a tcp mirror c meter m mirror a meter n forward d,b"))).toEqual({
    ports: ["a", "b", "c", "d"],
    meters: ["m", "n"],
  });
  expect(namesIn(parseRule("tcp drop"))).toEqual({ ports: [], meters: [] });
});
