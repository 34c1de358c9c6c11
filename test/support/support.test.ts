// The helpers of the tests, tested: a wait that never ends, a skip that hides or a leak check that cannot see would make
// every test that uses them worthless.

import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withoutNews } from "./dpdk.ts";
import { type Holdings, heldDifference, holdings } from "./leaks.ts";
import { requireNamespaces, useNamespaces } from "./netns.ts";
import { run, useProcesses } from "./process.ts";
import { PATIENCE, until } from "./until.ts";

const scratch = mkdtempSync(join(tmpdir(), "ringyard-support-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs a test file of one line in a process of its own. */
async function runTestFile(name: string, body: string, env: Record<string, string>) {
  const file = join(scratch, `${name}.test.ts`);
  writeFileSync(file, body);
  const child = Bun.spawn([process.execPath, "test", file], {
    cwd: scratch,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = (await child.stdout.text()) + (await child.stderr.text());
  return { output, exitCode: await child.exited };
}

describe("until", () => {
  test("returns the value that a probe gives in the end", async () => {
    let asked = 0;
    expect(await until("a third question", () => (++asked === 3 ? asked : undefined), { everyMs: 1 })).toBe(3);
  });

  test("says what it waited for and what it saw", async () => {
    const waiting = until(
      "nothing",
      () => {
        throw new Error("not there");
      },
      { timeoutMs: 20, everyMs: 5 },
    );
    await expect(waiting).rejects.toThrow(`waited ${20 * PATIENCE} ms for nothing; last seen: not there`);
  });
});

describe("requirePeer", () => {
  const body = `import { test } from "bun:test";
    import { requirePeer } from ${JSON.stringify(join(import.meta.dir, "skip.ts"))};
    requirePeer("unobtainium", false, "there is none")("suite", () => { test("inside", () => {}); });`;

  test("is a failure in CI", async () => {
    const { output, exitCode } = await runTestFile("ci", body, { CI: "true" });
    expect(exitCode).toBe(1);
    expect(output).toContain("unobtainium is not available: there is none");
  });

  test("is a skip that prints its reason elsewhere", async () => {
    const { output, exitCode } = await runTestFile("no-ci", body, { CI: "" });
    expect(exitCode).toBe(0);
    expect(output).toContain("skip: suite: unobtainium is not available: there is none");
    expect(output).toContain("1 skip");
  });
});

describe("useCleanup", () => {
  const body = (then: string) => `import { test } from "bun:test";
    import { rmSync, writeFileSync } from "node:fs";
    import { useCleanup } from ${JSON.stringify(join(import.meta.dir, "cleanup.ts"))};
    const defer = useCleanup();
    test("makes and then", async () => {
      writeFileSync(process.env.MADE, ""); defer(() => rmSync(process.env.MADE)); console.log("made"); ${then}
    }, 300);`;

  for (const [how, then] of [
    ["a failure", "throw new Error()"],
    ["a time-out", "await new Promise(() => setInterval(() => {}, 50))"],
    ["a signal", "process.kill(process.pid, 'SIGTERM'); await Bun.sleep(200)"],
  ] as const) {
    test(`undoes after ${how}`, async () => {
      const made = join(scratch, how);
      const { output, exitCode } = await runTestFile("cleanup", body(then), { MADE: made });
      expect(exitCode).not.toBe(0);
      expect(output).toContain("made");
      expect(existsSync(made)).toBe(false);
    });
  }
});

test("testpmd's prompt is found between the news of other threads", () => {
  const output = [
    "Done.\nt\nPort 1: link state change event\n",
    "vhost_user_update_link_state(): virtio-user port 1 is down\n",
    "evhost_user_update_link_state(): virtio-user port 0 is down\n",
    "\nPort 0: link state change event\n",
    "stpvhost_user_server_disconnect(): (/tmp/a) Expected valid Vhost FD\n",
    "mvhost_user_server_disconnect(): (/tmp/b) Expected valid Vhost FD\nd> ",
  ];
  expect(withoutNews(output.join(""))).toBe("Done.\ntestpmd> ");
  expect(withoutNews("RX-packets: 40800\ntestpmd> ")).toBe("RX-packets: 40800\ntestpmd> ");
});

describe("holdings", () => {
  /** Pipes of the programs that other tests ran may close at any time: only what lies in our folder counts. */
  const changesSince = (before: Holdings) =>
    heldDifference(before, holdings()).filter((line) => line.includes(scratch));

  test("show a descriptor that was left open, and not one that was closed", () => {
    const before = holdings();
    const fd = openSync(scratch, "r");
    expect(changesSince(before)).toEqual([`fds: ${scratch}: 0 -> 1`]);
    closeSync(fd);
    expect(changesSince(before)).toEqual([]);
  });

  test("show a mapping", () => {
    const file = join(scratch, "mapped");
    writeFileSync(file, "x".repeat(4096));
    const before = holdings();
    const view = Bun.mmap(file);
    expect(changesSince(before)).toEqual([`mappings: ${file}: 0 -> 1`]);
    expect(view.length).toBe(4096);
  });
});

describe("processes", () => {
  const spawn = useProcesses();

  test("a non-zero exit is a failure with the output", async () => {
    await expect(run(["sh", "-c", "echo oops >&2; exit 3"])).rejects.toThrow(/ended with 3\noops/);
  });

  test("a program that ends before it says the word fails at once", async () => {
    const program = spawn(["sh", "-c", "echo only this"]);
    await expect(program.says("something else", { timeoutMs: 5_000 })).rejects.toThrow(
      /ended before it said "something else"\nonly this/,
    );
  });

  test("stop ends a program that ignores nothing", async () => {
    const program = spawn(["sh", "-c", "echo ready; exec sleep 60"]);
    await program.says("ready");
    await program.stop();
    expect(program.running).toBe(false);
  });
});

requireNamespaces()("namespaces", () => {
  const namespace = useNamespaces();

  test("are separate, run programs, and go with what runs in them", async () => {
    const [left, right] = [await namespace(), await namespace()];
    expect(left.name).not.toBe(right.name);
    expect((await left.run(["ip", "-o", "link"])).stdout).toContain("lo:");
    const sleeper = left.spawn(["sleep", "60"]);
    await until("the program to be inside", () => left.pids().includes(sleeper.pid));
    left.remove();
    expect(existsSync(left.path)).toBe(false);
    await until("the program to end", () => !sleeper.running);
  });
});
