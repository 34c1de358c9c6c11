// Rules and meters over the control socket: each operation, each refusal, and ten thousand rules in one request.

import { describe, expect, test } from "bun:test";
import type { ControlClient } from "../../src/control/client.ts";
import { encodeFrame } from "../../src/control/frame.ts";
import { REQUEST_PARTS_MAX } from "../../src/control/parts.ts";
import type { Operation } from "../../src/control/protocol.ts";
import { useServed } from "../support/control.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";

const serve = useServed();

async function started(...ports: string[]) {
  const served = await serve();
  const client = await served.client();
  for (const name of ports) await client.request("port.add", { name, uri: "null:" });
  return { ...served, client };
}

const list = async (client: ControlClient) => (await client.request("rule.list", {})).rules;

test("rules are added, listed, replaced and deleted", async () => {
  const { client, fake } = await started("a", "b");
  expect(await client.request("rule.add", { rule: "in a drop" })).toEqual({
    rule: { id: 1, priority: 1000, text: "prio 1000 in a drop", frames: 0, bytes: 0 },
  });
  await client.request("rule.add", { rule: "id 5 prio 7 forward b" });
  fake.table.counted.set(5, { frames: 2, bytes: 128, lastHitS: 3 });
  expect((await list(client))[1]).toEqual({
    ...{ id: 5, priority: 7, text: "prio 7 forward b", frames: 2, bytes: 128, lastHitS: 3 },
  });
  const meters = [{ name: "m", rate: "1 Mbit/s" }];
  expect(await client.request("rule.replace", { rules: ["in a drop", "in b meter m"], meters })).toEqual({
    rules: [
      { id: 1, text: "prio 1000 in a drop" },
      { id: 2, text: "prio 1000 in b meter m" },
    ],
    ...{ added: 1, removed: 1 },
  });
  await client.request("rule.del", { ids: [1, 2] });
  expect(await list(client)).toEqual([]);
});

test("meters are set, listed and deleted", async () => {
  const { client } = await started();
  const { meter } = await client.request("meter.set", { name: "m", rate: "100 Mbit/s", burst: "2 Mbit" });
  expect(meter).toEqual({
    ...{ name: "m", rate: "100 Mbit/s", burst: "2 Mbit", frames: 0, bytes: 0, dropped: 0, rules: [], users: 0 },
  });
  expect(await client.request("meter.list", {})).toEqual({ meters: [meter] });
  expect((await client.request("config.show", {})).meters).toEqual([
    { name: "m", rate: "100 Mbit/s", burst: "2 Mbit" },
  ]);
  await client.request("meter.del", { name: "m" });
  expect(await client.request("meter.list", {})).toEqual({ meters: [] });
});

test("a frame is traced as long as it was, with ports by name", async () => {
  const { client, fake } = await started("a", "b");
  fake.table.steps = [
    { step: "header", text: "in a", data: { port: 0, length: 1500 } },
    { step: "rule", text: "rule 1 (prio 1000) matches", data: { id: 1, priority: 1000 } },
    { step: "action", text: "count", data: { rule: 1, do: "count" } },
    { step: "fdb", text: "is at b", data: { mac: "02:00:00:00:00:02", port: 1 } },
    { step: "verdict", text: "out of b", data: { do: "send", ports: [1], mirrors: [7] } },
  ];
  await client.request("rule.add", { rule: "count" });
  const head = frame(BROADCAST, mac(1), 200);
  const { steps } = await client.request("trace", { port: "b", frame: head, length: 1500 });
  expect(fake.table.traced).toEqual([{ port: 1, frame: Uint8Array.from([...head, ...new Uint8Array(1300)]) }]);
  expect(steps.map(({ data }) => data)).toEqual([
    { port: "a", length: 1500 },
    { id: 1, priority: 1000, text: "prio 1000 count" },
    { rule: 1, do: "count" },
    { mac: "02:00:00:00:00:02", port: "b" },
    { do: "send", ports: ["b"], mirrors: ["7"] },
  ]);
});

test("of a frame whose header was cut off nothing is made up", async () => {
  const { client, fake } = await started("a");
  const head = frame(BROADCAST, mac(1), 60);
  await client.request("trace", { port: "a", frame: head, length: 1500 });
  expect(fake.table.traced[0].frame).toEqual(head);
});

test("a rule is tested without being added", async () => {
  const { client, fake } = await started("a", "b");
  const sample = { port: "a", frame: frame(BROADCAST, mac(1)) };
  expect(await client.request("rule.test", { rule: "in a,b eth type 0x88b5 drop", ...sample })).toEqual({
    text: "prio 1000 in a,b eth type 0x88b5 drop",
    matches: true,
    constraints: [
      { text: "in a,b", holds: true, found: "in a" },
      { text: "eth type 0x88b5", holds: true, found: "eth type 0x88b5" },
    ],
  });
  expect((await client.request("rule.test", { rule: "meter none drop", ...sample })).matches).toBe(true);
  expect(await list(client)).toEqual([]);
  expect(fake.table.replaced).toBe(0);
});

describe("a request is refused", () => {
  const sample = { port: "a", frame: new Uint8Array(64) };
  const cases: [Operation, object, string][] = [
    ["rule.add", { rule: "in a drp" }, 'BAD_RULE rule: column 6: unknown word "drp"'],
    ["rule.add", { rule: "in vm9 drop" }, 'NOT_FOUND rule "prio 1000 in vm9 drop": no port vm9: ports: a'],
    ["rule.add", { rule: 3 }, "BAD_REQUEST rule.add: rule: expected the text of a rule, found 3"],
    ["rule.add", { rule: "drop", id: 3 }, 'BAD_REQUEST rule.add: unknown argument "id"'],
    ["rule.del", { ids: [9] }, "NOT_FOUND no rule 9"],
    ["rule.del", { ids: ["x"] }, "BAD_REQUEST rule.del: ids.0: expected ids of rules"],
    ["rule.replace", { rules: ["drop", 3] }, "BAD_REQUEST rule.replace: rules.1: expected the text of a rule, found 3"],
    ["rule.replace", { rules: ["drop", "in a drp"] }, 'BAD_RULE rules.1: column 6: unknown word "drp"'],
    [
      "rule.replace",
      { rules: [], meters: [3] },
      "BAD_REQUEST rule.replace: meters.0: expected a meter: its name and rate, found 3",
    ],
    [
      "rule.replace",
      { rules: [], meters: [{ name: "m", rate: "1 Mbit/s", brust: "1" }] },
      'BAD_REQUEST rule.replace: meters.0: unknown key "brust": leave it out',
    ],
    ["rule.replace", { rules: ["id 1 drop", "id 1 allow"] }, "EXISTS two rules have the id 1"],
    ["rule.replace", { rules: ["drop"], meters: [{ name: "m", rate: "x" }] }, 'BAD_RULE meter m: rate: "x" is no rate'],
    ["meter.set", { name: "a b", rate: "1 Mbit/s" }, 'BAD_RULE "a b" is not the name of a meter'],
    ["meter.del", { name: "m" }, "NOT_FOUND no meter m: meters: none"],
    ["trace", { ...sample, port: "x" }, "NOT_FOUND no port x"],
    ["trace", { ...sample, frame: new Uint8Array(13) }, "BAD_REQUEST trace: frame: expected 14 to 4096 bytes"],
    ["trace", { ...sample, length: 1e9 }, "BAD_REQUEST trace: length: expected the length of the whole frame"],
    ["rule.test", { ...sample, rule: "tcp dprot 80" }, 'BAD_RULE rule: column 5: unknown word "dprot"'],
  ];
  test.each(cases)("%s %j", async (op, args, line) => {
    const { client, fake } = await started("a");
    const { code, advice } = await failure(client.request(op, args as never));
    expect(`${code} ${advice}`).toStartWith(line);
    expect(fake.table.replaced).toBe(0);
  });
});

describe("requests in parts", () => {
  test("carry ten thousand rules, which take effect at once", async () => {
    const { client, fake } = await started("a");
    const texts = Array.from(
      { length: 10_000 },
      (_, n) => `prio 9 in a ip dst 10.${n >> 8}.${n & 255}.0/24 tcp dport 80 drop`,
    );
    const { rules, added } = await client.request("rule.replace", { rules: texts });
    expect(added).toBe(texts.length);
    expect(rules.map(({ text }) => text)).toEqual(texts);
    expect(fake.table.replaced).toBe(1);
    expect((await list(client)).map(({ text }) => text)).toEqual(texts);
  });

  const part = (more: boolean, id = 1) => encodeFrame({ id, op: "rule.replace", args: { rules: ["drop"] }, more });

  test("are whole with the part that says so", async () => {
    const { client, raw } = await started();
    const wire = await raw();
    wire.send(part(true));
    wire.send(encodeFrame({ id: 1, op: "rule.replace", args: { rules: ["count"] } }));
    expect(await wire.reply()).toMatchObject({ id: 1, ok: true, result: { added: 2 } });
    expect((await list(client)).map(({ text }) => text)).toEqual(["prio 1000 drop", "prio 1000 count"]);
  });

  test("follow each other, or the connection ends", async () => {
    const { raw, errors } = await started();
    const wire = await raw();
    wire.send(part(true, 1));
    wire.send(part(true, 2));
    await wire.ended();
    expect(wire.replies).toMatchObject([{ id: 0, ok: false, error: { code: "PROTOCOL" } }]);
    expect(errors("bad_parts")).toBe(1);
  });

  test("come to an end, or the connection does", async () => {
    const { raw, errors } = await started();
    const wire = await raw();
    wire.send(Buffer.concat(Array.from({ length: REQUEST_PARTS_MAX + 1 }, () => part(true))));
    await wire.ended();
    expect(wire.replies).toMatchObject([
      { id: 0, ok: false, error: { code: "LIMIT", message: "a request of more than 8 MiB" } },
    ]);
    expect(errors("bad_parts")).toBe(1);
  });

  test("that are cut off change nothing", async () => {
    const { client, raw } = await started();
    const wire = await raw();
    wire.send(part(true));
    wire.socket.end();
    await wire.ended();
    expect(await list(client)).toEqual([]);
  });
});
