// Commands whose output cannot be written: one line and a failure; a switch goes on.

import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { join } from "node:path";
import { captureFile } from "../../src/cli/capture-output.ts";
import { failure } from "../support/failure.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");
const FULL = "standard output cannot be written: ENOSPC: no space left on device, write";

test.each([[["version"]], [["doctor", "--json"]], [["rule", "--help"]]])(
  "%j on a full disk is one line",
  async (words) => {
    const child = Bun.spawn([process.execPath, MAIN, ...words], { stdout: openSync("/dev/full", "w"), stderr: "pipe" });
    expect([await child.stderr.text(), await child.exited]).toEqual([`ringyard: ${FULL}\n`, 1]);
  },
);

test("a capture into a file on a full disk names it", async () => {
  const output = await captureFile("/dev/full", 100);
  const next = "cannot write /dev/full: ENOSPC: name another file";
  expect((await failure(output.take([]))).advice).toBe(next);
  expect((await failure(output.end(1, undefined))).advice).toBe(next);
});

test("a reader that has gone is no error", async () => {
  const line = `set -o pipefail; '${process.execPath}' '${MAIN}' rule --help | true`;
  expect(await run(["bash", "-c", line])).toMatchObject({ stderr: "", exitCode: 0 });
});

test.each(["full", "closed"])("a switch whose output is %s goes on, and ends in order", async (output) => {
  const control = `/tmp/ringyard-output-${process.pid}`;
  const to = output === "full" ? ">/dev/full" : "| true";
  const line = `set -o pipefail; exec 3>&1; { '${process.execPath}' '${MAIN}' up --control ${control} & echo $! >&3; wait $!; } ${to}`;
  await using child = Bun.spawn(["bash", "-c", line], { stdout: "pipe", stderr: "pipe" });
  const reader = child.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  let log = "";
  const ended = (async () => {
    for await (const chunk of child.stderr) log += new TextDecoder().decode(chunk);
  })();
  await until("the switch is ready", () => log.includes('"ready"'), { context: () => log });
  process.kill(pid, "SIGTERM");
  await ended;
  expect(log).toContain('"stopped"');
  expect(await child.exited).toBe(0);
});
