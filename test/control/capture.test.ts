// Captures over the control socket, from real workers: what is asked for comes, what is lost is counted, and a capture ends with its
// connection, its port or its switch. The frames themselves: test/dataplane/bridge/tap.test.ts.

import { expect, test } from "bun:test";
import { CAPTURES_MAX } from "../../src/control/capture.ts";
import { type CapturedFrame, capturedFrames } from "../../src/control/capture-record.ts";
import type { ControlClient } from "../../src/control/client.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac, numbered } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";
import { useServedSwitch } from "../support/served-switch.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();
const serve = useServedSwitch();

/** A served switch with ports a, b and c. */
async function served(workers = 1) {
  const it = await start({ cpus: new Array(workers).fill(-1) }, "a", "b", "c");
  return { it, ...(await serve(it.api)) };
}

/** Frames of a capture, until there are so many. */
async function take(client: ControlClient, capture: number, count: number) {
  const frames: (Omit<CapturedFrame, "port"> & { port: string | undefined })[] = [];
  await until(`${count} captured frames`, async () => {
    const { records, ports } = await client.request("capture.read", { capture });
    const nameOf = (index: number) => ports.find((port) => port.index === index)?.name;
    frames.push(...capturedFrames(records).map((it) => ({ ...it, port: nameOf(it.port) })));
    return frames.length >= count;
  });
  expect(frames).toHaveLength(count);
  return frames;
}

test.each([1, 2])("a port's frames come with direction, name and time, in order; %d workers", async (workers) => {
  const { it, client: connect } = await served(workers);
  const client = await connect();
  const before = Date.now() * 1000;
  const { capture } = await client.request("capture.open", { of: "port", port: "a" });
  const [asked, answered] = [frame(BROADCAST, mac(1)), frame(mac(1), mac(2), 1500)];
  it.send("a", asked);
  await it.receive("b", 1);
  it.send("b", answered);
  await it.receive("a", 1);
  const frames = await take(client, capture, 2);
  expect(frames).toMatchObject([
    { what: "in", port: "a", length: 64, bytes: asked },
    { what: "out", port: "a", length: 1500, bytes: answered },
  ]);
  for (const { timeUs } of frames) expect(Math.abs(timeUs - before)).toBeLessThan(60e6);
  expect(frames[1].timeUs).toBeGreaterThan(frames[0].timeUs);
  expect(await client.request("capture.close", { capture })).toEqual({ lost: 0, withoutFrame: {} });
});

test("one direction, a snap length and a filter", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  const filter = `in a eth src 02:00:00:00:00:01`;
  const args = { of: "port", port: "b", direction: "out", snap: 20, filter } as const;
  const { capture } = await client.request("capture.open", args);
  it.send("c", frame(BROADCAST, mac(1)));
  it.send("b", frame(BROADCAST, mac(2)));
  it.send("a", frame(BROADCAST, mac(3)));
  await it.settled();
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await take(client, capture, 1)).toMatchObject([{ bytes: frame(BROADCAST, mac(1)).slice(0, 20), length: 64 }]);
});

test("drops have their reasons, and those without a frame are told", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  it.send("a", frame(BROADCAST, BROADCAST));
  await it.settled();
  const { capture } = await client.request("capture.open", { of: "drops" });
  it.send("a", frame(mac(9), BROADCAST));
  // No Ethernet header: dropped when it is fetched.
  it.send("b", new Uint8Array(10));
  await it.settled();
  expect(await take(client, capture, 1)).toMatchObject([{ what: "drop", reason: "bad_source", port: "a" }]);
  expect(await client.request("capture.close", { capture })).toEqual({ lost: 0, withoutFrame: { runt: 1 } });
});

test("frames that meet a rule; one that is not there is refused", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  const { id } = await it.api.rules.add(parseRule("eth src 02:00:00:00:00:01 drop"));
  const { capture } = await client.request("capture.open", { of: "rule", rule: id });
  it.send("a", frame(BROADCAST, mac(2)), frame(BROADCAST, mac(1)));
  expect(await take(client, capture, 1)).toMatchObject([{ what: "rule", bytes: frame(BROADCAST, mac(1)) }]);
  const refused = await failure(client.request("capture.open", { of: "rule", rule: id + 1 }));
  expect(refused).toMatchObject({ code: "NOT_FOUND" });
});

test.each([
  [{ of: "port", port: "x" }, "NOT_FOUND"],
  [{ of: "port" }, "BAD_REQUEST"],
  [{ of: "drops", direction: "in" }, "BAD_REQUEST"],
  [{ of: "rule", port: "a", rule: 1 }, "BAD_REQUEST"],
  [{ of: "port", port: "a", snap: 0 }, "BAD_REQUEST"],
  [{ of: "port", port: "a", filter: "tcp dport 80 drop" }, "BAD_RULE"],
  [{ of: "port", port: "a", filter: "tcp dport eighty" }, "BAD_RULE"],
  [{ of: "port", port: "a", filter: "in x" }, "NOT_FOUND"],
] as const)("%j is refused, and nothing runs", async (args, code) => {
  const { it, client: connect } = await served();
  const client = await connect();
  expect(await failure(client.request("capture.open", args as never))).toMatchObject({ code });
  // There is room for as many as before.
  for (let n = 0; n < CAPTURES_MAX; n++) await client.request("capture.open", { of: "drops" });
  expect(await failure(client.request("capture.open", { of: "drops" }))).toMatchObject({ code: "LIMIT" });
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
});

test("the name of a port that is not there is quoted where a line cannot hold it", async () => {
  const { client: connect } = await served();
  const client = await connect();
  const port = "x\ny\x1b[2J";
  const message = 'no port "x\\ny\\u001b[2J"';
  const asked = [
    client.request("capture.open", { of: "port", port }),
    client.request("port.show", { name: port }),
    client.request("fdb.show", { port }),
    client.request("fdb.add", { mac: "02:00:00:00:00:01", port }),
    client.request("fdb.flush", { port }),
  ];
  for (const request of asked) expect(await failure(request)).toMatchObject({ code: "NOT_FOUND", message });
});

test("a capture is its connection's: it ends with it, and nobody else reads it", async () => {
  const { client: connect } = await served();
  const [first, second] = [await connect(), await connect()];
  let last = 0;
  for (let n = 0; n < CAPTURES_MAX; n++) ({ capture: last } = await first.request("capture.open", { of: "drops" }));
  expect(await failure(second.request("capture.read", { capture: last }))).toMatchObject({ code: "NOT_FOUND" });
  first.close();
  await until("room for another capture", () => second.request("capture.open", { of: "drops" }));
});

test("it ends with its port, what came before can be read, and the port that comes is another one", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  const { capture } = await client.request("capture.open", { of: "port", port: "a" });
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  await it.api.removePort("a");
  await it.add("d");
  it.send("d", frame(BROADCAST, mac(4)));
  await it.settled();
  const { records, ended } = await client.request("capture.read", { capture });
  expect(capturedFrames(records)).toHaveLength(1);
  expect(ended).toBe("port a was removed");
});

test("a client that does not read loses frames, and the switch goes on", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  const { capture } = await client.request("capture.open", { of: "port", port: "a", direction: "in" });
  // Nobody takes them at the other ports either.
  const [size, count] = [1514, 4000];
  for (let sent = 0; sent < count; sent++) {
    const next = numbered(BROADCAST, mac(1), 0, sent, size);
    while (!it.trySend("a", next)) await Bun.sleep(0);
  }
  await it.settled();
  expect(it.api.port("a").rxFrames).toBe(count);
  let captured = 0;
  let lost = 0;
  for (let batch = 1; batch > 0; captured += batch) {
    const read = await client.request("capture.read", { capture });
    batch = capturedFrames(read.records).length;
    ({ lost } = read);
  }
  expect(lost).toBeGreaterThan(0);
  expect(captured).toBeGreaterThan(0);
  expect(captured + lost).toBe(count);
});

test("the end of the switch ends it", async () => {
  const { it, client: connect } = await served();
  const client = await connect();
  const { capture } = await client.request("capture.open", { of: "port", port: "a" });
  const reading = until("the end", async () => (await client.request("capture.read", { capture })).ended);
  await it.settled();
  await it.api.close();
  expect(await reading).toBeString();
  expect(await client.request("capture.close", { capture })).toEqual({ lost: 0, withoutFrame: {} });
});
