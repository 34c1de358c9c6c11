// The table of MAC addresses as people see it.

import { expect, test } from "bun:test";
import { fdbTable } from "../../src/cli/fdb-view.ts";
import type { FdbEntry, FdbInfo } from "../../src/control/api.ts";

function info(entries: FdbEntry[], more: Partial<FdbInfo> = {}): FdbInfo {
  return { entries, limit: 64, ageingS: 300, counters: { learned: 3, moved: 0, evicted: 0, aged: 1 }, ...more };
}

test("without VLANs there is no column of them", () => {
  const entries = [
    { mac: "02:00:00:00:00:01", port: "web", ageS: 12.4, static: false },
    { mac: "02:00:00:00:00:02", port: "db", ageS: 0, static: true },
  ];
  expect(fdbTable(info(entries))).toBe(
    "MAC                PORT  TYPE     AGE S\n" +
      "02:00:00:00:00:01  web   learned     12\n" +
      "02:00:00:00:00:02  db    static       -\n" +
      "\n2 shown, limit 64, ageing 300 s; learned 3, moved 0, evicted 0, aged 1\n",
  );
});

test("with VLANs each address has its own, what is sticky says so, and what flaps is named", () => {
  const entries = [
    { mac: "02:00:00:00:00:01", vlan: 10, port: "web", ageS: 1, static: false, sticky: true },
    { mac: "02:00:00:00:00:01", vlan: 4094, port: "db", ageS: 0, static: true, sticky: true },
    { mac: "02:00:00:00:00:02", port: "db", ageS: 0, static: true },
  ];
  const flapping = [
    { mac: "02:00:00:00:00:07", vlan: 10, ports: ["web", "db"], moves: 6 },
    { mac: "02:00:00:00:00:08", ports: ["a", "b", "c"], moves: 5 },
  ];
  expect(fdbTable(info(entries, { flapping }))).toBe(
    "MAC                VLAN  PORT  TYPE    AGE S\n" +
      "02:00:00:00:00:01    10  web   sticky      1\n" +
      "02:00:00:00:00:01  4094  db    static      -\n" +
      "02:00:00:00:00:02     -  db    static      -\n" +
      "\n3 shown, limit 64, ageing 300 s; learned 3, moved 0, evicted 0, aged 1\n" +
      "flapping: 02:00:00:00:00:07 in VLAN 10 moved 6 times in 10 s, between web, db\n" +
      "flapping: 02:00:00:00:00:08 moved 5 times in 10 s, between a, b, c\n",
  );
});
