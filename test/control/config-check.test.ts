// What `config check` says of a configuration that reads well, and that no switch could start with.

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, loadConfig, parseConfig } from "../../src/control/config.ts";
import { checkWhole } from "../../src/control/config-check.ts";
import type { Kinds } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { useDirectories } from "../support/control.ts";
import { failure } from "../support/failure.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const directory = useDirectories();

function linesOf(text: string, of: Kinds = fakeKinds): string[] {
  try {
    checkWhole(parseConfig(text, "x.toml", of));
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
}

const many = (count: number, line: (n: number) => string) =>
  Array.from({ length: count }, (_, n) => line(n)).join("\n");

test("as many as a switch has are well", () => {
  expect(linesOf(`[ports]\n${many(256, (n) => `p${n} = "null:"`)}`)).toEqual([]);
  expect(linesOf(`[meters]\n${many(1024, (n) => `m${n} = "1 Mbit/s"`)}`)).toEqual([]);
  expect(linesOf('rules = ["id 2147483646 drop", "count"]')).toEqual([]);
});

test("more are not", () => {
  expect(linesOf(`[ports]\n${many(257, (n) => `p${n} = "null:"`)}`)).toEqual([
    "ports: 257 are more than the 256 that a switch has",
  ]);
  expect(linesOf(`[meters]\n${many(1025, (n) => `m${n} = "1 Mbit/s"`)}`)).toEqual([
    "meters: 1025 are more than the 1024 that a switch has: share some",
  ]);
});

test("a port that wants a processor on which the switch has no worker is named", () => {
  const text = (cpus: string) =>
    `[switch]\ncpus = "${cpus}"\n[ports]\na = "null:?cpu=3"\nb = { uri = "null:", cpu = 9 }`;
  expect(linesOf(text("3,9"))).toEqual([]);
  const says = (line: string, cpu: number, next: string) => [
    `x.toml:${line}: cpu: the switch has no worker on cpu ${cpu}: ${next}`,
  ];
  expect(linesOf(text("3-4"))).toEqual(says("5: ports.b", 9, "choose from 3, 4"));
  expect(linesOf(text("9"))).toEqual(says("4: ports.a", 3, "choose from 9"));
  // Whoever starts a switch with this may still say which.
  expect(linesOf('[ports]\na = "null:?cpu=3"')).toEqual([]);
});

test("the rule for which no id is left is named", () => {
  const next = "choose an id, delete the rule that has this one, or restart the switch";
  expect(linesOf('rules = [\n"id 2147483646 drop",\n"count",\n"in a drop",\n]\n[ports]\na = "null:"')).toEqual([
    `x.toml:4: rules.2: no rule id above 2147483647: ${next}`,
  ]);
});

test("names that are missing are told before anything else", () => {
  expect(linesOf('rules = ["in b drop"]\n[ports]\na = "null:"\n[mirrors.m]\nports = "a"\nto = "c"')).toEqual([
    "x.toml:1: rules.0: no port b: did you mean a? ports: a",
    "x.toml:4: mirrors.m: no port c: did you mean a? ports: a",
  ]);
});

test("what only one port can have is refused to a second", () => {
  const ports = [
    ...['a = "memory:x"', 'b = "memory:x?mtu=1500"', 'c = "vhost-user:/s"', 'd = "vhost-user:/./s?link=down"'],
    ...['e = "tap:t"', 'f = "tap:t?netns=n"', 'g = "tap:t?netns=n"'],
  ];
  expect(linesOf(`[ports]\n${ports.join("\n")}`)).toEqual([
    "x.toml:3: ports.b: port a has memory:x already: choose another",
    "x.toml:5: ports.d: port c has vhost-user:/s already: choose another",
    "x.toml:8: ports.g: port f has tap:t already: choose another",
  ]);
  // Of these there is enough for all.
  const client = (name: string) => `${name} = "vhost-user:/s?mode=client"`;
  expect(linesOf(`[ports]\na = "null:"\nb = "null:"\n${client("c")}\n${client("d")}`)).toEqual([]);
});

test("a path that no socket can have is refused where it is read", () => {
  const path = (size: number) => `/${"x".repeat(size - 1)}`;
  const control = (size: number) => `[switch]\ncontrol = "${path(size)}"`;
  expect(linesOf(control(95))).toEqual([]);
  expect(linesOf(control(96))).toEqual([
    `x.toml:2: switch.control: expected 95 bytes at most, found ${JSON.stringify(path(96))}`,
  ]);
  const port = (path: string) => linesOf(`[ports]\na = "vhost-user:${path}"`, kinds);
  // As it is written, and as it is meant.
  expect([port(path(107)), port(`/${path(107)}`)]).toEqual([[], []]);
  expect(port(path(108))).toEqual([
    `x.toml:2: ports.a: vhost-user: socket path ${path(108)} is over 107 bytes: choose a shorter one`,
  ]);
});

test("options that a kind of port cannot have are refused where they are read", () => {
  expect(
    linesOf('[ports]\na = "memory:a?queues=1"\nb = "tap:b?mtu=65521"\nc = "null:?queues=8&mtu=65535"', kinds),
  ).toEqual([]);
  expect(linesOf('[ports]\na = "memory:a?queues=2"\n[ports.b]\nuri = "tap:b"\nmtu = 65522', kinds)).toEqual([
    "x.toml:2: ports.a.queues: a memory port has one queue pair: leave queues out",
    "x.toml:5: ports.b.mtu: mtu 65522 is too large for a TAP device: use at most 65521",
  ]);
});

test("a file that is no UTF-8 is refused, and not read as other letters", async () => {
  const file = join(directory(), "x.toml");
  const write = (...bytes: number[]) => writeFileSync(file, Buffer.from([...Buffer.from("[ports]\n# "), ...bytes]));
  // Whole, with no letter wrong; of another encoding; cut in the middle of a letter.
  write(0xc3, 0xa9);
  expect((await loadConfig(file, fakeKinds)).ports.size).toBe(0);
  for (const bytes of [[0xe9, 0x0a], [0xc3]]) {
    write(...bytes);
    const advice = "save it as UTF-8; look from line";
    expect((await failure(loadConfig(file, fakeKinds))).advice).toStartWith(`${file} is no UTF-8 text: ${advice}`);
  }
});
