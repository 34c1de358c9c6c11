// Traces of long frames that change on their way, over the control socket: the answer is of use however long they are.

import { expect, test } from "bun:test";
import type { PortSettings } from "../../src/control/policy/named-policy.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { FRAME_SHOWN } from "../../src/dataplane/rules/trace-frame.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";
import { useServedSwitch } from "../support/served-switch.ts";

const start = useMemorySwitch();
const serve = useServedSwitch();
/** Of a frame that a client gives: the rest of a longer one is zeros. */
const HEAD = 4096;

const trunk = (native: number, tpid: number) => ({
  vlan: { mode: "trunk" as const, allowed: [[10, 10]] as const, native, nativeTagged: false, tpid, map: [] },
});
const tagged = (tpid: number, bytes: Uint8Array) =>
  Uint8Array.from([...bytes.subarray(0, 12), tpid >> 8, tpid & 0xff, 0, 10, ...bytes.subarray(12)]);

test.each([1514, 9000, 65_536])("a frame of %d bytes, to trunks of two kinds", async (size) => {
  const trunks = ["t1", "t2", "t3", "t4", "t5", "t6"];
  const it = await start({}, "a", ...trunks);
  const { client: connect } = await serve(it.api);
  const client = await connect();
  const settings = trunks.map((name, k) => [name, trunk(0, k < 4 ? 0x8100 : 0x88a8)] as const);
  const ports = new Map<string, PortSettings>([["a", { vlan: { mode: "access", vid: 10 } }], ...settings]);
  await it.api.policy.set({ ports, vlans: [], mirrors: [] });
  const bytes = frame(BROADCAST, mac(1), size, 0);
  const { steps } = await client.request("trace", { port: "a", frame: bytes.subarray(0, HEAD), length: size });
  const [first, second] = [0x8100, 0x88a8].map((tpid) => tagged(tpid, bytes).subarray(0, FRAME_SHOWN).toHex());
  expect(steps.filter(({ step }) => step === "frame").map(({ data }) => data)).toEqual([
    { ports: trunks.slice(0, 4), length: size + 4, frame: first },
    { ports: trunks.slice(4), length: size + 4, frame: second },
  ]);
  expect(steps.at(-1)).toMatchObject({ step: "verdict", data: { do: "send", ports: trunks } });
});

test("a rule that changes a long frame, without policies", async () => {
  const it = await start({}, "a", "b");
  const { client: connect } = await serve(it.api);
  const client = await connect();
  await it.api.rules.add(parseRule("in a set vlan 10"));
  const bytes = frame(BROADCAST, mac(1), 65_536, 0);
  const { steps } = await client.request("trace", { port: "a", frame: bytes.subarray(0, HEAD), length: 65_536 });
  expect(steps.at(-2)).toMatchObject({
    step: "frame",
    text: "to b: 65540 bytes: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, vlan 10 pcp 0, type 0x88b5",
    data: { ports: ["b"], length: 65_540, frame: tagged(0x8100, bytes).subarray(0, FRAME_SHOWN).toHex() },
  });
});

test("names of many ports fit in an answer", async () => {
  const names = Array.from({ length: 60 }, (_, k) => `a-port-with-the-longest-name.${String(k).padStart(3, "0")}`);
  const it = await start({}, ...names);
  const { client: connect } = await serve(it.api);
  const client = await connect();
  const { steps } = await client.request("trace", { port: names[0], frame: frame(BROADCAST, mac(1)) });
  const last = steps.at(-1);
  expect(last?.data).toMatchObject({ ports: names.slice(1) });
  expect(last?.text).toEndWith(`${names[32]} and 27 more`);
});
