// Policies of ports, `ringyard vlan` and `mirror`, each as a process on a running switch: what is set is in force, shown as text and as
// JSON, printed as a configuration that reads back, and follows the file over a reload.

import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PortInfo } from "../../src/control/api.ts";
import type { VlanInfo } from "../../src/control/policy/vlan-info.ts";
import { useDirectories } from "../support/control.ts";
import { askRingyard, ringyard, useRingyard } from "../support/ringyard.ts";
import { PATIENCE, until } from "../support/until.ts";

const directory = useDirectories();
const up = useRingyard();

/** A dozen processes, one after the other, on a machine that has other things to do. */
const LIMIT_MS = 60_000 * PATIENCE;

let control: string;

beforeAll(async () => {
  control = join(directory(), "c.sock");
  const ports = ["vm1", "vm2", "up1", "probe"].flatMap((name) => ["--port", `${name}=memory:policy-${name}`]);
  await up([...ports, "--control", control]).says("ringyard ready");
});

const ask = (...words: string[]) => askRingyard(control, ...words);
const json = async <T>(...words: string[]): Promise<T> => JSON.parse(await ask(...words, "--json"));
const policyOf = async (name: string) => (await json<PortInfo & { policy: object }>("port", "show", name)).policy;
const rows = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/ {2,}/));

test(
  "port set, show and add",
  async () => {
    expect(await policyOf("vm1")).toEqual({});
    expect(await ask("port", "set", "vm1", "vlan=20", "isolated=true", "police=10 Mbit/s burst 2 Mbit")).toBe("");
    expect(await policyOf("vm1")).toEqual({ vlan: 20, isolated: true, police: "10 Mbit/s burst 2 Mbit" });
    const shown = await ask("port", "show", "vm1");
    for (const line of [/^vlan: +20$/m, /^isolated: +true$/m, /^police: +10 Mbit\/s burst 2 Mbit$/m])
      expect(shown).toMatch(line);
    expect(rows(shown)).toContainEqual(["LIMIT", "FRAMES", "BYTES", "DROPPED", "WAITING"]);
    expect(rows(shown)).toContainEqual(["police", "0", "0", "0", "-"]);
    await ask("port", "set", "vm1", "isolated=", "police=none", "flood=none", "mac-limit=9");
    expect(await policyOf("vm1")).toEqual({ vlan: 20, flood: "none" });
    await ask("port", "set", "vm1", "vlan=", "flood=", "mac-limit=", "mtu=none", "link=");
    expect(await policyOf("vm1")).toEqual({});
    expect(await ask("config", "show")).not.toContain("mac-limit = 9");
    await ask("port", "add", "db", "null:", "trunk=10,20-30", "native=10", "vlan-map=110:20", "groups=dmz,web");
    expect(await policyOf("db")).toEqual({
      trunk: "10,20-30",
      native: 10,
      "vlan-map": { 110: 20 },
      groups: ["dmz", "web"],
    });
    expect(await ask("port", "show", "db")).toMatch(/^vlan-map: +110:20$/m);
    await ask("port", "del", "db");
  },
  LIMIT_MS,
);

test(
  "vlan set and show",
  async () => {
    expect(await ask("vlan", "show")).toBe("no VLANs: frames of all ports are learned and flooded together\n");
    await ask("port", "set", "vm1", "vlan=10");
    await ask("port", "set", "up1", "trunk=10,20", "vlan-map=110:10");
    expect(await ask("vlan", "set", "10", "ageing=60", "suppress=arp,nd", "learning=true")).toBe("");
    expect(rows(await ask("vlan", "show"))).toEqual([
      ["VLAN", "AGEING S", "LEARNING", "SUPPRESS", "MACS", "UNTAGGED", "TAGGED"],
      ["1", "300", "on", "-", "0", "vm2, probe", "-"],
      ["10", "60", "on", "arp, nd", "0", "vm1", "up1 as 110"],
      ["20", "300", "on", "-", "0", "-", "up1"],
    ]);
    const one = await ask("vlan", "show", "10");
    for (const line of [/^ageing: +60 s$/m, /^requests directed: +0$/m, /^up1 +trunk +802\.1Q as 110$/m])
      expect(one).toMatch(line);
    expect(await json<VlanInfo>("vlan", "show", "10")).toEqual({
      ...{ id: 10, ageingS: 60, learning: true, suppress: ["arp", "nd"], macs: 0, directed: 0 },
      members: [
        { port: "vm1", mode: "access", leaves: "untagged" },
        { port: "up1", mode: "trunk", leaves: "tagged", wireId: 110 },
      ],
    });
    expect(await json<VlanInfo[]>("vlan", "show")).toHaveLength(3);
    expect(await json<VlanInfo>("vlan", "set", "10", "ageing=", "suppress=")).toMatchObject({
      ageingS: 300,
      suppress: [],
    });
    for (const name of ["vm1", "up1"]) await ask("port", "set", name, "vlan=", "trunk=");
  },
  LIMIT_MS,
);

test("mirror add, list and del", async () => {
  expect(await ask("mirror", "add", "m", "ports=vm1,vm2:in", "vlans=10:out", "to=probe", "truncate=128")).toBe("");
  expect(rows(await ask("mirror", "list"))).toEqual([
    ["NAME", "PORTS", "VLANS", "TO", "BYTES", "STATE"],
    ["m", "vm1, vm2:in", "10:out", "probe", "128", "active"],
  ]);
  expect(await json<object[]>("mirror", "list")).toEqual([
    { name: "m", ports: ["vm1", "vm2:in"], vlans: ["10:out"], to: "probe", truncate: 128 },
  ]);
  expect(await ask("mirror", "del", "m")).toBe("");
  expect(await json<object[]>("mirror", "list")).toEqual([]);
});

describe("refusals are one line and an exit code", () => {
  const cases: [string[], number, string][] = [
    [["port", "set", "vm1", "vlan=5000"], 2, 'port vm1: vlan: expected a VLAN id from 1 to 4094, found "5000"'],
    [["port", "set", "vm1", "vlan=1", "trunk=2"], 2, "port vm1: trunk: a port with vlan has no trunk: leave one out"],
    [["port", "set", "vm1", "vlan=1", "vlan=2"], 2, "setting vlan is given twice: leave one out"],
    [["port", "set", "vm9", "vlan=1"], 1, "no port vm9: did you mean vm1? ports: probe, up1, vm1, vm2"],
    [["port", "show", "vm9"], 1, "no port vm9: `ringyard port list` names them"],
    [
      ["port", "add", "x", "null:", "native=3"],
      2,
      "port x: native: native goes with trunk: say which VLANs, or leave it out",
    ],
    [["vlan", "show", "x"], 2, '"x" is no VLAN id: write 1 to 4094, or 0 for a switch without VLANs'],
    [["vlan", "show", "4095"], 2, "4095 is no VLAN id: write 1 to 4094, or 0 for a switch without VLANs"],
    [
      ["vlan", "set", "10", "agein=3"],
      2,
      'unknown setting "agein": did you mean ageing? known: ageing, learning, suppress',
    ],
    [["vlan", "set", "10", "ageing=0"], 2, 'vlan 10: ageing: expected seconds from 1 to 86400, found "0"'],
    [
      ["mirror", "add", "m", "ports=vm1", "to=vm1"],
      2,
      "mirror m: to: port vm1 is mirrored itself: choose another port",
    ],
    [["mirror", "add", "m", "ports=vm9", "to=vm1"], 1, "no port vm9: did you mean vm1? ports: probe, up1, vm1, vm2"],
    [["mirror", "del", "m"], 1, "no mirror m: mirrors: none"],
  ];
  test.each(cases)("%j", async (words, exitCode, line) => {
    expect(await ringyard(...words, "--control", control)).toEqual({
      stdout: "",
      stderr: `ringyard: ${line}\n`,
      exitCode,
    });
  });
});

test(
  "a file's policies run from the start, are printed so that they read back, and follow the file over SIGHUP",
  async () => {
    const path = join(directory(), "ringyard.toml");
    const write = (text: string) => writeFileSync(path, `${text}[ports.b]\nuri = "null:"\ntrunk = "all"\n`);
    write('[ports.a]\nuri = "null:"\nvlan = 10\n[vlans.10]\nageing = 60\n[mirrors.m]\nports = "a"\nto = "b"\n');
    const socket = join(directory(), "c.sock");
    const running = up(["-c", path, "--control", socket]);
    await running.says("ringyard ready: 2 ports");
    const shown = async (...words: string[]) => (await ringyard(...words, "--control", socket)).stdout;
    await shown("port", "add", "hand", "null:", "vlan=10", "isolated=true");
    const printed = join(directory(), "printed.toml");
    writeFileSync(printed, await shown("config", "show"));
    expect(await ringyard("config", "check", printed)).toEqual({ stdout: "ok\n", stderr: "", exitCode: 0 });
    expect((await ringyard("config", "show", "-c", printed)).stdout).toBe(await shown("config", "show"));
    write('[ports.a]\nuri = "null:"\nvlan = 20\n');
    running.child.kill("SIGHUP");
    await until("VLAN 20", async () => JSON.parse(await shown("port", "show", "a", "--json")).policy.vlan === 20);
    expect(JSON.parse(await shown("mirror", "list", "--json"))).toEqual([]);
    expect(JSON.parse(await shown("port", "show", "hand", "--json")).policy).toEqual({ vlan: 10, isolated: true });
    // A file with a mistake changes nothing.
    write('[ports.a]\nuri = "null:"\nvlan = 5000\n');
    running.child.kill("SIGHUP");
    await running.says("nothing changed");
    expect(JSON.parse(await shown("port", "show", "a", "--json")).policy).toEqual({ vlan: 20 });
    expect(await running.stop()).toBe(0);
  },
  LIMIT_MS,
);

describe("a source guard of a thousand stations", () => {
  const hex = (n: number) => n.toString(16).padStart(2, "0");
  const stations = Array.from(
    { length: 1000 },
    (_, n) => `02:00:00:00:${hex(n >> 8)}:${hex(n & 255)} 10.0.${n >> 8}.${n & 255}`,
  );
  const guard = (...more: string[]) => `source-guard=${[...stations, ...more].join(", ")}`;

  test(
    "is set, and added with a port, on the command line",
    async () => {
      await ask("port", "set", "vm2", guard(), "isolated=true");
      expect(await policyOf("vm2")).toMatchObject({ "source-guard": stations, isolated: true });
      await ask("port", "set", "vm2", "source-guard=", "isolated=");
      await ask("port", "add", "many", "null:", guard());
      expect(await policyOf("many")).toMatchObject({ "source-guard": stations });
      await ask("port", "del", "many");
    },
    LIMIT_MS,
  );

  test("with an item that no frame can carry is refused with its key, and what to do", async () => {
    const long = "0".repeat(20_000);
    const { stderr, exitCode } = await ringyard("port", "set", "vm2", guard(long), "--control", control);
    expect(exitCode).not.toBe(0);
    expect(stderr).toStartWith('ringyard: setting source-guard has an item of 20000 bytes: "0000');
    expect(stderr).toEndWith("write 8000 at most, or commas between the items of a list\n");
  });
});
