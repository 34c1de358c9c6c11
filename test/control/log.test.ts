// The log of a switch whose disk is full: nobody who logs hears of it.

import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { join } from "node:path";

const LOG = join(import.meta.dir, "../../src/control/log.ts");

test.each([false, true])("what cannot be written stops nobody (on a terminal: %p)", async (terminal) => {
  const lines = 'for (let n = 0; n < 5000; n++) log.info({ text: "x".repeat(500) }, "a line");';
  const script = `const { createLog } = await import(${JSON.stringify(LOG)}); const log = await createLog("info", ${terminal}); ${lines} console.log("lives");`;
  const child = Bun.spawn(["bun", "-e", script], { stdout: "pipe", stderr: openSync("/dev/full", "w") });
  expect(await new Response(child.stdout).text()).toBe("lives\n");
  expect(await child.exited).toBe(0);
});
