// A bench that is interrupted puts back all that it changed before it ends, whatever its loops do meanwhile.

import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { inTurns } from "../../bench/turns.ts";
import { Undo } from "../../bench/undo.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useProcesses } from "../support/process.ts";
import { until } from "../support/until.ts";

const defer = useCleanup();
const spawn = useProcesses();

/** As bench/main.ts: one system, whose client ends as soon as it is told to, and whose switch takes its time. */
const BENCH = `
import { inTurns } from "${resolve(import.meta.dir, "../../bench/turns.ts")}";
import { Undo } from "${resolve(import.meta.dir, "../../bench/undo.ts")}";
const undo = new Undo();
undo.trapSignals();
const context = { systems: ["a", "b"], undo, failed: (what) => console.log("failed:", what) };
const systems = [{ name: "a" }, { name: "b" }];
await inTurns(systems, 0, context, async ({ name }, own) => {
  own.defer(() => console.log("namespace removed:", name));
  let end;
  const client = new Promise((_, reject) => { end = reject; });
  own.defer(async () => {
    end(new Error("the client has gone"));
    await Bun.sleep(300);
  });
  console.log("measuring", name);
  await client;
}).catch((error) => console.log(error.message));
await undo.unwind();
console.log(undo.interrupted ? "interrupted" : "at the end");
if (undo.interrupted) await new Promise(() => {});
process.exit(1);
`;

test("a signal ends it once everything is undone, and nothing new begins", async () => {
  const bench = spawn([process.execPath, "-e", BENCH]);
  await bench.says("measuring a");
  expect(await bench.stop("SIGINT")).toBe(130);
  expect(bench.output).toContain("namespace removed: a");
  expect(bench.output).not.toContain("measuring b");
});

test("a program that is run to its end does not outlive a bench that is killed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringyard-undo-"));
  defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "pid");
  const code = `
import { run } from "${resolve(import.meta.dir, "../support/process.ts")}";
import { mortal } from "${resolve(import.meta.dir, "../../bench/undo.ts")}";
await run(mortal(["bash", "-c", "echo $$ >${file}; exec sleep 20"]));
`;
  const bench = spawn([process.execPath, "-e", code]);
  const pid = await until("it to begin", () => existsSync(file) && Number(readFileSync(file, "utf8")));
  await bench.stop("SIGKILL");
  await until("it to end", () => !existsSync(`/proc/${pid}`));
});

test("what runs early is waited for by whoever comes second", async () => {
  const undo = new Undo();
  let done = 0;
  const early = undo.defer(async () => {
    await Bun.sleep(20);
    done++;
  });
  const all = undo.unwind();
  await early();
  expect(done).toBe(1);
  await all;
  await undo.unwind();
  expect(done).toBe(1);
});

test("what is made after the end is undone at once, and whoever made it goes no further", async () => {
  const undo = new Undo();
  await undo.unwind();
  let undone = false;
  expect(() =>
    undo.defer(() => {
      undone = true;
    }),
  ).toThrow("ending");
  expect(undone).toBe(true);
});

test("a round begins no system once the bench has been unwound", async () => {
  const undo = new Undo();
  const begun: string[] = [];
  const context = { systems: ["a", "b"], undo, failed() {} } as unknown as Parameters<typeof inTurns>[2];
  const measure = async ({ name }: { name: string }) => {
    begun.push(name);
    await undo.unwind();
  };
  expect(inTurns([{ name: "a" }, { name: "b" }], 0, context, measure)).rejects.toThrow("ending");
  await Bun.sleep(1);
  expect(begun).toEqual(["a"]);
});
