// What `stats` and `port show` say of copies, from a switch that made some.

import { expect, test } from "bun:test";
import { portDetails } from "../../src/cli/port-view.ts";
import { statsText } from "../../src/cli/stats-view.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();

test("copies of a flood and of a mirror count where the frame came in", async () => {
  const it = await start({}, "a", "b", "m");
  const mirror = { name: "x", ports: [{ port: "a", direction: "in" as const }], vlans: [], to: "m", truncate: 0 };
  await it.api.policy.set({ ports: new Map(), vlans: [], mirrors: [mirror] });
  it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  const stats = it.api.stats();
  // To b and m by the flood, to m by the mirror.
  expect(stats.ports.map(({ name, copies }) => [name, copies])).toEqual([
    ["a", 2],
    ["b", undefined],
    ["m", undefined],
  ]);
  const control = { accepted: 0, connections: 0, requests: 0, errors: {} };
  expect(statsText({ ...stats, control })).toMatch(/^copies: +2$/m);
  expect(portDetails(it.api.port("a"))).toMatch(/^copies: +2$/m);
  expect(portDetails(it.api.port("b"))).not.toContain("copies");
});
