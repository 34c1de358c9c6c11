// TOML that is long is read on a thread of its own: values, places and mistakes are the same as where it is read at once.

import { expect, test } from "bun:test";
import { readToml, type Toml, type TomlSyntaxError } from "../../src/control/config-toml.ts";
import { readTomlAside } from "../../src/control/config-toml-aside.ts";
import { turnsWhile } from "../support/turns.ts";

/** More than is read at once. */
const RULES = Array.from({ length: 20_000 }, (_, n) => `"prio 9 ip dst 10.${n >> 8}.${n & 255}.0/24 drop",\n`).join("");
const LAST = ["rules", 19_999];

/** What can be compared. */
function seen(read: Toml | TomlSyntaxError): object {
  if ("message" in read) return read;
  const { value, problems, lineOf } = read;
  return { value, problems, lines: [["rules"], LAST, ["ports", "a"], ["nowhere"]].map(lineOf) };
}

const texts: [string, string][] = [
  ["well", `rules = [\n${RULES}]\n[ports]\na = "null:"\nb = { uri = "null:", mtu = 1500 }\n`],
  ["with a date and a prototype", `rules = [\n${RULES}]\n[ports]\na = 2024-01-01\n[__proto__]\nx = 1\n`],
  ["broken at its end", `rules = [\n${RULES}]\n[ports\n`],
  ["nested too deep", `rules = [\n${RULES}${"[".repeat(50)}${"]".repeat(50)}]\n`],
];

test.each(texts)("a long text, %s", async (_, text) => {
  const { result, turns } = await turnsWhile(() => readTomlAside(text));
  expect(turns).toBeGreaterThan(5);
  expect(seen(result)).toEqual(seen(readToml(text)));
});

test("a short one is read at once", async () => {
  const { result, turns } = await turnsWhile(() => readTomlAside('[ports]\na = "null:"'));
  expect(turns).toBeLessThan(2);
  expect(result).toMatchObject({ value: { ports: { a: "null:" } } });
});
