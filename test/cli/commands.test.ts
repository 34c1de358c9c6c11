// The commands that ask a running switch, each as a process: what they print, as text and as JSON, and their exit codes.

import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/main.ts";
import type { PortInfo } from "../../src/control/api.ts";
import { VERSION } from "../../src/control/version.ts";
import { useDirectories } from "../support/control.ts";
import { run, useProcesses } from "../support/process.ts";
import { askRingyard, ringyard, useRingyard } from "../support/ringyard.ts";
import { until } from "../support/until.ts";

const directory = useDirectories();
const spawn = useProcesses();
const up = useRingyard();

let control: string;

beforeAll(async () => {
  control = join(directory(), "c.sock");
  const running = up(["--port", "a=memory:a?mac=02:00:00:00:00:0a", "--port", "b=null:", "--control", control]);
  await running.says("ringyard ready");
});

const ask = (...words: string[]) => askRingyard(control, ...words);
const json = async <T>(...words: string[]): Promise<T> => JSON.parse(await ask(...words, "--json"));

describe("port", () => {
  test("list is a table with one line for each port", async () => {
    const lines = (await ask("port", "list")).trimEnd().split("\n");
    expect(lines[0]).toMatch(/^NAME +KIND +STATE +MAC +MTU +QUEUES +MACS +RX +TX +DROPPED +URI$/);
    expect(lines[1]).toMatch(/^a +memory +up +02:00:00:00:00:0a +- +1 +0 .* memory:a\?mac=02:00:00:00:00:0a$/);
    expect(lines[2]).toMatch(/^b +null +up +- .* null:$/);
    expect((await json<PortInfo[]>("port", "list")).map(({ name }) => name)).toEqual(["a", "b"]);
  });

  test("add, show, set and del", async () => {
    expect(await ask("port", "add", "web", "null:?mtu=1500", "link=down", "mac-limit=4")).toBe("");
    expect(await ask("port", "show", "web")).toMatch(/^name: +web\nuri: +null:\?mtu=1500\n(.*\n)*state: +down\n/);
    expect(await json<PortInfo>("port", "show", "web")).toMatchObject({ name: "web", admin: "down", mtu: 1500 });
    expect(await json<PortInfo>("port", "set", "web", "link=up", "mac-limit=9")).toMatchObject({ admin: "up" });
    expect(await ask("config", "show")).toContain('web = { uri = "null:?mtu=1500", mac-limit = 9 }\n');
    expect(await ask("port", "del", "web")).toBe("");
    expect(await ask("port", "list")).not.toContain("web");
  });
});

test("fdb add, show, del and flush", async () => {
  await ask("fdb", "add", "02:00:00:00:00:0B", "a");
  expect(await ask("fdb", "show")).toMatch(
    /^MAC +PORT +TYPE +AGE S\n02:00:00:00:00:0b +a +static +-\n\n1 shown, limit 65536, ageing 300 s/,
  );
  expect(await json("fdb", "show", "--port", "a")).toMatchObject({
    entries: [{ mac: "02:00:00:00:00:0b", port: "a" }],
  });
  expect(await json("fdb", "show", "--port", "b")).toMatchObject({ entries: [] });
  expect(await ask("fdb", "flush", "--port", "a")).toBe("0 forgotten\n");
  await ask("fdb", "del", "02:00:00:00:00:0b");
  expect(await json("fdb", "show")).toMatchObject({ entries: [], limit: 65536 });
});

test("fdb of one VLAN", async () => {
  await ask("port", "set", "a", "vlan=10");
  try {
    await ask("fdb", "add", "02:00:00:00:00:0b", "a", "--vlan", "10");
    await ask("fdb", "add", "02:00:00:00:00:0b", "b");
    expect(await ask("fdb", "show", "--vlan", "10")).toMatch(
      /^MAC +VLAN +PORT +TYPE +AGE S\n02:00:00:00:00:0b +10 +a +static +-\n\n1 shown/,
    );
    expect(await ask("fdb", "flush", "--vlan", "10")).toBe("0 forgotten\n");
    await ask("fdb", "del", "02:00:00:00:00:0b", "--vlan", "10");
    expect(await json("fdb", "show")).toMatchObject({ entries: [{ vlan: 1, port: "b", static: true }] });
    await ask("fdb", "del", "02:00:00:00:00:0b");
  } finally {
    await ask("port", "set", "a", "vlan=");
  }
});

describe("stats", () => {
  test("has ports, their sum, workers and the control socket", async () => {
    const text = await ask("stats");
    expect(text).toMatch(/^PORT +RX FRAMES +RX BYTES +TX FRAMES +TX BYTES +DROPPED\na /);
    for (const title of ["total", "WORKER", "uptime:", "control errors:"])
      expect(text).toContain(`\n${title}`.replace("\nWORKER", "WORKER"));
    expect(await json("stats")).toMatchObject({
      ports: [{ name: "a" }, { name: "b" }],
      control: { connections: 1, errors: {} },
    });
  });

  test("--watch reads again and shows rates, as JSON one reading to a line", async () => {
    const main = join(import.meta.dir, "../../src/cli/main.ts");
    const watching = spawn([process.execPath, main, "stats", "--watch", "--control", control]);
    await watching.says(/a +- +-[\s\S]*a +0 +0\.0 +0 +0\.0 +0\n/);
    await watching.stop();
    const lines = spawn([process.execPath, main, "stats", "--watch", "--json", "--control", control]);
    await until("two lines", () => lines.output.split("\n").length > 2);
    for (const line of lines.output.split("\n").slice(0, 2)) expect(JSON.parse(line).uptimeS).toBeGreaterThan(0);
  });
});

describe("config", () => {
  const file = (text: string) => {
    const path = join(directory(), "ringyard.toml");
    writeFileSync(path, text);
    return path;
  };

  test("show prints what can be read again", async () => {
    const path = file(await ask("config", "show"));
    expect(await ringyard("config", "check", path)).toEqual({ stdout: "ok\n", stderr: "", exitCode: 0 });
    expect((await ringyard("config", "show", "-c", path)).stdout).toBe(await ask("config", "show"));
    expect(await json("config", "show")).toMatchObject({
      switch: { poll: "adaptive", control },
      ports: [{ name: "a" }, { name: "b" }],
    });
  });

  test("check tells every mistake with its line, and exits with 1", async () => {
    const path = file('[ports.web]\nuri = "tap:web"\nmtu = "x"\n\n[swich]\n');
    expect(await ringyard("config", "check", path)).toEqual({
      stdout: "",
      stderr:
        `ringyard: ${path}:3: ports.web.mtu: expected a number from 68 to 65535, found "x"\n` +
        `ringyard: ${path}:5: swich: unknown table: did you mean switch? known: meters, mirrors, ports, rules, switch, vlans\n`,
      exitCode: 1,
    });
  });
});

describe("refusals are one line and an exit code", () => {
  const cases: [string[], number, string][] = [
    [["port", "show", "c"], 1, "no port c: `ringyard port list` names them"],
    [["port", "del", "c"], 1, "no port c: did you mean a? ports: a, b"],
    [["port", "add", "a", "null:"], 1, "port a exists: choose another name, or ringyard port del a"],
    [
      ["port", "add", "c", "frob:x"],
      2,
      'port c: unknown port kind "frob": known kinds: memory, null, tap, vduse, vfio, vhost-user',
    ],
    ...["0x100", "%2016%20", "true", "1e2", "48"].map((size): [string[], number, string] => [
      ["port", "add", "c", `memory:c?size=${size}`],
      2,
      `port c: size: expected a power of two from 2 to 32768, found "${decodeURIComponent(size)}"`,
    ]),
    [["port", "add", "c", "null:", "mtu=9000"], 2, "mtu is part of the uri: write 'null:?mtu=9000'"],
    [["port", "add", "c", "tap:c?queues=2", "mtu=90"], 2, "mtu is part of the uri: write 'tap:c?queues=2&mtu=90'"],
    [
      ["port", "set", "a", "lnk=up"],
      2,
      'unknown setting "lnk": did you mean link? known: dhcp-guard, flood, groups, isolated, learning, link, loop-guard, mac-limit, mac-limit-action, mtu, native, native-tagged, police, priority, priority-tags, ra-guard and 14 more',
    ],
    [["port", "set", "a", "link"], 2, "setting link has no value: write link=VALUE"],
    [["port", "set", "a", "mtu=12"], 2, "port.set: mtu: expected a number from 68 to 65535, found 12"],
    [["port", "set", "a"], 2, "missing required argument 'setting'"],
    [
      ["fdb", "add", "ff:ff:ff:ff:ff:ff", "a"],
      2,
      'fdb.add: mac: expected a unicast MAC address such as 02:00:00:00:00:01, found "ff:ff:ff:ff:ff:ff"',
    ],
    [["fdb", "del", "02:00:00:00:00:99"], 1, "no address 02:00:00:00:00:99: `ringyard fdb show` lists them"],
    [
      ["fdb", "add", "02:00:00:00:00:99", "a", "--vlan", "10"],
      2,
      "port a does not belong to VLAN 10: leave the VLAN out: no port has VLANs",
    ],
    [["fdb", "show", "--vlan", "4095"], 2, '--vlan: expected the id of a VLAN, 1 to 4094, found "4095"'],
    [["fo\x1b[31m\n\u009b"], 2, "unknown command 'fo\\u001b[31m\\u000a\\u009b'"],
    [["port", "list", "--x\n(y\n"], 2, "unknown option '--x\\u000a(y\\u000a'"],
    [["port", "lst"], 2, "unknown command 'lst' (did you mean list?)"],
    [["port", "list", "--jsn"], 2, "unknown option '--jsn' (did you mean --json?)"],
  ];
  test.each(cases)("%j", async (words, exitCode, line) => {
    expect(await ringyard(...words, "--control", control)).toEqual({
      stdout: "",
      stderr: `ringyard: ${line}\n`,
      exitCode,
    });
  });

  test("no switch is 3", async () => {
    const path = join(directory(), "none.sock");
    expect(await ringyard("port", "list", "--control", path)).toEqual({
      stdout: "",
      stderr: `ringyard: no switch is running at ${path}: start it with ringyard up, or name its control socket with --control PATH\n`,
      exitCode: 3,
    });
  });

  test.each([
    ["", '""'],
    ["a\nb", '"a\\nb"'],
    ["/run/\u009b2J", '"/run/\\u009b2J"'],
  ])("%j is no path of a control socket, for any command", async (path, shown) => {
    const refused = {
      stdout: "",
      stderr: `ringyard: --control: ${shown} is no path for a socket: name a file, or leave --control out for the default\n`,
      exitCode: 2,
    };
    for (const command of [["up"], ["port", "list"]]) {
      expect(await ringyard(...command, "--control", path)).toEqual(refused);
    }
  });

  test("no command is wrong usage, with the help", async () => {
    const { stdout, stderr, exitCode } = await ringyard();
    expect([stdout, exitCode]).toEqual(["", 2]);
    expect(stderr).toContain("Usage: ringyard [options] [command]");
  });
});

describe("without a switch", () => {
  test("version", async () => {
    expect(await ringyard("version")).toEqual({
      stdout: `ringyard ${VERSION}, bun ${Bun.version}\n`,
      stderr: "",
      exitCode: 0,
    });
    expect((await ringyard("--version")).stdout).toBe(`${VERSION}\n`);
    expect(await ask("version")).toMatch(/^ringyard .*\nrunning: ringyard [\d.]+, process \d+\n$/);
    expect((await ringyard("version", "--control", "/nowhere.sock")).exitCode).toBe(3);
  });

  test("doctor says which kinds of port work here", async () => {
    const { stdout, exitCode } = await ringyard("doctor");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^MACHINE +OK +NOTE\nbun +ok /);
    expect(await ask("doctor")).toMatch(/\nswitch +ok +ringyard [\d.]+ runs at /);
    expect(stdout).toMatch(/\nPORT KIND +OK +NOTE\n(.*\n)*memory +ok /);
    const report = JSON.parse((await ringyard("doctor", "--json")).stdout);
    expect(report.usable).toBe(true);
    expect(report.kinds.map(({ kind }: { kind: string }) => kind).sort()).toEqual([
      "memory",
      "null",
      "tap",
      "vduse",
      "vfio",
      "vhost-user",
    ]);
  });

  test("output that nobody reads to its end is no error", async () => {
    const main = join(import.meta.dir, "../../src/cli/main.ts");
    const script = `set -o pipefail; "${process.execPath}" "${main}" stats --watch --json --control "${control}" | head -n 1 >/dev/null`;
    expect((await run(["bash", "-c", script])).stderr).toBe("");
  });
});

describe("--help", () => {
  const commands: [string, Command][] = [];
  const collect = (command: Command, path: string) => {
    commands.push([path, command]);
    for (const sub of command.commands) collect(sub, `${path} ${sub.name()}`);
  };
  collect(createProgram(), "ringyard");

  test.each(commands)("%s", (path, command) => {
    expect(command.description()).not.toBe("");
    expect(command.helpInformation()).toStartWith(`Usage: ${path} `);
    for (const option of command.options) expect(option.description).not.toBe("");
    // Groups have none, and every command that asks the switch takes it.
    const asks = command.commands.length === 0 && !/^ringyard (nic |bench$)/.test(path);
    expect(command.options.some(({ long }) => long === "--control")).toBe(asks);
  });

  test("goes to stdout with exit code 0", async () => {
    const { stdout, stderr, exitCode } = await ringyard("port", "add", "--help");
    expect([stderr, exitCode]).toEqual(["", 0]);
    expect(stdout).toContain("Examples:\n  $ ringyard port add vm1 vhost-user:/run/vm1.sock\n");
  });
});
