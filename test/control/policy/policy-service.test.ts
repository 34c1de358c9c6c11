// Policies of the running switch, by name, on real workers: in force from the first frame of a port, gone with it, back with its name.

import { expect, test } from "bun:test";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { useMemorySwitch } from "../../support/memory-switch.ts";

const start = useMemorySwitch();
const APART = { isolated: true };

test("isolated ports do not reach one another, and reach all others", async () => {
  const it = await start({}, "a", "b", "c");
  await it.api.policy.set({
    ports: new Map([
      ["a", APART],
      ["b", APART],
    ]),
    vlans: [],
    mirrors: [],
  });
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await it.receive("c", 1)).toEqual([frame(BROADCAST, mac(1))]);
  it.send("b", frame(mac(1), mac(2)));
  await it.settled();
  expect([it.drain("a"), it.drain("b"), it.drain("c")]).toEqual([[], [], []]);
  expect(it.drops("b")).toEqual({ isolated: 1 });
  await it.api.policy.setPort("b", {});
  it.send("b", frame(mac(1), mac(2)));
  expect(await it.receive("a", 1)).toEqual([frame(mac(1), mac(2))]);
});

test("a port that comes later has what was said of its name", async () => {
  const it = await start({}, "a", "c");
  await it.api.policy.set({
    ports: new Map([
      ["a", APART],
      ["b", APART],
    ]),
    vlans: [],
    mirrors: [],
  });
  await it.add("b");
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await it.receive("c", 1)).toHaveLength(1);
  await it.settled();
  expect(it.drain("b")).toEqual([]);
  await it.api.removePort("a");
  // What comes at its index is another port.
  await it.add("d");
  it.send("d", frame(BROADCAST, mac(4)));
  expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(4))]);
});
