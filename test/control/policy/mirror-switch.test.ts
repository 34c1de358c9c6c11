// Mirrors of the running switch, by name, on real workers: super-frames become what the watching port takes, and ports may come and go.

import { expect, test } from "bun:test";
import type { NamedMirror } from "../../../src/control/policy/named-policy.ts";
import { pattern, spec4 } from "../../dataplane/offload/reference.ts";
import { BROADCAST, frame, mac, offloaded, plainSegments } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";

const start = useMemorySwitch();

function setMirror(it: MemorySwitch, mirror: Partial<NamedMirror>): Promise<void> {
  const whole = { name: "m", ports: [{ port: "a", direction: "both" as const }], vlans: [], to: "w", truncate: 0 };
  return it.api.policy.set({ ports: new Map(), vlans: [], mirrors: [{ ...whole, ...mirror }] });
}

test("a super-frame is mirrored as what the watching port takes: whole, in segments, or cut", async () => {
  const spec = spec4({ payload: pattern(1900), flags: 0x18 });
  const offload = "offload=csum,tso4";
  const sent = offloaded(mac(2), mac(1), spec, 300);
  for (const [query, truncate, expected] of [
    [offload, 0, [sent.bytes]],
    ["offload=none", 0, plainSegments(mac(2), mac(1), spec, 300)],
    ["offload=none", 80, [sent.bytes.slice(0, 80)]],
  ] as const) {
    const it = await start({ cpus: [-1, -1] });
    await it.add("a", offload);
    await it.add("b", offload);
    await it.add("w", query);
    await setMirror(it, { ports: [{ port: "a", direction: "in" }], truncate });
    // So that it is flooded nowhere.
    it.send("b", frame(mac(1), mac(2)));
    await it.settled();
    it.drain("w");
    expect(it.trySend("a", sent.bytes, sent.header)).toBe(true);
    expect(await it.receive("w", expected.length)).toEqual([...expected]);
    expect(await it.receive("b", 1)).toEqual([sent.bytes]);
    await it.settled();
    expect(it.drain("w")).toEqual([]);
    await it.api.close();
  }
});

test("a watching port that comes later watches then, and one that goes watches no more", async () => {
  const it = await start({}, "a", "b");
  await setMirror(it, {});
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  await it.add("w");
  const asked = frame(mac(1), mac(2));
  it.send("b", asked);
  expect(await it.receive("w", 1)).toEqual([asked]);
  await it.api.removePort("w");
  it.send("b", asked);
  await it.settled();
  await it.add("x");
  it.send("b", asked);
  await it.settled();
  expect(it.drain("x")).toEqual([]);
});
