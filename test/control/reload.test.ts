// From one configuration to another: the least that has to change, in a fixed order, and all of it or nothing.

import { beforeEach, describe, expect, test } from "bun:test";
import { type Config, parseConfig } from "../../src/control/config.ts";
import { configData } from "../../src/control/config-show.ts";
import { difference } from "../../src/control/diff.ts";
import { Running } from "../../src/control/running.ts";
import { UndoneError } from "../../src/control/undo.ts";
import { parsePort } from "../../src/control/uri.ts";
import { errorLine, RingyardError } from "../../src/core/errors.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch } from "../support/fake-switch.ts";

const parse = (text: string): Config => parseConfig(text, "test.toml", fakeKinds);
const ports = (...lines: string[]): Config => parse(`[ports]\n${lines.join("\n")}`);

/** What it takes, in short. */
function steps(before: Config, after: Config): string[] {
  return difference(before, after, fakeKinds).actions.map((action) => {
    if (action.do === "configure") return `configure ${JSON.stringify(action.after)}`;
    if (action.do === "set") return `set ${action.after.spec.name} ${JSON.stringify(action.changes)}`;
    if (action.do === "rules") return `rules ${action.after.rules.map(({ id }) => id).join()}`;
    if (action.do === "policy") return `policy ${[...action.after.ports.keys()].join()}`;
    return `${action.do} ${action.port.spec.name}`;
  });
}

describe("the difference", () => {
  test("of a configuration and itself is nothing, however it is written", () => {
    const before = ports('a = "tap:x?mtu=1500&netns=blue"', 'b = "vhost-user:/a/b"');
    const after = ports('b = "vhost-user:/a//b?mode=server"', 'a = { uri = "tap:x?netns=blue", mtu = 1500 }');
    expect(difference(before, after, fakeKinds)).toEqual({ actions: [], restart: [] });
  });

  test("removes first, then changes, then adds, then sets the switch", () => {
    const before = ports('a = "null:"', 'b = "null:"', 'c = "tap:c"');
    const after = parse(
      '[switch]\nageing = 9\n[ports]\nd = "tap:c"\nb = { uri = "null:", link = "down" }\na = "memory:a"',
    );
    expect(steps(before, after)).toEqual([
      "remove c",
      "remove a",
      'set b {"link":"down"}',
      "add d",
      "add a",
      'configure {"poll":"adaptive","ageingS":9}',
    ]);
  });

  test("changes an mtu under a running port, also where one appears or goes", () => {
    const plain = ports('a = "tap:a"');
    const small = ports('a = "tap:a?mtu=1500"');
    const large = ports('a = "tap:a?mtu=9000"');
    const moved = ports('a = "tap:b?mtu=9000"');
    expect(steps(small, large)).toEqual(['set a {"mtu":9000}']);
    expect(steps(plain, large)).toEqual(['set a {"mtu":9000}']);
    expect(steps(large, plain)).toEqual(['set a {"mtu":null}']);
    expect(steps(small, moved)).toEqual(["remove a", "add a"]);
  });

  test("changes a link under a running port, wherever it is written", () => {
    const up = ports('a = "tap:a"');
    const down = ports('a = "tap:a?link=down"');
    expect(steps(up, down)).toEqual(['set a {"link":"down"}']);
    expect(steps(down, up)).toEqual(['set a {"link":"up"}']);
    expect(steps(down, ports('a = { uri = "tap:a", link = "down" }'))).toEqual([]);
  });

  test("gives a port whose limit goes the switch's", () => {
    const limited = ports('a = { uri = "null:", mac-limit = 4 }');
    expect(steps(limited, ports('a = "null:"'))).toEqual(['set a {"macLimit":65536}']);
    expect(steps(ports('a = "null:"'), limited)).toEqual(['set a {"macLimit":4}']);
  });

  test("names what needs a restart", () => {
    const after = parse('[switch]\ncpus = "1"\nmac-limit = 5\ncontrol = "/a"');
    expect(difference(parse(""), after, fakeKinds)).toEqual({ actions: [], restart: ["cpus", "mac-limit", "control"] });
  });
});

describe("a running switch", () => {
  let fake: FakeSwitch;
  let running: Running;

  beforeEach(async () => {
    fake = new FakeSwitch({});
    running = new Running(fake, fakeKinds, { settings: {} });
    await running.replace(ports('a = "tap:a?mtu=1500"', 'b = { uri = "null:", link = "down", mac-limit = 4 }'));
  });

  const shown = () => fake.ports().map(({ name, uri, admin }) => `${name} ${uri} ${admin}`);
  const told = () => configData(running.config).ports.map(({ name, uri, link }) => `${name} ${uri} ${link}`);

  test("starts with the ports and their settings", () => {
    expect(fake.calls).toEqual(["addPort a", "addPort b", 'setPort b {"macLimit":4}']);
    expect(shown()).toEqual(["a tap:a?mtu=1500 up", "b null: down"]);
    expect(told()).toEqual(shown());
  });

  test("does not touch ports that did not change", async () => {
    fake.calls.length = 0;
    await running.replace(
      ports('b = { uri = "null:", link = "down", mac-limit = 4 }', 'a = "tap:a?mtu=1500"', 'c = "null:"'),
    );
    expect(fake.calls).toEqual(["addPort c"]);
  });

  const failures: [string, string][] = [
    ["the last add", "addPort d"],
    ["a set", 'setPort b {"link":"up"'],
    ["the settings", "configure"],
    ["a remove", "removePort a"],
  ];
  test.each(failures)("is what it was when %s fails", async (_, call) => {
    const before = shown().sort();
    fake.failures.set(call, new RingyardError("BUSY", "no"));
    const wanted = parse('[switch]\npoll = "busy"\n[ports]\nb = "null:"\nc = "null:"\nd = "null:"');
    await expect(running.replace(wanted)).rejects.toThrow("no");
    await running.replace(wanted).catch(() => {});
    expect(shown().sort()).toEqual(before);
    expect(told().sort()).toEqual(before);
    expect(fake.settings.poll).toBe("adaptive");
    expect(fake.port("b")).toMatchObject({ admin: "down", macLimit: 4 });
    // And once the cause is gone, the same request goes through.
    fake.failures.clear();
    await running.replace(wanted);
    expect(shown().sort()).toEqual(["b null: up", "c null: up", "d null: up"]);
  });

  test("says what could not be put back", async () => {
    fake.failures.set("addPort", new RingyardError("SYSTEM", "device gone"));
    const error = await running.replace(ports('c = "null:"')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SYSTEM" });
    expect(errorLine(error)).toBe(
      "port c: device gone; and could not put back port b (device gone); port a (device gone)",
    );
  });

  test("says which ports were made anew, with the addresses that were pinned to them", async () => {
    fake.fdbAdd("02:00:00:00:00:99", "a", 7);
    fake.failures.set("addPort c", new RingyardError("BUSY", "no", "wait"));
    const error = await running.replace(ports('c = "null:"')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "BUSY", message: "port c: no", next: "wait", anew: ["a", "b"], lost: [] });
    expect([...fake.entries.values()]).toMatchObject([{ mac: "02:00:00:00:00:99", port: "a", vlan: 7, static: true }]);
    // Where no port had to go, nothing is said of any.
    const kept = ports('a = "tap:a?mtu=1500"', 'b = "null:"', 'c = "null:"');
    expect(await running.replace(kept).catch((thrown: unknown) => thrown)).not.toBeInstanceOf(UndoneError);
  });

  test("makes a port anew whose mtu cannot change while it runs", async () => {
    fake.failures.set('setPort a {"mtu"', new RingyardError("UNSUPPORTED", "a driver is there"));
    fake.calls.length = 0;
    await running.replace(ports('a = "tap:a?mtu=9000"', 'b = { uri = "null:", link = "down", mac-limit = 4 }'));
    expect(fake.calls).toEqual(['setPort a {"mtu":9000}', "removePort a", "addPort a"]);
    expect(fake.port("a").mtu).toBe(9000);
  });

  test("gives a port that said no mtu its own back where a later step fails", async () => {
    const b = 'b = { uri = "null:", link = "down", mac-limit = 4 }';
    await running.replace(ports('a = "tap:a"', b));
    fake.calls.length = 0;
    fake.failures.set("addPort c", new RingyardError("BUSY", "no"));
    await expect(running.replace(ports('a = "tap:a?mtu=9000"', b, 'c = "null:"'))).rejects.toThrow("no");
    expect(fake.calls).toEqual(['setPort a {"mtu":9000}', "addPort c", 'setPort a {"mtu":null}']);
    expect(fake.port("a").mtu).toBeUndefined();
  });

  test("port set takes an mtu back", async () => {
    await running.replace(ports('a = "tap:a?mtu=9000"', 'b = "null:"'));
    fake.calls.length = 0;
    await running.setPort("a", { mtu: null });
    expect(fake.calls).toEqual(['setPort a {"mtu":null}']);
    expect(told()).toContain("a tap:a up");
  });

  test("leaves no port whose settings cannot be set", async () => {
    fake.failures.set("setPort c", new RingyardError("SYSTEM", "no"));
    const port = { spec: parsePort("c", "null:", fakeKinds), link: "down", macLimit: 4 } as const;
    await expect(running.addPort(port)).rejects.toThrow("no");
    await running.addPort(port).catch(() => {});
    expect(fake.ports().map(({ name }) => name)).toEqual(["a", "b"]);
  });

  test("keeps ports that were added by hand over a reload, until the file names them", async () => {
    await running.addPort({ spec: parsePort("hand", "null:", fakeKinds), link: "up" });
    await running.replace(ports('a = "tap:a?mtu=1500"'));
    expect(shown()).toEqual(["a tap:a?mtu=1500 up", "hand null: up"]);
    await running.replace(ports('hand = "memory:x"'));
    expect(shown()).toEqual(["hand memory:x up"]);
    await running.replace(ports());
    expect(shown()).toEqual([]);
  });

  test("brings back with a reload what was removed and changed by hand", async () => {
    const file = ports('a = "tap:a?mtu=1500"', 'b = "null:"');
    await running.replace(file);
    await running.removePort("a");
    await running.setPort("b", { link: "down" });
    await running.replace(file);
    expect(shown().sort()).toEqual(["a tap:a?mtu=1500 up", "b null: up"]);
  });

  test("knows of changes by hand", async () => {
    await running.setPort("a", { mtu: 9000, link: "down" });
    expect(told()).toEqual(["a tap:a?mtu=9000 down", "b null: down"]);
    await expect(running.setPort("aa", {})).rejects.toMatchObject({
      code: "NOT_FOUND",
      next: "did you mean a? ports: a, b",
    });
    await expect(running.removePort("zzz")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(running.addPort({ spec: parsePort("a", "null:", fakeKinds), link: "up" })).rejects.toMatchObject({
      code: "EXISTS",
    });
  });

  test("keeps what needs a restart, and names it each time", async () => {
    const file = parse('[switch]\ncpus = "1"\n[ports]\na = "tap:a?mtu=1500"');
    expect((await running.replace(file)).restart).toEqual(["cpus"]);
    expect((await running.replace(file)).restart).toEqual(["cpus"]);
    expect(configData(running.config).switch.cpus).toEqual([]);
  });

  test("takes one change at a time", async () => {
    const order: string[] = [];
    await Promise.all([
      running.replace(ports('x = "null:"')).then(() => order.push("reload")),
      running.addPort({ spec: parsePort("y", "null:", fakeKinds), link: "up" }).then(() => order.push("add")),
      running.removePort("x").then(() => order.push("remove")),
    ]);
    expect(order).toEqual(["reload", "add", "remove"]);
    expect(shown()).toEqual(["y null: up"]);
  });
});
