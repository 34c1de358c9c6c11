// VLANs of the running switch, on real workers: frames with their headers, changes while it runs, ports that come later.

import { expect, test } from "bun:test";
import type { SwitchSettings } from "../../../src/control/api.ts";
import type { VlanMembership } from "../../../src/dataplane/bridge/policy.ts";
import { pattern, spec4 } from "../../dataplane/offload/reference.ts";
import { BROADCAST, complete, frame, mac, offloaded, plainSegments, readNetHeader } from "../../support/frames.ts";
import { useMemorySwitch } from "../../support/memory-switch.ts";

const start = useMemorySwitch();
const access = (vid: number): { vlan: VlanMembership } => ({ vlan: { mode: "access", vid } });
const TRUNK: { vlan: VlanMembership } = {
  vlan: { mode: "trunk", allowed: [[1, 4094]], native: 1, nativeTagged: false, tpid: 0x8100, map: [] },
};

function tagged(bytes: Uint8Array, tci: number): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, tci >> 8, tci & 255, ...bytes.subarray(12)]);
}

test.each<SwitchSettings>([{}, { cpus: [0, 1] }])(
  "members of a VLAN hear one another, with their tags (settings %o)",
  async (settings) => {
    const it = await start(settings, "a", "b", "c", "up");
    await it.api.policy.set({
      ports: new Map(Object.entries({ a: access(10), b: access(10), c: access(20), up: TRUNK })),
      vlans: [],
      mirrors: [],
    });
    const hello = frame(BROADCAST, mac(1));
    it.send("a", hello);
    expect(await it.receive("b", 1)).toEqual([hello]);
    expect(await it.receive("up", 1)).toEqual([tagged(hello, 10)]);
    it.send(
      "up",
      tagged(frame(mac(1), mac(4)), 0xa00a),
      tagged(frame(BROADCAST, mac(4)), 0x0014),
      frame(BROADCAST, mac(4)),
    );
    expect(await it.receive("a", 1)).toEqual([frame(mac(1), mac(4))]);
    expect(await it.receive("c", 1)).toEqual([frame(BROADCAST, mac(4))]);
    it.send("c", tagged(hello, 10));
    await it.settled();
    expect(["a", "b", "c", "up"].map((name) => it.drain(name))).toEqual([[], [], [], []]);
    expect([it.drops("up"), it.drops("c")]).toEqual([{ no_destination: 1 }, { vlan: 1 }]);
  },
);

test("a port changes its VLAN while it runs, and the last one that goes leaves a switch without any", async () => {
  const it = await start({}, "a", "b");
  const hello = frame(BROADCAST, mac(1));
  await it.api.policy.setPort("a", access(10));
  it.send("a", hello);
  await it.settled();
  expect(it.drops("a")).toEqual({ no_destination: 1 });
  await it.api.policy.setPort("b", access(10));
  it.send("a", hello);
  expect(await it.receive("b", 1)).toEqual([hello]);
  await it.api.policy.setPort("a", {});
  await it.api.policy.setPort("b", {});
  it.send("a", tagged(hello, 77));
  expect(await it.receive("b", 1)).toEqual([tagged(hello, 77)]);
});

test("a super-frame leaves by a trunk whole where the driver takes it, and cut where not", async () => {
  const it = await start({});
  await it.add("a", "offload=csum,tso4");
  await it.add("whole", "offload=csum,tso4");
  await it.add("cut");
  await it.api.policy.set({
    ports: new Map(Object.entries({ a: access(10), whole: TRUNK, cut: TRUNK })),
    vlans: [],
    mirrors: [],
  });
  const spec = spec4({ payload: pattern(20_000) });
  const moved = { ...spec, tags: [{ type: 0x8100, tci: 10 }] };
  const sent = offloaded(mac(2), mac(1), spec, 1448);
  const wanted = offloaded(mac(2), mac(1), moved, 1448);
  expect(it.trySend("a", sent.bytes, sent.header)).toBe(true);
  const [whole] = await it.receiveAll("whole", 1);
  expect(whole.frame).toEqual(wanted.bytes);
  const { csumStart, csumOffset, gsoSize, gsoType } = readNetHeader(wanted.header);
  expect(readNetHeader(whole.header)).toMatchObject({ csumStart, csumOffset, gsoSize, gsoType });
  const segments = plainSegments(mac(2), mac(1), moved, 1448);
  expect(await it.receive("cut", segments.length)).toEqual(segments);

  const small = spec4({ payload: pattern(100) });
  const partial = offloaded(mac(2), mac(1), small, 0);
  it.trySend("a", partial.bytes, partial.header);
  expect(await it.receive("cut", 1)).toEqual([complete(mac(2), mac(1), { ...small, tags: moved.tags })]);
});
