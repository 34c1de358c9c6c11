// The configuration file: what it means, and TOML that reads back the same. Its mistakes: config-mistakes.test.ts.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { emptyConfig, overlay, parseConfig } from "../../src/control/config.ts";
import { configData, configToml } from "../../src/control/config-show.ts";
import { difference } from "../../src/control/diff.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const parse = (text: string) => parseConfig(text, "ringyard.toml", fakeKinds);

describe("a file that is right", () => {
  test("may be empty", () => {
    expect(parse("")).toEqual(emptyConfig());
  });

  test("has settings and ports in three forms", () => {
    const config = parse(`
[switch]
cpus = "0-1,3"
poll = "busy"
control = "/run/x.sock"
ageing = 60
mac-limit = 1024

[ports]
web = "tap:web?mtu=1500"
"vm.1" = { uri = "vhost-user:/run/vm1.sock", queues = 2 }

[ports.db]
uri = "tap:db"
netns = "blue"
mtu = 9000
offload = ["tso4", "csum"]
link = "down"
mac-limit = 16
`);
    expect(config.settings).toEqual({ cpus: [0, 1, 3], poll: "busy", ageingS: 60, macLimit: 1024 });
    expect(config.control).toBe("/run/x.sock");
    expect(configData(config).ports).toEqual([
      { name: "web", uri: "tap:web?mtu=1500", link: "up" },
      { name: "vm.1", uri: "vhost-user:/run/vm1.sock?queues=2", link: "up" },
      { name: "db", uri: "tap:db?mtu=9000&netns=blue&offload=csum,tso4", link: "down", macLimit: 16 },
    ]);
    expect(config.ports.get("db")?.spec.options).toEqual({
      link: "down",
      mtu: 9000,
      netns: "blue",
      offload: ["csum", "tso4"],
    });
  });

  test("says in the uri or beside it where the link begins", () => {
    const config = parse('[ports]\na = "tap:a?link=down"\nb = { uri = "tap:b", link = "down" }\nc = "tap:c?link=up"');
    expect(configData(config).ports).toEqual([
      { name: "a", uri: "tap:a", link: "down" },
      { name: "b", uri: "tap:b", link: "down" },
      { name: "c", uri: "tap:c", link: "up" },
    ]);
    expect(configData(parse(configToml(configData(config))))).toEqual(configData(config));
  });

  test("gives CPUs as a list too", () => {
    expect(parse("[switch]\ncpus = [2, 0]").settings.cpus).toEqual([0, 2]);
  });
});

describe("config show", () => {
  const name = fc.string({ unit: fc.constantFrom(..."abZ09_.-"), minLength: 1, maxLength: 32 });
  const target = fc.string({ minLength: 1, maxLength: 20 }).map((text) => `tap:${encodeURIComponent(text)}`);
  const port = fc.record({
    uri: fc.oneof(target, fc.constant("null:"), fc.constant("vhost-user:/a%22b?mode=client&queues=2")),
    link: fc.constantFrom("up", "down"),
    macLimit: fc.option(fc.nat(1000), { nil: undefined }),
  });

  test("prints TOML that reads back to the same configuration", () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, port, { noNullPrototype: true }),
        fc.integer({ min: 1, max: 86400 }),
        (ports, ageing) => {
          const lines = Object.entries(ports).map(
            ([name, { uri, link, macLimit }]) =>
              `"${name}" = { uri = ${JSON.stringify(uri)}, link = '${link}'${macLimit === undefined ? "" : `, mac-limit = ${macLimit}`} }`,
          );
          const config = parse(
            `[switch]\ncpus = [1]\ncontrol = "/a\\"b\\u00E9"\nageing = ${ageing}\n[ports]\n${lines.join("\n")}`,
          );
          const data = configData(config);
          expect(configData(parse(configToml(data)))).toEqual(data);
        },
      ),
    );
  });

  test("prints the whole path of a control socket that the command line names from where it is", () => {
    const started = { ...emptyConfig(), control: "./c.sock" };
    const shown = configData(started);
    expect(shown.switch.control).toBe(join(process.cwd(), "c.sock"));
    const again = parse(configToml(shown));
    expect(configData(again)).toEqual(shown);
    expect(difference(started, again, fakeKinds).restart).toEqual([]);
  });

  test("fills in defaults and keeps the short form", () => {
    expect(configToml(configData(parse('[ports]\nweb = "tap:web"\n"a.b" = "null:"')))).toBe(
      '[switch]\npoll = "adaptive"\nageing = 300\nmac-limit = 65536\n\n[ports]\nweb = "tap:web"\n"a.b" = "null:"\n',
    );
  });
});

test("the command line is laid over the file: settings, and ports by name", () => {
  const file = parse('[switch]\nageing = 60\npoll = "busy"\n[ports]\na = "null:"\nb = "null:"');
  const words = parse('[switch]\npoll = "interrupt"\n[ports]\nb = "tap:b"\nc = "tap:c"');
  const both = overlay(file, words);
  expect(both.settings).toEqual({ ageingS: 60, poll: "interrupt" });
  expect(configData(both).ports.map(({ name, uri }) => `${name}=${uri}`)).toEqual(["a=null:", "b=tap:b", "c=tap:c"]);
});
