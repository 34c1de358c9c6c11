// The demo, both ways: it says what it measured, exits with 0, and leaves nothing behind, also when it is interrupted.

import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Undo } from "../../scripts/demo/undo.ts";
import { requireNamespaces } from "../support/netns.ts";
import { run, useProcesses } from "../support/process.ts";

const DEMO = join(import.meta.dir, "../../scripts/demo.ts");
const env = { RINGYARD_NO_INSTALL: "1" };
const spawn = useProcesses();

/** Namespaces and directories of demos, whichever is running. */
function leftovers(pid: number): string[] {
  const namespaces = Bun.spawnSync(["ip", "netns", "list"]).stdout.toString().split("\n");
  return namespaces.filter((line) => line.startsWith("ringyard-") && line.split(" ")[0].endsWith(`-${pid}`));
}

const directories = () => readdirSync(tmpdir()).filter((name) => name.startsWith("ringyard-demo-"));

requireNamespaces()("the demo with containers", () => {
  test("pings, transfers, shows ports and addresses, and exits with 0", async () => {
    const before = directories();
    const demo = spawn([process.execPath, DEMO], { env });
    expect(await Promise.race([demo.child.exited, Bun.sleep(60_000)])).toBe(0);
    expect(demo.output).toContain("ringyard ready: 2 ports");
    expect(demo.output).toMatch(/\nlatency +5 pings from blue to red, none lost: [\d.]+ ms/);
    expect(demo.output).toMatch(/\nthroughput +\d+\.\d\d Gbit\/s of TCP/);
    expect(demo.output).toMatch(/\nblue +tap +up .*\nred +tap +up /);
    expect(demo.output.match(/ (blue|red) +learned /g)).toHaveLength(2);
    expect(demo.output).toMatch(/\ndone in [\d.]+ s, and everything removed\n/);
    expect(leftovers(demo.pid)).toEqual([]);
    expect(directories()).toEqual(before);
  }, 70_000);

  test("interrupted in the middle, takes everything away", async () => {
    const before = directories();
    const demo = spawn([process.execPath, DEMO], { env });
    await demo.says("ringyard ready", { timeoutMs: 30_000 });
    expect(leftovers(demo.pid)).toHaveLength(2);
    expect(await demo.stop("SIGINT")).toBe(130);
    expect(leftovers(demo.pid)).toEqual([]);
    expect(directories()).toEqual(before);
  }, 60_000);
});

test("without containers it runs in one process and says so", async () => {
  const script = `
    const { memoryDemo } = await import("${join(import.meta.dir, "../../scripts/demo/memory.ts")}");
    const { Undo } = await import("${join(import.meta.dir, "../../scripts/demo/undo.ts")}");
    const undo = new Undo();
    await memoryDemo(undo);
    await undo.all();`;
  const { stdout } = await run([process.execPath, "-e", script]);
  expect(stdout).toMatch(/latency +1000 round trips, none lost: median \d+ µs/);
  expect(stdout).toMatch(/throughput +\d+\.\d\d million frames\/s of 1514 bytes/);
  expect(stdout).toMatch(/\nblue +memory +up .*\nred +memory +up /);
}, 60_000);

describe("undoing", () => {
  test("runs last one first, once, and over failures", async () => {
    const undo = new Undo();
    const done: number[] = [];
    undo.push(() => done.push(1));
    undo.push(() => Promise.resolve(done.push(2)));
    expect(undo.begun).toBe(false);
    await Promise.all([undo.all(), undo.all()]);
    expect(undo.begun).toBe(true);
    expect(done).toEqual([2, 1]);
  });
});
