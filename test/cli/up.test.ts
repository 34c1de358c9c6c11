// `ringyard up` as a process: what it prints, how it follows signals, and that a start that fails leaves nothing.

import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { closeFd } from "../../src/sys/fd.ts";
import { libc } from "../../src/sys/libc.ts";
import { receiveUnix } from "../../src/sys/unix.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useDirectories } from "../support/control.ts";
import { useProcesses } from "../support/process.ts";
import { ringyard, useRingyard } from "../support/ringyard.ts";
import { PATIENCE, until } from "../support/until.ts";

const directory = useDirectories();
const spawn = useProcesses();
const up = useRingyard();
const defer = useCleanup();

/** In which a switch ends that has nothing to do: far less than `stop` gives it. */
const END_MS = 5_000 * PATIENCE;

const names = async (control: string) => {
  const { stdout } = await ringyard("port", "list", "--control", control, "--json");
  return (JSON.parse(stdout) as { name: string; uri: string }[]).map(({ name, uri }) => `${name}=${uri}`);
};

describe("a switch", () => {
  test("says when it is ready, and ends with 0 and nothing left", async () => {
    const place = directory();
    const control = join(place, "c.sock");
    const running = up(["--port", "a=memory:a", "--port", `v=vhost-user:${place}/v.sock`, "--control", control]);
    await running.says(`ringyard ready: 2 ports, control ${control}\n`);
    expect(readdirSync(place).sort()).toEqual(["c.sock", "v.sock"]);
    expect(await names(control)).toEqual(["a=memory:a", `v=vhost-user:${place}/v.sock`]);
    const asked = performance.now();
    expect(await running.stop("SIGTERM")).toBe(0);
    expect(performance.now() - asked).toBeLessThan(END_MS);
    expect(readdirSync(place)).toEqual([]);
  });

  test("logs JSON lines where nobody looks, and nothing but the ready line on stdout", async () => {
    const control = join(directory(), "c.sock");
    const running = up(["--control", control]);
    await running.says("ringyard ready: 0 ports");
    await running.stop("SIGINT");
    const lines = running.output.trim().split("\n");
    const log = lines.filter((line) => !line.startsWith("ringyard ready"));
    expect(log.length).toBe(lines.length - 1);
    expect(log.map((line) => JSON.parse(line).msg)).toEqual(["ready", "stopping", "stopped"]);
  });

  test("that is killed leaves a socket that the next one replaces", async () => {
    const control = join(directory(), "c.sock");
    const first = up(["--control", control]);
    await first.says("ringyard ready");
    await first.stop("SIGKILL");
    expect(existsSync(control)).toBe(true);
    expect((await ringyard("port", "list", "--control", control)).exitCode).toBe(3);
    const second = up(["--control", control]);
    await second.says("ringyard ready");
    expect(await names(control)).toEqual([]);
  });

  test("is not started twice at one control path", async () => {
    const control = join(directory(), "c.sock");
    const first = up(["--port", "a=null:", "--control", control]);
    await first.says("ringyard ready");
    const second = await ringyard("up", "--port", "b=null:", "--control", control);
    expect(second).toEqual({
      stdout: "",
      stderr: `ringyard: a switch is already running at ${control}: stop it, or name another path with --control\n`,
      exitCode: 1,
    });
    expect(await names(control)).toEqual(["a=null:"]);
  });

  test("whose last port fails says so in one line and undoes the others", async () => {
    const place = directory();
    const taken = up(["--port", `v=vhost-user:${place}/v.sock`, "--control", join(place, "a.sock")]);
    await taken.says("ringyard ready");
    const { stdout, stderr, exitCode } = await ringyard(
      ...["up", "--log-level", "error", "--control", join(place, "b.sock")],
      ...["--port", `w=vhost-user:${place}/w.sock`, "--port", `v=vhost-user:${place}/v.sock`],
    );
    expect([stdout, exitCode]).toEqual(["", 1]);
    expect(stderr).toMatch(/^ringyard: port v: [^\n]*v\.sock[^\n]*\n$/);
    expect(readdirSync(place).sort()).toEqual(["a.sock", "v.sock"]);
  });

  const wrong: [string, string[], string][] = [
    [
      "a port without a uri",
      ["--port", "web"],
      'ringyard: "web" is not NAME=URI: write for example --port web=tap:web\n',
    ],
    ["a port twice", ["--port", "a=null:", "--port", "a=null:"], "ringyard: --port a is given twice\n"],
    ["a list of CPUs", ["--cpus", "two"], 'ringyard: --cpus: "two" is no list of CPUs: write for example 0-1,4\n'],
    [
      "a poll mode",
      ["--poll", "fast"],
      "ringyard: option '--poll <mode>' argument 'fast' is invalid. Allowed choices are adaptive, busy, interrupt.\n",
    ],
    ["a word too many", ["now"], "ringyard: too many arguments for 'up'. Expected 0 arguments but got 1.\n"],
  ];
  test.each(wrong)("refuses %s as wrong usage", async (_, words, stderr) => {
    expect(await ringyard("up", ...words)).toEqual({ stdout: "", stderr, exitCode: 2 });
  });

  test("refuses a CPU that it may not run on", async () => {
    const { stderr, exitCode } = await ringyard("up", "--cpus", "1023");
    expect(stderr).toMatch(/^ringyard: cpus: cpu 1023 is not for this process: choose from [\d,-]+\n$/);
    expect(exitCode).toBe(2);
  });

  test("refuses a file with mistakes, all of them", async () => {
    const file = join(directory(), "ringyard.toml");
    writeFileSync(file, "[switch]\nageing = 0\n[ports]\na = 'nul:'\n");
    expect(await ringyard("up", "-c", file)).toEqual({
      stdout: "",
      stderr:
        `ringyard: ${file}:2: switch.ageing: expected a whole number from 1 to 86400, found 0\n` +
        `ringyard: ${file}:4: ports.a: unknown port kind "nul": did you mean null? known kinds: memory, null, tap, vduse, vfio, vhost-user\n`,
      exitCode: 1,
    });
  });

  test("needs the file that was named", async () => {
    const file = join(directory(), "none.toml");
    const { stderr, exitCode } = await ringyard("up", "-c", file);
    expect([stderr, exitCode]).toEqual([`ringyard: cannot read ${file}: ENOENT: name a readable file\n`, 1]);
  });
});

describe("signals", () => {
  test("SIGHUP reads the file again and lays the command line over it", async () => {
    const place = directory();
    const control = join(place, "c.sock");
    const file = join(place, "ringyard.toml");
    writeFileSync(file, "[ports]\na = 'null:'\nb = 'null:'\nc = 'null:'\n");
    const running = up(["-c", file, "--port", "b=memory:b", "--control", control]);
    await running.says("ringyard ready: 3 ports");
    expect((await names(control)).sort()).toEqual(["a=null:", "b=memory:b", "c=null:"]);
    writeFileSync(file, "[switch]\nageing = 7\ncpus = '0'\n[ports]\nb = 'null:'\nc = 'null:'\nd = 'null:'\n");
    running.child.kill("SIGHUP");
    await running.says("configuration reloaded");
    expect((await names(control)).sort()).toEqual(["b=memory:b", "c=null:", "d=null:"]);
    expect(running.output).toContain('"setting":"cpus","msg":"changed setting needs a restart"');
    // The ports that did not change are the same ones as before.
    expect(running.output.match(/"port":"c"/g)).toHaveLength(1);
    writeFileSync(file, "[ports]\na = \n");
    running.child.kill("SIGHUP");
    await running.says("configuration not reloaded, nothing changed");
    expect(running.output).toContain(`${file}:2: unspecified values are invalid`);
    expect((await names(control)).sort()).toEqual(["b=memory:b", "c=null:", "d=null:"]);
    expect(await running.stop()).toBe(0);
  });

  test("SIGHUP that fails says which ports it made anew, and pins their addresses again", async () => {
    const place = directory();
    const control = join(place, "c.sock");
    const file = join(place, "ringyard.toml");
    writeFileSync(file, "[ports]\na = 'memory:anew'\nb = 'null:'\n");
    const running = up(["-c", file, "--control", control]);
    await running.says("ringyard ready: 2 ports");
    const pinned = "02:00:00:00:00:99";
    expect((await ringyard("fdb", "add", pinned, "a", "--control", control)).exitCode).toBe(0);
    writeFileSync(file, "[ports]\na = 'memory:other'\nb = 'null:'\nc = 'tap:c?netns=no-such-namespace'\n");
    running.child.kill("SIGHUP");
    await running.says(
      "configuration not reloaded, made anew: a (counters and what others set at the device began again), nothing else changed",
    );
    expect((await names(control)).sort()).toEqual(["a=memory:anew", "b=null:"]);
    const { stdout } = await ringyard("fdb", "show", "--control", control, "--json");
    expect(JSON.parse(stdout).entries).toMatchObject([{ mac: pinned, port: "a", static: true }]);
    expect(await running.stop()).toBe(0);
  });

  test("SIGHUP refuses a pipe: what was read is gone, and no port goes with it", async () => {
    const place = directory();
    const [control, pipe] = [join(place, "c.sock"), join(place, "pipe")];
    expect(spawnSync("mkfifo", [pipe]).status).toBe(0);
    const running = up(["-c", pipe, "--control", control]);
    // Returns when the switch reads; from then on nobody writes.
    await writeFile(pipe, '[ports]\na = "memory:a"\n');
    await running.says("ringyard ready: 1 port");
    running.child.kill("SIGHUP");
    await running.says(`${pipe} is a pipe and cannot be read again: restart the switch, or start it with a file`);
    await running.says("configuration not reloaded, nothing changed");
    expect(await names(control)).toEqual(["a=memory:a"]);
    expect(await running.stop("SIGTERM")).toBe(0);
  });

  test("SIGHUP without a file is no reason to end", async () => {
    const running = up(["--port", "a=null:", "--control", join(directory(), "c.sock")]);
    await running.says("ringyard ready");
    running.child.kill("SIGHUP");
    await running.says("configuration reloaded");
    expect(await running.stop()).toBe(0);
  });

  test("a second SIGTERM ends a switch at once that does not come to its end", async () => {
    const control = join(directory(), "c.sock");
    const script = join(import.meta.dir, "../support/fake-up.ts");
    const running = spawn([process.execPath, script, "--control", control], { env: { FAKE_HANG: "close" } });
    await running.says("ringyard ready");
    running.child.kill("SIGTERM");
    await running.says("stopping");
    expect(running.running).toBe(true);
    expect(await running.stop("SIGTERM")).toBe(1);
  });
});

describe("a service manager", () => {
  const SOCK_DGRAM_NONBLOCK = 2 | 0x800;

  /** A datagram socket as systemd has it; returns what came so far. */
  function manager(path: string): () => string[] {
    const fd = libc.socket(1, SOCK_DGRAM_NONBLOCK, 0);
    defer(() => closeFd(fd));
    const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
    expect(libc.bind(fd, Buffer.concat([Buffer.from([1, 0]), name]), 2 + name.length)).toBe(0);
    const messages: string[] = [];
    return () => {
      for (;;) {
        const received = receiveUnix(fd, 1024);
        if (received.size <= 0) return messages;
        messages.push(new TextDecoder().decode(received.bytes.slice(0, received.size)));
      }
    };
  }

  test.each(["file", "abstract"])("is told of readiness, reload and end over a socket that is %s", async (form) => {
    const place = directory();
    const socket = form === "file" ? join(place, "notify.sock") : `@ringyard-test-${process.pid}`;
    const told = manager(socket);
    const running = up(["--control", join(place, "c.sock")], { NOTIFY_SOCKET: socket });
    await until("READY", () => told().length === 1);
    running.child.kill("SIGHUP");
    await until("the reload", () => told().length === 3);
    expect(await running.stop()).toBe(0);
    expect(told()).toEqual([
      "READY=1",
      expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
      "READY=1",
      "STOPPING=1",
    ]);
  });

  test("that is not there is no reason to fail", async () => {
    const place = directory();
    const running = up(["--control", join(place, "c.sock")], { NOTIFY_SOCKET: join(place, "none.sock") });
    await running.says("cannot notify the service manager");
    await running.says("ringyard ready");
    expect(await running.stop()).toBe(0);
  });
});
