// Policies over reloads and changes by hand: of the file and by hand apart, all of a change or nothing, and no port touched for them.

import { beforeEach, describe, expect, test } from "bun:test";
import { type Config, type ConfigError, emptyConfig, overlay, parseConfig } from "../../src/control/config.ts";
import { policyOf } from "../../src/control/config-policy.ts";
import { configData } from "../../src/control/config-show.ts";
import { readMirror } from "../../src/control/policy/mirror-policy.ts";
import type { PortSettings } from "../../src/control/policy/named-policy.ts";
import { Running } from "../../src/control/running.ts";
import { parsePort } from "../../src/control/uri.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { failure } from "../support/failure.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch } from "../support/fake-switch.ts";

/** Lines of [ports], then others. */
function file(ports: string[], ...others: string[]): Config {
  return parseConfig(["[ports]", ...ports, ...others].join("\n"), "test.toml", fakeKinds);
}

const A = 'a = { uri = "null:", vlan = 10 }';
const B = 'b = "null:"';

let fake: FakeSwitch;
let running: Running;

beforeEach(() => {
  fake = new FakeSwitch({});
  running = new Running(fake, fakeKinds, { settings: {} });
});

/** What the dataplane was told of ports, by index. */
const obeyed = () =>
  Object.fromEntries(fake.obeyed.ports.map(({ port, vlan, isolated }) => [port, { vlan, isolated }]));
const access = (vid: number) => ({ vlan: { mode: "access", vid }, isolated: false });
const spec = (name: string) => parsePort(name, "null:", fakeKinds);
const addPort = (name: string, policy?: PortSettings) =>
  running.addPort({ spec: spec(name), link: "up", ...(policy === undefined ? {} : { policy }) });

function mirrorOf(name: string, words: Record<string, unknown>) {
  const read = readMirror(name, words);
  if ("problems" in read) throw new Error(read.problems[0].message);
  return read.is;
}

test("a start, while frames are held, adds the ports first and tells of policies once", async () => {
  await running.replace(file([A, B], "[vlans.10]", "ageing = 5"), { held: true });
  expect(fake.calls).toEqual(["addPort a", "addPort b", "policy 1,1,0"]);
  expect(obeyed()).toEqual({ 0: access(10) } as never);
});

describe("a reload", () => {
  test("tells of policies behind ports that go and before ports that come, and touches no other", async () => {
    await running.replace(file([A, B]));
    fake.calls.length = 0;
    await running.replace(file(['a = { uri = "null:", vlan = 20 }', 'c = { uri = "null:", vlan = 30 }']));
    expect(fake.calls).toEqual(["removePort b", "policy 1,0,0", "addPort c", "policy 2,0,0"]);
    expect(obeyed()).toEqual({ 0: access(20), 1: access(30) } as never);
  });

  test("of the same file does nothing, however it is written", async () => {
    await running.replace(file([A], "[mirrors.m]", 'ports = ["a"]', 'to = "b"', "[ports.b]", 'uri = "null:"'));
    fake.calls.length = 0;
    const again = file(
      ['a = { uri = "null:", vlan = "10", isolated = false }', B],
      "[mirrors.m]",
      'ports = "a:both"',
      'to = "b"',
    );
    expect((await running.replace(again)).actions).toEqual([]);
    expect(fake.calls).toEqual([]);
  });

  test("is refused before anything is changed where a mirror names a port that is not there", async () => {
    await running.replace(file([A, B]));
    fake.calls.length = 0;
    const error = await failure(running.replace(file([A], "[mirrors.m]", 'ports = ["b"]', 'to = "a"')));
    expect((error as ConfigError).lines).toEqual(["test.toml:3: mirrors.m: no port b: did you mean a? ports: a"]);
    expect(fake.calls).toEqual([]);
  });

  const failures: [string, string][] = [
    ["the policies", "policy 2,1"],
    ["a port that comes", "addPort c"],
    ["the settings", "configure"],
  ];
  test.each(failures)("puts the old policies back where %s cannot be had", async (_, call) => {
    await running.replace(file([A, 'b = { uri = "null:", isolated = true }'], "[vlans.10]", "ageing = 5"));
    const state = () => ({ obeyed: obeyed(), vlans: fake.obeyed.vlans, config: configData(running.config) });
    const before = state();
    fake.failures.set(call, new RingyardError("BUSY", "no"));
    const wanted = file(
      ['a = { uri = "null:", vlan = 11 }', 'b = { uri = "null:", sticky = true }', 'c = "null:"'],
      "[vlans.11]",
      "ageing = 6",
    );
    wanted.settings.poll = "busy";
    expect((await failure(running.replace(wanted))).message).toContain("no");
    expect(state()).toEqual(before);
    fake.failures.clear();
    await running.replace(wanted);
    expect(policyOf(running.config)).toEqual(policyOf(wanted));
    expect(fake.obeyed.vlans).toMatchObject([{ vid: 11, ageingS: 6 }]);
  });

  test("leaves what was said by hand of others, and takes back what was said by hand of its own", async () => {
    await running.replace(file([A, B], "[vlans.10]", "ageing = 5"));
    await addPort("hand", { isolated: true });
    await running.setPort("a", { policy: { vlan: 99 } });
    await running.setVlan(10, { ageing: 7 });
    await running.setVlan(20, { ageing: 8 });
    await running.addMirror(mirrorOf("m", { ports: "a", to: "hand" }));
    await running.replace(file([A, B], "[vlans.10]", "ageing = 5"));
    const { ports, vlans, mirrors } = policyOf(running.config);
    expect(Object.fromEntries(ports)).toEqual({ a: { vlan: { mode: "access", vid: 10 } }, hand: { isolated: true } });
    expect(vlans.map(({ vid, ageingS }) => [vid, ageingS])).toEqual([
      [10, 5],
      [20, 8],
    ]);
    expect(mirrors).toMatchObject([{ name: "m", to: "hand" }]);
    // As soon as the file names it, it is the file's, and goes with it.
    await running.replace(file([A, B], "[vlans.20]", "ageing = 9", "[mirrors.m]", 'ports = ["b"]', 'to = "a"'));
    expect(policyOf(running.config)).toMatchObject({ vlans: [{ vid: 20, ageingS: 9 }], mirrors: [{ to: "a" }] });
    await running.replace(file([A, B]));
    expect(policyOf(running.config)).toMatchObject({ vlans: [], mirrors: [] });
  });
});

test("a reload leaves what was taken away by hand and said again: VLANs and mirrors that the file once named", async () => {
  const before = file([A, B], "[vlans.10]", "ageing = 5", "[mirrors.m]", 'ports = "a"', 'to = "b"');
  await running.replace(before);
  await running.setVlan(10, { ageing: "" });
  await running.setVlan(10, { ageing: 7 });
  await running.deleteMirror("m");
  await running.addMirror(mirrorOf("m", { ports: "b", to: "a" }));
  await running.replace(file([A, B]));
  expect(policyOf(running.config)).toMatchObject({
    vlans: [{ vid: 10, ageingS: 7 }],
    mirrors: [{ name: "m", to: "a" }],
  });
  // As soon as the file names them they are its own.
  await running.replace(before);
  expect(policyOf(running.config)).toMatchObject({ vlans: [{ vid: 10, ageingS: 5 }], mirrors: [{ to: "b" }] });
});

test("a reload leaves ports of the command line as they were made and changed, and makes those that are missing", async () => {
  const words = {
    ...emptyConfig(),
    ports: new Map(["v", "w"].map((name) => [name, { spec: spec(name), link: "up" as const }])),
  };
  const start = () => overlay(file([A]), words);
  await running.replace(start());
  await running.setPort("v", { policy: { vlan: 10, isolated: true }, link: "down", macLimit: 7 });
  await running.setPort("a", { policy: { vlan: 99 } });
  const before = running.config.ports.get("v");
  await running.removePort("w");
  fake.calls.length = 0;
  await running.replace(start());
  expect(fake.calls).toEqual(["policy 2,0,0", "addPort w"]);
  expect(running.config.ports.get("v")).toEqual(before!);
  expect(Object.values(obeyed())).toContainEqual({ vlan: { mode: "access", vid: 10 }, isolated: true } as never);
  expect(Object.values(obeyed())).toContainEqual(access(10) as never);
});

describe("a change by hand", () => {
  beforeEach(async () => {
    await running.replace(file([A, B]));
    fake.calls.length = 0;
  });

  test("of a port's policy touches nothing else", async () => {
    await running.setPort("a", { policy: { vlan: "20", isolated: "true" } });
    expect(fake.calls).toEqual(["policy 1,0,0"]);
    expect(obeyed()).toEqual({ 0: { vlan: { mode: "access", vid: 20 }, isolated: true } } as never);
    await running.setPort("a", { policy: { vlan: "", isolated: "none" } });
    expect(fake.obeyed.ports).toEqual([]);
    expect(running.config.ports.get("a")?.policy).toBeUndefined();
  });

  test("that cannot be is one line, and changes nothing", async () => {
    for (const [policy, line] of [
      [{ vlan: "5000" }, 'port a: vlan: expected a VLAN id from 1 to 4094, found "5000"'],
      [{ native: "5" }, "port a: native: native goes with trunk: say which VLANs, or leave it out"],
    ] as const) {
      const error = await failure(running.setPort("a", { link: "down", policy: { ...policy } }));
      expect([error.code, error.message]).toEqual(["BAD_OPTION", line]);
    }
    expect((await failure(running.setVlan(10, { ageing: "x" }))).message).toBe(
      'vlan 10: ageing: expected seconds from 1 to 86400, found "x"',
    );
    expect(fake.calls).toEqual([]);
    expect(running.config.ports.get("a")).toMatchObject({ link: "up", policy: { vlan: { vid: 10 } } });
  });

  test("of a port's policy and link is both or neither", async () => {
    fake.failures.set("setPort a", new RingyardError("BUSY", "no"));
    expect((await failure(running.setPort("a", { link: "down", policy: { vlan: "20" } }))).message).toBe("port a: no");
    expect(fake.calls).toEqual(['setPort a {"link":"down"}']);
    expect(obeyed()).toEqual({ 0: access(10) } as never);
    expect(running.config.ports.get("a")).toMatchObject({ link: "up", policy: { vlan: { vid: 10 } } });
  });

  test("does first what a kind may refuse, and last what lets frames pass", async () => {
    await running.setPort("a", { link: "down", macLimit: 4, policy: { vlan: "20" } });
    expect(fake.calls).toEqual(['setPort a {"link":"down","macLimit":4}', "policy 1,0,0"]);
    fake.calls.length = 0;
    await running.setPort("a", { link: "up", macLimit: 5, policy: { vlan: "30" } });
    expect(fake.calls).toEqual(['setPort a {"macLimit":5}', "policy 1,0,0", 'setPort a {"link":"up"}']);
    expect(running.config.ports.get("a")).toMatchObject({ link: "up", macLimit: 5, policy: { vlan: { vid: 30 } } });
  });

  test("neither makes a port anew nor tells of its policy where its mtu is refused", async () => {
    fake.failures.set('setPort a {"mtu"', new RingyardError("UNSUPPORTED", "port a: a driver is there"));
    const error = await failure(running.setPort("a", { mtu: 1800, policy: { vlan: "20" } }));
    expect(error).toMatchObject({ code: "UNSUPPORTED", message: "port a: a driver is there" });
    expect(fake.calls).toEqual(['setPort a {"mtu":1800}']);
  });

  test("is put back where its policy cannot be had", async () => {
    fake.failures.set("policy", new RingyardError("BUSY", "no"));
    expect((await failure(running.setPort("a", { link: "down", mtu: 1400, policy: { vlan: "20" } }))).message).toBe(
      "no",
    );
    expect(fake.port("a").admin).toBe("up");
    expect(fake.port("a").mtu).toBeUndefined();
    expect(running.config.ports.get("a")).toMatchObject({ link: "up", policy: { vlan: { vid: 10 } } });
  });

  test("that adds a port tells of its policy before it comes, and takes it back where it does not", async () => {
    await addPort("c", { isolated: true });
    // First for the name, then for its index.
    expect(fake.calls).toEqual(["policy 1,0,0", "addPort c", "policy 2,0,0"]);
    fake.failures.set("addPort d", new RingyardError("BUSY", "no"));
    await failure(addPort("d", { isolated: true }));
    expect([...fake.policy.get().ports.keys()]).toEqual(["a", "c"]);
    expect([...running.config.ports.keys()]).toEqual(["a", "b", "c"]);
  });

  test("that removes a port takes its policy away, and leaves a mirror that waits", async () => {
    await running.addMirror(mirrorOf("m", { ports: "b", to: "a" }));
    await running.removePort("a");
    expect(fake.obeyed).toMatchObject({ ports: [], mirrors: [] });
    await addPort("a");
    expect(fake.obeyed).toMatchObject({ ports: [], mirrors: [{ name: "m" }] });
  });

  test("gives a port its limit of addresses back", async () => {
    await running.setPort("a", { macLimit: 4 });
    expect(running.config.ports.get("a")?.macLimit).toBe(4);
    await running.setPort("a", { macLimit: null });
    expect(fake.calls.at(-1)).toBe('setPort a {"macLimit":65536}');
    expect(configData(running.config).ports[0]).not.toHaveProperty("macLimit");
  });

  test("of a mirror names ports that are there, and a name that is free", async () => {
    const mirror = mirrorOf("m", { ports: "b", to: "a" });
    await running.addMirror(mirror);
    const codes = [
      await failure(running.addMirror(mirror)),
      await failure(running.addMirror(mirrorOf("n", { ports: "c", to: "a" }))),
      await failure(running.deleteMirror("n")),
    ].map(({ code, message }) => `${code} ${message}`);
    expect(codes).toEqual(["EXISTS mirror m exists", "NOT_FOUND no port c", "NOT_FOUND no mirror n"]);
    await running.deleteMirror("m");
    expect(fake.obeyed.mirrors).toEqual([]);
  });
});
