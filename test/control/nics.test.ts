// NICs as a command asks for them: one after the other, and what becomes of the rest when one fails.

import { expect, test } from "bun:test";
import { giveNics, takeNics } from "../../src/control/nics.ts";
import { RingyardError } from "../../src/core/errors.ts";
import type { NicAdmin, NicChange, TakeOptions } from "../../src/core/nics.ts";

const change = (address: string): NicChange => ({ address, changed: true, netdevs: [], warnings: [] });

function recording(fails?: unknown): { admin: NicAdmin; calls: [string, TakeOptions | undefined][] } {
  const calls: [string, TakeOptions | undefined][] = [];
  const act = async (address: string, options?: TakeOptions) => {
    calls.push([address, options]);
    if (address === "b" && fails !== undefined) throw fails;
    return change(address);
  };
  const giveAll = async () => ({ given: [], failed: [], served: [] });
  return { admin: { list: () => [], take: act, give: act, giveAll }, calls };
}

test("each is told which others go with it", async () => {
  const { admin, calls } = recording();
  const { changes, failed } = await takeNics(admin, ["a", "b"], true);
  expect({ changes, failed }).toEqual({ changes: [change("a"), change("b")], failed: [] });
  expect(calls).toEqual([
    ["a", { force: true, together: ["b"] }],
    ["b", { force: true, together: ["a"] }],
  ]);
});

test("one that fails does not keep the next from its turn, and whatever it threw is an error of ours", async () => {
  const known = new RingyardError("BUSY", "in use");
  expect(await takeNics(recording(known).admin, ["a", "b", "c"], false)).toEqual({
    changes: [change("a"), change("c")],
    failed: [{ address: "b", error: known }],
  });
  const { failed } = await giveNics(recording(new TypeError("odd")).admin, ["b"]);
  expect(failed[0].error).toMatchObject({ code: "SYSTEM", message: "odd" });
});
