// `ringyard trace` where ports have policies: what it says is what a worker then does.

import { expect, test } from "bun:test";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import type { TraceInfo } from "../../../src/control/rules/rules-api.ts";
import { BROADCAST, complete, frame, mac } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";
import { pattern, spec4 } from "../offload/reference.ts";

const start = useMemorySwitch();
const tagged = (vid: number, bytes: Uint8Array) =>
  Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, vid >> 8, vid & 0xff, ...bytes.subarray(12)]);

function trace({ api }: MemorySwitch, port: string, bytes: Uint8Array): TraceInfo[] {
  return api.rules.trace(port, { bytes });
}

test("a frame of a VLAN, with the tags that ports want", async () => {
  const it = await start({}, "a", "b", "other", "trunk");
  const trunk = {
    mode: "trunk" as const,
    allowed: [[10, 20]] as const,
    native: 0,
    nativeTagged: false,
    tpid: 0x8100,
    map: [],
  };
  const ports = new Map([
    ["a", { vlan: { mode: "access" as const, vid: 10 } }],
    ["b", { vlan: { mode: "access" as const, vid: 10 } }],
    ["other", { vlan: { mode: "access" as const, vid: 20 } }],
    ["trunk", { vlan: trunk }],
  ]);
  await it.api.policy.set({ ports, vlans: [], mirrors: [] });
  const sent = frame(BROADCAST, mac(1));
  const steps = trace(it, "a", sent);
  expect(steps.slice(-2)).toEqual([
    {
      step: "frame",
      text: "to trunk: 68 bytes: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, vlan 10 pcp 0, type 0x88b5",
      data: { ports: ["trunk"], length: 68, frame: Buffer.from(tagged(10, sent)).toString("hex") },
    },
    { step: "verdict", text: "sent to b, trunk (tag 10)", data: { do: "send", ports: ["b", "trunk"], mirrors: [] } },
  ]);
  // Nothing was sent, learned or counted by that.
  expect((await it.api.fdb()).entries).toEqual([]);
  expect(it.api.stats().totals.rxFrames).toBe(0);
  it.send("a", sent);
  expect(await it.receive("b", 1)).toEqual([sent]);
  expect(await it.receive("trunk", 1)).toEqual([tagged(10, sent)]);
  expect(trace(it, "other", frame(mac(1), mac(2))).at(-1)?.text).toBe("sent to trunk (tag 20)");
  expect(trace(it, "b", frame(mac(1), mac(2))).at(-1)?.text).toBe("sent to a");
  expect(trace(it, "a", tagged(30, sent)).at(-1)?.text).toBe("dropped: vlan");
});

test("rules come first, and what they forward goes as it is", async () => {
  const it = await start({}, "a", "b", "c");
  await it.api.policy.set({
    ports: new Map([
      ["a", { isolated: true }],
      ["b", { isolated: true }],
    ]),
    vlans: [],
    mirrors: [],
  });
  expect(
    trace(it, "a", frame(BROADCAST, mac(1)))
      .map(({ text }) => text)
      .slice(1),
  ).toEqual(["no rule applies", "sent to c"]);
  const id = (await it.api.rules.add(parseRule("prio 5 in a forward b"))).id;
  expect(
    trace(it, "a", frame(BROADCAST, mac(1)))
      .map(({ text }) => text)
      .slice(1),
  ).toEqual([`rule ${id} (priority 5) applies`, "forward to b", "sent to b"]);
});

const mirrorIn = (port: string, to: string) => ({
  name: "x",
  ports: [{ port, direction: "in" as const }],
  vlans: [],
  to,
  truncate: 0,
});

test("what a mirror copies is told from what its port gets anyway", async () => {
  const it = await start({}, "a", "b", "m");
  await it.add("n", "mtu=500");
  await it.api.policy.set({ ports: new Map(), vlans: [], mirrors: [mirrorIn("a", "m")] });
  const last = (port: string, bytes: Uint8Array) => trace(it, port, bytes).at(-1);
  expect(last("b", frame(BROADCAST, mac(2)))?.text).toBe("sent to a, m, n");
  // One is the flood's, one the mirror's.
  expect(last("a", frame(BROADCAST, mac(1)))).toMatchObject({
    text: "sent to b, m, n, mirrored to m",
    data: { ports: ["b", "m", "n"], mirrors: ["m"] },
  });
  it.api.fdbAdd("02:00:00:00:00:04", "m");
  expect(last("a", frame(mac(4), mac(1)))?.text).toBe("sent to m, mirrored to m");
  await it.api.rules.add(parseRule("in b forward m,n"));
  expect(last("b", frame(BROADCAST, mac(2), 1014))?.text).toBe("sent to m");
  await it.api.rules.add(parseRule("in a forward n"));
  expect(last("a", frame(BROADCAST, mac(1), 1014))?.text).toBe("dropped: oversized, mirrored to m");
});

test("what may be a super-frame", async () => {
  const it = await start({}, "a");
  await it.add("n", "mtu=500");
  await it.api.policy.set({ ports: new Map([["a", { priority: 1 }]]), vlans: [], mirrors: [] });
  const long = complete(mac(2), mac(1), spec4({ payload: pattern(2000) }));
  expect(trace(it, "a", long).at(-1)).toEqual({
    step: "verdict",
    text: "dropped: oversized (as one frame; a super-frame is cut: offloads are not traced)",
    data: { do: "drop", reason: "oversized", mirrors: [] },
  });
});

test("a frame that a guard refuses meets no rule, though a mirror has a copy of it", async () => {
  const it = await start({}, "a", "b", "m");
  const ports = new Map([["a", { sources: [] }]]);
  await it.api.policy.set({ ports, vlans: [], mirrors: [mirrorIn("a", "m")] });
  await it.api.rules.add(parseRule("in a forward b"));
  const texts = trace(it, "a", frame(BROADCAST, mac(1))).map(({ text }) => text);
  expect(texts.slice(1)).toEqual(["dropped: source_guard, mirrored to m"]);
});
