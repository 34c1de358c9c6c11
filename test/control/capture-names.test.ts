// Captures mean ports and rules as somebody named them: a filter waits for its port, a capture of a rule ends with it, and what was
// captured keeps the name of the port it came from, whoever has its index since.

import { expect, test } from "bun:test";
import { CaptureService } from "../../src/control/capture.ts";
import { capturedFrames } from "../../src/control/capture-record.ts";
import type { ControlClient } from "../../src/control/client.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { COUNTER_COUNT } from "../../src/mem/counters.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { quiet, useMemorySwitch } from "../support/memory-switch.ts";
import { useServedSwitch } from "../support/served-switch.ts";

const start = useMemorySwitch();
const serve = useServedSwitch();

/** A served switch with ports a, b and c, and a client of it. */
async function served() {
  const it = await start({}, "a", "b", "c");
  const { client: connect } = await serve(it.api);
  return { it, client: await connect() };
}

/** What is there by now: of each frame what it is, its port, and the last byte of its source. */
async function taken(client: ControlClient, capture: number) {
  const { records, ports, ended } = await client.request("capture.read", { capture });
  const nameOf = (index: number) => ports.find((port) => port.index === index)?.name;
  return { frames: capturedFrames(records).map(({ port, bytes }) => [nameOf(port), bytes[11]]), ended };
}

test("a filter's port is one of that name, whoever has its index", async () => {
  const { it, client } = await served();
  const open = { of: "port", port: "c", direction: "out", filter: "in b" } as const;
  const { capture } = await client.request("capture.open", open);
  it.send("b", frame(BROADCAST, mac(1)));
  await it.settled();
  await it.api.removePort("b");
  // It has the index that b had.
  await it.add("guest");
  it.send("guest", frame(BROADCAST, mac(2)));
  await it.settled();
  await it.add("b");
  it.send("b", frame(BROADCAST, mac(3)));
  it.send("guest", frame(BROADCAST, mac(4)));
  await it.settled();
  const { frames, ended } = await taken(client, capture);
  expect(frames).toEqual([
    ["c", 1],
    ["c", 3],
  ]);
  expect(ended).toBeUndefined();
});

test("a filter of several ports means those that are there", async () => {
  const { it, client } = await served();
  const { capture } = await client.request("capture.open", { of: "port", port: "c", filter: "in a,b" });
  await it.api.removePort("b");
  await it.add("guest");
  it.send("guest", frame(BROADCAST, mac(2)));
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  expect((await taken(client, capture)).frames).toEqual([["c", 1]]);
});

test.each([false, true])("a capture of a rule that is deleted ends, another of its id comes: %p", async (another) => {
  const { it, client } = await served();
  const { rules } = it.api;
  const { id } = await rules.add(parseRule("in a drop"));
  const { capture } = await client.request("capture.open", { of: "rule", rule: id });
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  await rules.delete([id]);
  if (another) await rules.add({ ...parseRule("in b drop"), id });
  it.send("b", frame(BROADCAST, mac(2)));
  await it.settled();
  const { frames, ended } = await taken(client, capture);
  expect(frames).toEqual([["a", 1]]);
  expect(ended).toBe(`there is no rule ${id} any more`);
});

test("a capture of a rule goes on as long as the rule says the same, and ends where another one gets its id", async () => {
  const { it, client } = await served();
  const { rules } = it.api;
  const { id } = await rules.add(parseRule("in a drop"));
  const { capture } = await client.request("capture.open", { of: "rule", rule: id });
  await rules.add(parseRule("in c allow"));
  await rules.put({ rules: [{ id, rule: parseRule("in a drop") }], meters: [] });
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  expect(await taken(client, capture)).toEqual({ frames: [["a", 1]], ended: undefined });
  await rules.put({ rules: [{ id, rule: parseRule("in b drop") }], meters: [] });
  it.send("b", frame(BROADCAST, mac(2)));
  await it.settled();
  expect(await taken(client, capture)).toEqual({ frames: [], ended: `rule ${id} is another one now` });
});

test("what was captured of a port that has gone has its name, not that of the port in its place", async () => {
  const { it, client } = await served();
  const { capture } = await client.request("capture.open", { of: "drops" });
  const drop = async (port: string, last: number) => {
    it.send(port, frame(BROADCAST, [3, 0, 0, 0, 0, last]));
    await it.settled();
  };
  await drop("a", 1);
  await drop("b", 2);
  await it.api.removePort("b");
  await it.add("guest");
  await drop("guest", 3);
  await it.api.removePort("guest");
  await it.add("b");
  await drop("b", 4);
  await drop("a", 5);
  await it.api.removePort("b");
  const sent = ["a", "b", "guest", "b", "a"].map((name, n) => [name, n + 1]);
  expect((await taken(client, capture)).frames).toEqual(sent);
  await it.add("last");
  await drop("last", 6);
  expect((await taken(client, capture)).frames).toEqual([["last", 6]]);
});

test("a change of rules that fails ends no capture; no worker has it meanwhile", async () => {
  const rule = parseRule("in a drop");
  let running = 0;
  const service = new CaptureService({
    table: {
      setCaptures: async (captures) => {
        running = captures.length;
      },
    },
    dispatcher: { workers: 1, counters: () => new Float64Array(COUNTER_COUNT) },
    rule: () => rule,
    alone: (change) => change(),
    log: quiet,
  });
  const capture = await service.open({ what: { of: "rule", id: 1 }, snap: 1 });
  const refuse = async () => {
    expect(running).toBe(0);
    throw new RingyardError("LIMIT", "no");
  };
  expect(await failure(service.whileRulesChange([], refuse))).toMatchObject({ code: "LIMIT" });
  expect(running).toBe(1);
  expect(capture.read().ended).toBeUndefined();
  await capture.close();
});
