// What can be said of a port: each key read and printed, what cannot be refused in one line, and nothing kept that is the default.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PORT_POLICY_KEYS, portPolicyWords, readPortPolicy } from "../../../src/control/policy/port-policy.ts";
import { PORT_DEFAULTS } from "../../../src/dataplane/bridge/policy.ts";
import { portSettings } from "../../support/random-policies.ts";
import { sized } from "../../support/scale.ts";

const RUNS = sized(300, 20_000);

function settingsOf(words: Record<string, unknown>) {
  const read = readPortPolicy(words);
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.is;
}

function linesOf(words: Record<string, unknown>): string[] {
  const read = readPortPolicy(words);
  if ("is" in read) throw new Error("it was accepted");
  return read.problems.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

/** Key, as in TOML, as on a command line, what it means, and as it is printed where that is not as in TOML. */
const KEYS: [string, unknown, string, object, unknown?][] = [
  ["vlan", 20, "20", { vlan: { mode: "access", vid: 20 } }],
  ["tunnel", 100, "100", { vlan: { mode: "tunnel", vid: 100 } }],
  ["priority-tags", true, "true", { priorityTags: true }],
  ["learning", false, "false", { learning: false }],
  ["sticky", true, "true", { sticky: true }],
  ["mac-limit-action", "shutdown", "shutdown", { limitAction: "shutdown" }],
  ["recover", 0, "0", { recoverS: 0 }],
  ["flood", ["unknown", "broadcast"], "broadcast,unknown", { floodMulticast: false }, ["broadcast", "unknown"]],
  ["flood", "none", "none", { floodBroadcast: false, floodMulticast: false, floodUnknown: false }],
  ["storm-broadcast", "1000 frames/s", "1 kframes/s", { stormBroadcast: { unit: "frames", rate: 1000, burst: 100 } }],
  [
    "storm-multicast",
    { rate: "8 Mbit/s", burst: "1 Mbit" },
    "8Mbit/s burst 1Mbit",
    { stormMulticast: { unit: "bits", rate: 8e6, burst: 1e6 } },
    "8 Mbit/s burst 1 Mbit",
  ],
  ["storm-unknown", "64 frames/s", "64frames/s", { stormUnknown: { unit: "frames", rate: 64, burst: 64 } }],
  ["loop-guard", true, "true", { loopGuard: true }],
  ["isolated", true, "true", { isolated: true }],
  ["groups", ["web", "dmz"], "web,dmz", { groups: ["dmz", "web"] }, ["dmz", "web"]],
  [
    "source-guard",
    ["02:00:00:00:00:0A 10.0.0.5 10.1.0.0/16", "02:00:00:00:00:0b fe80::/10 2001:db8::1"],
    "02:00:00:00:00:0a 10.0.0.5 10.1.0.0/16,02:00:00:00:00:0b fe80::/10 2001:db8::1",
    {
      sources: [
        { mac: "02000000000a", ips: ["10.0.0.5/32", "10.1.0.0/16"] },
        { mac: "02000000000b", ips: ["fe80::/10", "2001:db8::1/128"] },
      ],
    },
    ["02:00:00:00:00:0a 10.0.0.5 10.1.0.0/16", "02:00:00:00:00:0b fe80::/10 2001:db8::1"],
  ],
  ["source-guard", [], "nobody", { sources: [] }, "nobody"],
  ["dhcp-guard", true, "true", { dhcpGuard: true }],
  ["ra-guard", true, "true", { raGuard: true }],
  ["police", "100 Mbit/s", "100Mbit/s", { police: { unit: "bits", rate: 1e8, burst: 1e7 } }],
  ["shape", "10 Mbit/s", "10 Mbit/s", { shape: { unit: "bits", rate: 1e7, burst: 1e6 } }],
  ["trust", "dscp", "DSCP", { trust: "dscp" }],
  ["priority", 7, "7", { priority: 7 }],
  ["scheduler", [1, 1, 1, 1, 2, 2, 4, 8], "1,1,1,1,2,2,4,8", { scheduler: [1, 1, 1, 1, 2, 2, 4, 8] }],
];

describe("a key", () => {
  test.each(KEYS)("%s %j", (key, value, text, settings, printed = value) => {
    expect(settingsOf({ [key]: value })).toEqual(settings);
    expect(settingsOf({ [key]: text })).toEqual(settings);
    expect(portPolicyWords(settings)).toEqual({ [key]: printed } as never);
  });

  test("and that is all keys, but those of trunks", () => {
    const trunk = ["trunk", "native", "native-tagged", "tag-type", "vlan-map"];
    expect([...new Set([...KEYS.map(([key]) => key), ...trunk])].sort()).toEqual(PORT_POLICY_KEYS.toSorted());
  });
});

test("a trunk has VLANs, a native one, tags and a map", () => {
  const words = {
    trunk: "10,20-30",
    native: 10,
    "native-tagged": true,
    "tag-type": "802.1AD",
    "vlan-map": { 110: 20 },
  };
  const vlan = {
    ...{ mode: "trunk", native: 10, nativeTagged: true, tpid: 0x88a8 },
    ...{
      allowed: [
        [10, 10],
        [20, 30],
      ],
      map: [[110, 20]],
    },
  };
  expect(settingsOf(words)).toEqual({ vlan } as never);
  expect(portPolicyWords(settingsOf(words))).toEqual({ ...words, "tag-type": "802.1ad" });
  expect(settingsOf({ ...words, trunk: "30,21-29,10, 20-21", "vlan-map": "110:20" })).toEqual({ vlan } as never);
  expect(settingsOf({ trunk: "all" }).vlan).toMatchObject({ allowed: [[1, 4094]], native: 0, tpid: 0x8100, map: [] });
  expect(portPolicyWords(settingsOf({ trunk: "1-4094" }))).toEqual({ trunk: "all" });
});

test("a map may take ids from VLANs that nobody asked for, and swap them", () => {
  expect(settingsOf({ trunk: "all", "vlan-map": { 100: 10 } }).vlan).toMatchObject({ map: [[100, 10]] });
  expect(settingsOf({ trunk: "10", native: 100, "vlan-map": { 100: 10 } }).vlan).toMatchObject({ native: 100 });
  expect(settingsOf({ trunk: "10,100", "vlan-map": "100:10,10:100" }).vlan).toMatchObject({
    map: [
      [10, 100],
      [100, 10],
    ],
  });
});

test("what is the default is not kept", () => {
  const words = {
    ...{ learning: true, isolated: false, flood: "all", recover: 300, groups: [], trust: "none", scheduler: "strict" },
    ...{ "mac-limit-action": "evict", priority: 0 },
  };
  expect(settingsOf(words)).toEqual({});
  expect(portPolicyWords({ learning: true, groups: [] })).toEqual({});
  // In a list it is a name like others.
  expect([settingsOf({ groups: "none" }), settingsOf({ groups: ["none"] })]).toEqual([{}, { groups: ["none"] }]);
});

const MAP = "id 100 stands for VLAN 10, so none is left for VLAN 100: take that out of trunk, or map it";

const MISTAKES: [Record<string, unknown>, ...string[]][] = [
  [{ vlan: 0 }, "vlan: expected a VLAN id from 1 to 4094, found 0"],
  [{ vlan: 4095 }, "vlan: expected a VLAN id from 1 to 4094, found 4095"],
  [{ tunnel: "x" }, 'tunnel: expected a VLAN id from 1 to 4094, found "x"'],
  [{ trunk: "30-20" }, 'trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found "30-20"'],
  [{ trunk: "0-4094" }, 'trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found "0-4094"'],
  [{ trunk: "" }, 'trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found ""'],
  [{ vlan: 10, trunk: "20" }, "trunk: a port with vlan has no trunk: leave one out"],
  [{ trunk: "20", tunnel: 20 }, "tunnel: a port with trunk has no tunnel: leave one out"],
  [{ vlan: 10, native: 10 }, "native: native goes with trunk: say which VLANs, or leave it out"],
  [{ native: 10 }, "native: native goes with trunk: say which VLANs, or leave it out"],
  [{ "vlan-map": { 1: 2 } }, "vlan-map: vlan-map goes with trunk: say which VLANs, or leave it out"],
  [
    { trunk: "20", "native-tagged": true },
    "native-tagged: there is no native VLAN that could be tagged: say which with native",
  ],
  [{ trunk: "20", "tag-type": "qinq" }, 'tag-type: expected 802.1Q or 802.1ad, found "qinq"'],
  [{ trunk: "10,100", "vlan-map": { 100: 10 } }, `vlan-map: ${MAP}`],
  [{ trunk: "10", native: 100, "native-tagged": true, "vlan-map": { 100: 10 } }, `vlan-map: ${MAP}`],
  [{ trunk: "10", "vlan-map": { 100: 20 } }, "vlan-map: VLAN 20 is not one of trunk: add it there"],
  [
    { trunk: "10", "vlan-map": { 100: 10, 200: 10 } },
    "vlan-map: VLAN 10 has two ids on the wire, 100 and 200: choose one",
  ],
  [
    { trunk: "10", "vlan-map": { x: 10 } },
    'vlan-map: expected ids on the wire and VLAN ids from 1 to 4094 such as { "100" = 10 }, found {"x":10}',
  ],
  [{ trunk: "10", "vlan-map": "100:10,100:10" }, "vlan-map: id 100 is mapped twice"],
  [
    { trunk: { toString: false } },
    'trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found {"toString":false}',
  ],
  [
    { trunk: [{ toString: false }] },
    'trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found [{"toString":false}]',
  ],
  [
    { trust: { toString: false, valueOf: 1 } },
    'trust: expected none, pcp or dscp, found {"toString":false,"valueOf":1}',
  ],
  [
    { trunk: "10", "vlan-map": [{ toString: 1 }] },
    'vlan-map: expected ids on the wire and VLAN ids from 1 to 4094 such as { "100" = 10 }, found [{"toString":1}]',
  ],
  ...[true, 5, null, new Date(0)].map((value): (typeof MISTAKES)[number] => [
    { trunk: "10", "vlan-map": value },
    `vlan-map: expected ids on the wire and VLAN ids from 1 to 4094 such as { "100" = 10 }, found ${JSON.stringify(value)}`,
  ]),
  [{ isolated: "yes" }, 'isolated: expected true or false, found "yes"'],
  [{ "mac-limit-action": "explode" }, 'mac-limit-action: expected evict, stop, drop or shutdown, found "explode"'],
  [{ recover: -1 }, "recover: expected seconds from 0 to 86400, found -1"],
  [{ recover: 1.5 }, "recover: expected seconds from 0 to 86400, found 1.5"],
  [{ flood: ["broadcst"] }, 'flood: expected a list of broadcast, multicast, unknown, found ["broadcst"]'],
  [{ flood: 3 }, "flood: expected a list of broadcast, multicast, unknown, found 3"],
  [{ police: "0 bit/s" }, 'police: expected 1 to 10^12 a second, found "0 bit/s"'],
  [{ police: "fast" }, 'police: "fast" is no rate: write for example 100 Mbit/s or 1000 frames/s'],
  // Minutes, by a pattern that tries every way to part the spaces.
  [
    { police: " ".repeat(5000) },
    `police: "${" ".repeat(200)}..." is no rate: write for example 100 Mbit/s or 1000 frames/s`,
  ],
  [{ police: "10" }, 'police: "10" lacks its unit: write for example 100 Mbit/s or 1000 frames/s'],
  [{ shape: "1 Mbit/s burst 5 frames" }, 'shape: burst: "5 frames" is not in bits, as the rate is'],
  [{ shape: { rate: "1 Mbit/s", brst: "1 Mbit" } }, 'shape: "brst" is no part of a rate: write rate, and burst'],
  [{ groups: ["a b"] }, 'groups: "a b" is not the name of a group: write 1 to 32 letters, digits, _ . -'],
  [{ groups: 3 }, "groups: expected a list of groups' names, found 3"],
  [
    { "source-guard": ["10.0.0.5"] },
    'source-guard: "10.0.0.5" is not the MAC address of a station: write for example 02:00:00:00:00:01',
  ],
  [
    { "source-guard": ["01:00:5e:00:00:01"] },
    'source-guard: "01:00:5e:00:00:01" is not the MAC address of a station: write for example 02:00:00:00:00:01',
  ],
  [{ "source-guard": ["02:00:00:00:00:01 10.0.0.256"] }, 'source-guard: "10.0.0.256" is no IP address or prefix'],
  [{ "source-guard": ["02:00:00:00:00:01 10.0.0.0/33"] }, 'source-guard: "10.0.0.0/33" is no IP address or prefix'],
  [
    { "source-guard": ["02:00:00:00:00:01 10.0.0.5/8"] },
    'source-guard: "10.0.0.5/8" has bits set behind its prefix: write 10.0.0.0/8, or 10.0.0.5',
  ],
  [
    { "source-guard": ["02:00:00:00:00:01", "02:00:00:00:00:01 10.0.0.5"] },
    "source-guard: 02:00:00:00:00:01 stands in two entries: write its addresses into one",
  ],
  [
    { "source-guard": [`02:00:00:00:00:01${" 10.0.0.1".repeat(129)}`] },
    "source-guard: 02:00:00:00:00:01 has 129 addresses: write at most 128, or prefixes",
  ],
  [{ "source-guard": [3] }, "source-guard: 3 is no station: write its MAC address, then its IP addresses"],
  [{ priority: 8 }, "priority: expected a priority from 0 to 7, found 8"],
  [
    { scheduler: [1, 2, 3] },
    "scheduler: expected strict, or 8 weights from 1 to 1000, that of priority 0 first, found [1,2,3]",
  ],
  [
    { scheduler: "0,1,1,1,1,1,1,1" },
    'scheduler: expected strict, or 8 weights from 1 to 1000, that of priority 0 first, found "0,1,1,1,1,1,1,1"',
  ],
  [
    { isolatd: true, vlan: 9999, learning: 1 },
    "isolatd: unknown key: did you mean isolated?",
    "learning: expected true or false, found 1",
    "vlan: expected a VLAN id from 1 to 4094, found 9999",
  ],
];

test.each(MISTAKES)("%j is a mistake", (words, ...lines) => {
  expect(linesOf(words).map((line) => line.replace(/ known: .*$/, ""))).toEqual(lines);
});

test("whatever can be said is printed so that it reads back the same", () => {
  fc.assert(
    fc.property(portSettings, (settings) => {
      const said = Object.entries(settings).filter(
        ([name, value]) => !Bun.deepEquals(value, PORT_DEFAULTS[name as keyof typeof PORT_DEFAULTS]),
      );
      const words = portPolicyWords(settings);
      expect(settingsOf(words)).toEqual(Object.fromEntries(said));
      expect(JSON.parse(JSON.stringify(words))).toEqual(words);
    }),
    { numRuns: RUNS },
  );
});

test("no words make more than settings or mistakes of one line", () => {
  // JSON may bring along what every object has.
  const hostile = fc.dictionary(fc.constantFrom("toString", "valueOf", "toJSON", "length"), fc.jsonValue());
  const json = fc.oneof(fc.jsonValue(), hostile, fc.array(hostile));
  const value = fc.oneof(json, fc.constantFrom("", "none", "all", "10,20", "1 Mbit/s", "true"));
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...PORT_POLICY_KEYS, "x"), value), (words) => {
      const read = readPortPolicy(words);
      if ("is" in read) expect(readPortPolicy(portPolicyWords(read.is))).toEqual(read);
      else for (const { message } of read.problems) expect(message).toMatch(/^[^\n]+$/);
    }),
    { numRuns: RUNS },
  );
});
