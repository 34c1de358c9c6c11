// Policies over the control socket: each operation, and each refusal as one line; long lists too, which no frame could carry whole.

import { describe, expect, test } from "bun:test";
import type { ControlClient } from "../../src/control/client.ts";
import { joinConfig } from "../../src/control/config-show.ts";
import { joinPieces, joinSaid, wordPieces } from "../../src/control/policy/policy-words.ts";
import type { Operation } from "../../src/control/protocol.ts";
import { useServed } from "../support/control.ts";
import { failure } from "../support/failure.ts";

const serve = useServed();

async function started(...ports: string[]) {
  const served = await serve();
  const client = await served.client();
  for (const name of ports) await client.request("port.add", { name, uri: "null:" });
  return { ...served, client };
}

const set = (client: ControlClient, name: string, words: Record<string, string | number | boolean>) =>
  client.request("port.set", { name, policy: wordPieces(words) });
const said = async (client: ControlClient, name: string) =>
  joinPieces((await client.request("port.policy", { name })).settings);

test("a port's policy is set with it, changed, shown and taken back", async () => {
  const { client, fake } = await started();
  await client.request("port.add", { name: "a", uri: "null:", policy: [{ key: "vlan", value: "20" }] });
  await set(client, "a", { isolated: "true", police: "1Mbit/s" });
  expect(await said(client, "a")).toEqual({ vlan: 20, isolated: true, police: "1 Mbit/s" });
  expect(fake.obeyed.ports).toMatchObject([{ port: 0, vlan: { vid: 20 }, isolated: true, police: { rate: 1e6 } }]);
  await set(client, "a", { isolated: "", trunk: "10,20" });
  expect(await said(client, "a")).toEqual({ trunk: "10,20", police: "1 Mbit/s" });
  const { policies } = await client.request("policy.show", {});
  expect(joinSaid(policies)).toEqual(new Map([["port a", { trunk: "10,20", police: "1 Mbit/s" }]]));
});

test("a thousand bindings go there and back", async () => {
  const { client } = await started("a");
  const bindings = Array.from(
    { length: 1000 },
    (_, n) => `02:00:00:00:${hex(n >> 8)}:${hex(n & 255)} 10.0.${n >> 8}.${n & 255}`,
  );
  await client.request("port.set", { name: "a", policy: wordPieces({ "source-guard": bindings }) });
  expect(await said(client, "a")).toEqual({ "source-guard": bindings });
  const config = joinConfig(await client.request("config.show", {}));
  expect(config.ports).toEqual([{ name: "a", uri: "null:", link: "up", policy: { "source-guard": bindings } }]);
});

test("stations with as many addresses as they may have, and a map of all VLANs, go there and back", async () => {
  const { client } = await started("a");
  const ips = Array.from({ length: 128 }, (_, n) => `fd00:1111:2222:3333:4444:5555:6666:${(n + 4096).toString(16)}`);
  const bindings = Array.from({ length: 64 }, (_, n) => `02:00:00:00:00:${hex(n)} ${ips.join(" ")}`);
  await client.request("port.set", { name: "a", policy: wordPieces({ "source-guard": bindings }) });
  const map = Object.fromEntries(Array.from({ length: 4093 }, (_, n) => [`${n + 1}`, n + 2]));
  await client.request("port.set", { name: "a", policy: wordPieces({ trunk: "2-4094", "vlan-map": map }) });
  const shown = await said(client, "a");
  expect(shown["source-guard"]).toEqual(bindings);
  expect(shown["vlan-map"]).toEqual(Object.entries(map).map(([wire, vid]) => `${wire}:${vid}`));
  expect(joinConfig(await client.request("config.show", {})).ports[0].policy).toEqual(shown);
});

const hex = (number: number) => number.toString(16).padStart(2, "0");

test("VLANs are shown with their members, and set", async () => {
  const { client } = await started("a", "b");
  await set(client, "a", { vlan: "10" });
  await client.request("vlan.set", { id: 10, settings: wordPieces({ ageing: "60", suppress: "arp" }) });
  const { vlans, members } = await client.request("vlan.show", {});
  expect(vlans).toEqual([
    { id: 1, ageingS: 300, learning: true, suppress: [], macs: 0, directed: 1 },
    { id: 10, ageingS: 60, learning: true, suppress: ["arp"], macs: 0, directed: 10 },
  ]);
  expect(members).toEqual([
    { vlan: 1, port: "b", mode: "access", leaves: "untagged" },
    { vlan: 10, port: "a", mode: "access", leaves: "untagged" },
  ]);
  await client.request("vlan.set", { id: 10, settings: wordPieces({ ageing: "", suppress: "" }) });
  expect((await client.request("vlan.show", { id: 10 })).vlans).toMatchObject([{ ageingS: 300, suppress: [] }]);
});

// By comparing each with all before it: minutes.
test("a mirror of hundreds of thousands of ports is refused for the one that is there twice", async () => {
  const { client } = await started("a");
  const ports = Array.from({ length: 300_000 }, (_, n) => `p${n}`);
  const settings = [...wordPieces({ ports: [...ports, ports[299_999]] }), ...wordPieces({ to: "a" })];
  const { message } = await failure(client.request("mirror.add", { name: "m", settings }));
  expect(message).toBe("mirror m: ports: p299999 is in the list twice: write it once, for both directions");
});

test("mirrors are added, listed with what they wait for, and deleted", async () => {
  const { client, fake } = await started("a", "b");
  const settings = wordPieces({ ports: "a:in", vlans: "10", to: "b", truncate: "64" });
  await client.request("mirror.add", { name: "m", settings });
  expect(fake.obeyed.mirrors).toMatchObject([{ name: "m", to: 1, truncate: 64 }]);
  await client.request("port.del", { name: "b" });
  expect(await client.request("mirror.list", {})).toEqual({
    mirrors: [{ name: "m", inactive: "no port b" }],
    settings: [
      { of: "m", key: "ports", value: ["a:in"] },
      { of: "m", key: "vlans", value: ["10"] },
      { of: "m", key: "to", value: "b" },
      { of: "m", key: "truncate", value: 64 },
    ],
  });
  await client.request("mirror.del", { name: "m" });
  expect((await client.request("mirror.list", {})).mirrors).toEqual([]);
});

describe("what cannot be is refused in one line", () => {
  const word = (key: string, value: unknown) => [{ key, value }];
  const cases: [Operation, object, string][] = [
    ["port.policy", { name: "c" }, "NOT_FOUND no port c"],
    ["port.set", { name: "a", policy: word("vln", 1) }, "BAD_OPTION port a: vln: unknown key"],
    [
      "port.set",
      { name: "a", policy: word("vlan", "x") },
      'BAD_OPTION port a: vlan: expected a VLAN id from 1 to 4094, found "x"',
    ],
    [
      "port.set",
      { name: "a", policy: word("vlan", null) },
      "BAD_REQUEST port.set: policy.0.value: expected a value, found null",
    ],
    [
      "port.set",
      { name: "a", policy: { vlan: 1 } },
      'BAD_REQUEST port.set: policy: expected a list of settings, found {"vlan":1}',
    ],
    ["port.set", { name: "a", policy: word("__proto__", 1) }, "BAD_OPTION port a: __proto__: unknown key"],
    ["port.set", { name: "a", policy: word("isolatd", "") }, "BAD_OPTION port a: isolatd: unknown key"],
    ["port.set", { name: "a", policy: word("constructor", "none") }, "BAD_OPTION port a: constructor: unknown key"],
    ["vlan.set", { id: 10, settings: word("agein", "") }, "BAD_OPTION vlan 10: agein: unknown key"],
    ["mirror.add", { name: "m", settings: word("port", "a") }, "BAD_OPTION mirror m: port: unknown key"],
    [
      "port.add",
      { name: "c", uri: "null:", policy: word("trunk", "x") },
      'BAD_OPTION port c: trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found "x"',
    ],
    [
      "port.policy",
      { name: "x".repeat(65) },
      `BAD_REQUEST port.policy: name: expected at most 64 characters, found "${"x".repeat(65)}"`,
    ],
    ["vlan.show", { id: 4095 }, "BAD_OPTION 4095 is no VLAN id"],
    ["vlan.show", { id: "x" }, 'BAD_REQUEST vlan.show: id: expected a VLAN id, found "x"'],
    ["vlan.set", { id: 1.5, settings: [] }, "BAD_OPTION 1.5 is no VLAN id"],
    [
      "vlan.set",
      { id: 10, settings: word("ageing", 0) },
      "BAD_OPTION vlan 10: ageing: expected seconds from 1 to 86400, found 0",
    ],
    ["mirror.add", { name: "m", settings: word("x\ny", "a") }, 'BAD_OPTION mirror m: "x\\ny": unknown key'],
    ["mirror.add", { name: "a b", settings: [] }, 'BAD_OPTION "a b" is not the name of a mirror'],
    [
      "mirror.add",
      { name: "m", settings: word("ports", "a") },
      "BAD_OPTION mirror m: a mirror needs a port for the copies: say to = NAME",
    ],
    ["mirror.add", { name: "m", settings: [...word("ports", "a"), ...word("to", "c")] }, "NOT_FOUND no port c"],
    ["mirror.del", { name: "m" }, "NOT_FOUND no mirror m"],
  ];
  test.each(cases)("%s %j", async (operation, args, line) => {
    const { client, running } = await started("a");
    const before = joinConfig(await client.request("config.show", {}));
    const { code, message } = await failure(client.request(operation as "vlan.set", args as never));
    expect(`${code} ${message}`).toStartWith(line);
    expect(joinConfig(await client.request("config.show", {}))).toEqual(before);
    expect(running.config.ports.size).toBe(1);
  });
});
