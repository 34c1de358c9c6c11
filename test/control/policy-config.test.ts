// Policies in the configuration file: what is read, every mistake with line and key, names that have to be there, and a configuration
// that is printed so that it reads back the same.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConfigError, checkNames, emptyConfig, parseConfig } from "../../src/control/config.ts";
import { policyOf } from "../../src/control/config-policy.ts";
import { configData, configParts, configToml, joinConfig } from "../../src/control/config-show.ts";
import { encodeItem } from "../../src/control/frame.ts";
import { parsePort } from "../../src/control/uri.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { mirror, portSettings, vlanPolicy } from "../support/random-policies.ts";
import { sized } from "../support/scale.ts";

const parse = (text: string) => parseConfig(text, "x.toml", fakeKinds);

function linesOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("it was accepted");
}

const FILE = `
[ports.vm1]
uri = "null:"
mtu = 1500
vlan = 10
isolated = true
storm-broadcast = "1000 frames/s"

[ports]
vm2 = { uri = "null:", trunk = "10,20-30", vlan-map = { 110 = 10 } }
mon = "null:"

[vlans.10]
ageing = 60
suppress = ["arp", "nd"]

[vlans.20]

[mirrors.m]
ports = ["vm1", "vm2:in"]
vlans = [10, "20:out"]
to = "mon"
truncate = 128
`;

test("ports, VLANs and mirrors have policies", () => {
  const config = parse(FILE);
  expect(config.ports.get("vm1")?.spec.options).toEqual({ mtu: 1500 });
  const { ports, vlans, mirrors } = policyOf(config);
  expect(Object.fromEntries(ports)).toMatchObject({
    vm1: { vlan: { mode: "access", vid: 10 }, isolated: true, stormBroadcast: { unit: "frames", rate: 1000 } },
    vm2: { vlan: { mode: "trunk", map: [[110, 10]] } },
  });
  expect([...ports.keys()]).toEqual(["vm1", "vm2"]);
  // Nothing is said of VLAN 20.
  expect(vlans).toEqual([{ vid: 10, ageingS: 60, learning: true, suppressArp: true, suppressNd: true }]);
  expect(mirrors).toEqual([
    {
      ...{ name: "m", to: "mon", truncate: 128 },
      ports: [
        { port: "vm1", direction: "both" },
        { port: "vm2", direction: "in" },
      ],
      vlans: [
        { vid: 10, direction: "both" },
        { vid: 20, direction: "out" },
      ],
    },
  ]);
  checkNames(config, config.ports.keys(), []);
});

describe("a mistake names file, line and key", () => {
  const cases: [string, string, ...string[]][] = [
    [
      "a value",
      '[ports.a]\nuri = "null:"\n\nvlan = 5000',
      "4: ports.a.vlan: expected a VLAN id from 1 to 4094, found 5000",
    ],
    [
      "inside an inline table",
      "[ports]\na = { uri = 'null:', vlan = 1, trunk = '2' }",
      "2: ports.a.trunk: a port with vlan has no trunk: leave one out",
    ],
    [
      "a misspelt key",
      '[ports.a]\nuri = "null:"\nisolatd = 1',
      "3: ports.a.isolatd: unknown key: did you mean isolated?",
    ],
    [
      "a misspelt option",
      '[ports.a]\nuri = "null:"\nmtuu = 1500',
      "3: ports.a.mtuu: unknown option of null: did you mean mtu? null takes cpu, link, mac, mtu, offload, queues",
    ],
    [
      "all of a port's",
      '[ports.a]\nuri = "nul:"\nvlan = 0\nsticky = 2',
      '1: ports.a: unknown port kind "nul": did you mean null? known kinds: memory, null, tap, vduse, vhost-user',
      "3: ports.a.vlan: expected a VLAN id from 1 to 4094, found 0",
      "4: ports.a.sticky: expected true or false, found 2",
    ],
    ["a VLAN's id", "[vlans.4095]\nageing = 5", '1: vlans.4095: expected a VLAN id from 0 to 4094, found "4095"'],
    ["a VLAN twice", "[vlans.10]\n[vlans.010]", "2: vlans.010: VLAN 10 has a table already"],
    [
      "a VLAN's key",
      "[vlans.10]\nagein = 5",
      "2: vlans.10.agein: unknown key: did you mean ageing? known: ageing, learning, suppress",
    ],
    ["a VLAN's value", "[vlans.10]\nageing = 0", "2: vlans.10.ageing: expected seconds from 1 to 86400, found 0"],
    [
      "what is suppressed",
      '[vlans.10]\nsuppress = ["apr"]',
      '2: vlans.10.suppress: expected a list of arp, nd, found ["apr"]',
    ],
    ["a VLAN as a number", "[vlans]\n10 = 3", "2: vlans.10: expected a table, found 3"],
    ["VLANs as a list", "vlans = [1]", "1: vlans: expected a table of VLANs, found [1]"],
    [
      "a mirror to nowhere",
      "[mirrors.m]\nports = ['a']",
      "1: mirrors.m: a mirror needs a port for the copies: say to = NAME",
    ],
    ["a mirror of nothing", "[mirrors.m]\nto = 'a'", "1: mirrors.m: a mirror of nothing: say ports or vlans"],
    [
      "a mirror of itself",
      "[mirrors.m]\nports = ['b', 'a:in']\nto = 'a'",
      "3: mirrors.m.to: port a is mirrored itself: choose another port",
    ],
    [
      "a way that is none",
      "[mirrors.m]\nports = ['a:up']\nto = 'b'",
      '2: mirrors.m.ports: "a:up" is none of ports: write for example vm1, or vm1:in, or vm1:out',
    ],
    [
      "a port twice",
      "[mirrors.m]\nports = ['a:in', 'a:out']\nto = 'b'",
      "2: mirrors.m.ports: a is in the list twice: write it once, for both directions",
    ],
    [
      "a mirror's VLAN",
      "[mirrors.m]\nvlans = [0]\nto = 'b'",
      "2: mirrors.m.vlans: 0 is none of VLANs: write for example 10, or 10:in, or 10:out",
    ],
    [
      "a length",
      "[mirrors.m]\nvlans = [1]\nto = 'b'\ntruncate = 3",
      "4: mirrors.m.truncate: expected bytes from 14 to 65557, found 3",
    ],
    [
      "a mirror's name",
      "[mirrors.'a b']\nto = 'b'",
      '1: mirrors."a b": not the name of a mirror: write 1 to 32 letters, digits, _ . -',
    ],
  ];
  test.each(cases)("%s", (_, text, ...lines) => {
    expect(linesOf(() => parse(text))).toEqual(lines.map((line) => `x.toml:${line}`));
  });

  test("a port that a mirror names and nobody has", () => {
    const config = parse("[ports]\nvm1 = 'null:'\n[mirrors.m]\nports = ['vm2']\nto = 'mon'");
    expect(linesOf(() => checkNames(config, config.ports.keys(), []))).toEqual([
      "x.toml:3: mirrors.m: no port vm2: did you mean vm1? ports: vm1",
      "x.toml:3: mirrors.m: no port mon: ports: vm1",
    ]);
  });
});

describe("config show", () => {
  const name = fc.string({ unit: fc.constantFrom(..."abZ09_.-"), minLength: 1, maxLength: 32 });
  const config = fc
    .record({
      ports: fc.dictionary(name, fc.option(portSettings, { nil: undefined }), { noNullPrototype: true, maxKeys: 5 }),
      vlans: fc.uniqueArray(vlanPolicy, { maxLength: 5, selector: ({ vid }) => vid }),
      mirrors: fc.uniqueArray(mirror, { maxLength: 3, selector: ({ name }) => name }),
    })
    .map(({ ports, vlans, mirrors }) => {
      const whole = emptyConfig();
      for (const [name, policy] of Object.entries(ports)) {
        const said = policy === undefined ? {} : { policy };
        whole.ports.set(name, { spec: parsePort(name, "null:", fakeKinds), link: "up", ...said });
      }
      for (const vlan of vlans) whole.vlans.set(vlan.vid, vlan);
      for (const mirror of mirrors) whole.mirrors.set(mirror.name, { mirror });
      return whole;
    });

  test("prints TOML that reads back to the same policies, and goes over the socket in pieces", () => {
    fc.assert(
      fc.property(config, (whole) => {
        const data = configData(whole);
        const again = parse(configToml(data));
        // A policy that says only what is the default is none.
        const isSaid = ({ policy = {} }: { policy?: object }) => Object.keys(policy).length > 0;
        const ports = data.ports.map(({ policy, ...port }) => (isSaid({ policy }) ? { ...port, policy } : port));
        expect(configData(again)).toEqual({ ...data, ports } as typeof data);
        const parts = configParts(data);
        for (const piece of Object.values(parts).flat()) expect(encodeItem(piece).length).toBeLessThan(16_000);
        expect(joinConfig(parts)).toEqual({ ...data, ports } as typeof data);
      }),
      { numRuns: sized(150, 5_000) },
    );
  });

  test("keeps ports without policies in one line, and their order", () => {
    const toml = configToml(configData(parse(`[ports]\na = "null:"\nb = { uri = "null:", vlan = 10 }\nc = "null:"`)));
    expect(toml).toEndWith('[ports]\na = "null:"\n\n[ports.b]\nuri = "null:"\nvlan = 10\n\n[ports.c]\nuri = "null:"\n');
    expect([...parse(toml).ports.keys()]).toEqual(["a", "b", "c"]);
  });
});
