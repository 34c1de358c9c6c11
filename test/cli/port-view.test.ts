// A port as text: what its policy says, why it is blocked, what its limits have counted.

import { expect, test } from "bun:test";
import { portDetails, portTable } from "../../src/cli/port-view.ts";
import type { PortInfo } from "../../src/control/api.ts";

const PORT: PortInfo = {
  ...{
    name: "vm1",
    index: 3,
    kind: "null",
    uri: "null:",
    admin: "up",
    carrier: true,
    queues: [],
    errors: {},
    details: {},
  },
  ...{ macs: 0, rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} },
};

const lineOf = (text: string, name: string) =>
  text
    .split("\n")
    .find((line) => line.startsWith(`${name}:`))
    ?.replace(/^\S+ +/, "");

test("a port that is told nothing has no lines of it", () => {
  const text = portDetails(PORT, {});
  for (const word of ["blocked", "LIMIT", "vlan"]) expect(text).not.toContain(word);
});

test("settings as they can be typed, but for long lists", () => {
  const names = Array.from({ length: 20 }, (_, n) => `g${n}`);
  expect(lineOf(portDetails(PORT, { groups: names }), "groups")).toBe(`${names.slice(0, 8).join(", ")} and 12 more`);
  const text = portDetails(PORT, {
    trunk: "10,20-30",
    "vlan-map": { 110: 10, 120: 20 },
    groups: ["dmz", "web"],
    flood: "none",
  });
  expect(["trunk", "vlan-map", "groups", "flood"].map((key) => lineOf(text, key))).toEqual([
    ...["10,20-30", "110:10, 120:20", "dmz, web", "none"],
  ]);
});

test("a blocked port says why, until when, and how often", () => {
  const blocked = { ...PORT, blocked: "loop", retryS: 39.2, blocks: 3 } as const;
  expect(lineOf(portDetails(blocked), "state")).toBe("blocked");
  expect(lineOf(portDetails(blocked), "blocked")).toBe("loop, tried again in 40 s; 3 times so far");
  expect(portTable([blocked])).toContain("blocked");
  expect(lineOf(portDetails({ ...PORT, blocked: "mac-limit", blocks: 1 }), "blocked")).toBe(
    "mac-limit, until its link is set up; once so far",
  );
  expect(lineOf(portDetails({ ...PORT, blocks: 2 }), "blocked")).toBe("no; 2 times so far");
  expect(lineOf(portDetails({ ...blocked, admin: "down" }), "state")).toBe("down");
});

test("limits have counters, and queues what waits", () => {
  const limits = {
    police: { frames: 9, bytes: 900, dropped: 2 },
    shape: { frames: 5, bytes: 500, dropped: 1, waiting: 4 },
  };
  const rows = portDetails({ ...PORT, limits })
    .split("\n")
    .map((line) => line.trim().split(/ +/));
  expect(rows).toContainEqual(["police", "9", "900", "2", "-"]);
  expect(rows).toContainEqual(["shape", "5", "500", "1", "4"]);
});
