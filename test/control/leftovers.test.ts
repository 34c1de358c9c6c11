// What earlier switches left, gathered from every kind that can leave something.

import { expect, test } from "bun:test";
import { removeLeftovers } from "../../src/control/leftovers.ts";
import { RingyardError } from "../../src/core/errors.ts";
import type { Leftovers, PortKind } from "../../src/ports/port.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const leaving = (kind: string, remove: () => Promise<Leftovers>): PortKind => ({
  ...fakeKinds.tap,
  kind,
  removeLeftovers: remove,
});
const failing = (code: "MISSING" | "PERMISSION") =>
  leaving("b", () => Promise.reject(new RingyardError(code, "no devices of that kind")));

test("is named by kind and target", async () => {
  const all: Leftovers = { removed: ["x", "y"], failed: [{ name: "z", reason: "stuck" }], served: ["w"] };
  const kinds = { a: leaving("a", async () => all), tap: fakeKinds.tap, c: leaving("c", async () => all) };
  expect(await removeLeftovers(kinds)).toEqual({
    removed: ["a:x", "a:y", "c:x", "c:y"],
    failed: [
      { name: "a:z", reason: "stuck" },
      { name: "c:z", reason: "stuck" },
    ],
    served: ["a:w", "c:w"],
  });
});

test("is nothing where the machine has no such devices, and an error where they cannot be reached", async () => {
  expect(await removeLeftovers({ b: failing("MISSING") })).toEqual({ removed: [], failed: [], served: [] });
  await expect(removeLeftovers({ b: failing("PERMISSION") })).rejects.toMatchObject({ code: "PERMISSION" });
});
