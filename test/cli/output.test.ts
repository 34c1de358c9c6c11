// Tables and rates as text.

import { expect, test } from "bun:test";
import { countsText, facts, table } from "../../src/cli/output.ts";
import { portDetails } from "../../src/cli/port-view.ts";
import { type Reading, ratesText, statsText } from "../../src/cli/stats-view.ts";
import type { PortInfo } from "../../src/control/api.ts";

test("columns are aligned, numbers to the right, and no line ends in a blank", () => {
  const columns = [{ title: "NAME" }, { title: "N", right: true }, { title: "URI" }];
  expect(
    table(columns, [
      ["a", 1, ""],
      ["long", 1234, "x"],
    ]),
  ).toBe("NAME     N  URI\na        1\nlong  1234  x\n");
  expect(table(columns, [])).toBe("NAME  N  URI\n");
});

test("a table of 60,000 rows takes no time that grows with its square", () => {
  const rows = Array.from({ length: 60_000 }, (_, index) => ["02:00:00:00:00:01", index]);
  const startedMs = performance.now();
  expect(table([{ title: "MAC" }, { title: "PORT" }], rows).split("\n").length).toBe(60_002);
  // cli-table3 took 26 s.
  expect(performance.now() - startedMs).toBeLessThan(20_000);
});

test("facts and counts", () => {
  expect(
    facts([
      ["a", 1],
      ["long", true],
    ]),
  ).toBe("a:     1\nlong:  true\n");
  expect(countsText({ no_buffer: 3, oversized: 1 })).toBe("no_buffer 3, oversized 1");
  expect(countsText({})).toBe("-");
});

test("rates come from two readings, and start anew with a port", () => {
  const reading = (atMs: number, frames: number, bytes: number, drops: Record<string, number>): Reading => ({
    atMs,
    stats: {
      uptimeS: 1,
      poll: "adaptive",
      totals: { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, copies: 0, dropped: 0 },
      ports: [{ name: "a", rxFrames: frames, rxBytes: bytes, txFrames: 0, txBytes: 0, drops }],
      workers: [],
      control: { connections: 1, accepted: 1, requests: 1, errors: {} },
    },
  });
  const row = (before: Reading | null, now: Reading) => ratesText(before, now).split("\n")[1].split(/ +/);
  const first = reading(1000, 100, 1_000_000, {});
  expect(row(null, first)).toEqual(["a", "-", "-", "-", "-", "-"]);
  // 2 s later: 1000 frames and 1 MB more.
  expect(row(first, reading(3000, 1100, 2_000_000, { no_buffer: 20, oversized: 20 }))).toEqual([
    "a",
    "500",
    "4.0",
    "0",
    "0.0",
    "20",
  ]);
  expect(row(first, reading(2000, 5, 50, {}))).toEqual(["a", "-", "-", "0", "0.0", "0"]);
});

test("details of a port are words, and units stay what they are", () => {
  const nothing = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  const details = { deviceMac: "02:00:00:00:00:01", memoryMiB: 64, features: ["CSUM", "MAC"], queues: [] };
  const port = { ...nothing, name: "web", index: 0, kind: "vduse", uri: "vduse:web", errors: {}, macs: 0, queues: [] };
  const text = portDetails({ ...port, admin: "up", carrier: false, details });
  expect(text).toContain("state:         no-carrier\n");
  expect(text).toEndWith(
    "device mac:    02:00:00:00:00:01\nmemory MiB:    64\nfeatures:      CSUM, MAC\nqueues:        -\n",
  );
});

test("frames that a NIC read in place are told where there are any", () => {
  const counters = { rxFrames: 1, rxBytes: 64, txFrames: 5, txBytes: 320, drops: {} };
  const stats = (more: object): Reading["stats"] => ({
    uptimeS: 1,
    poll: "adaptive",
    totals: { rxFrames: 1, rxBytes: 64, txFrames: 5, txBytes: 320, copies: 0, dropped: 0 },
    ports: [{ name: "uplink", ...counters, ...more }],
    workers: [],
    control: { connections: 1, accepted: 1, requests: 1, errors: {} },
  });
  expect(statsText(stats({}))).not.toContain("WITHOUT COPY");
  const text = statsText(stats({ txZeroCopy: 3, txCopied: 2 }));
  expect(text).toContain("NIC     TX WITHOUT COPY  TX COPIED\nuplink                3          2\n");
  const port: PortInfo = {
    ...{ ...counters, name: "uplink", index: 0, kind: "vfio", uri: "vfio:x", admin: "up", carrier: true },
    ...{ queues: [], errors: {}, details: {}, macs: 0 },
  };
  expect(portDetails(port)).not.toContain("without a copy");
  expect(portDetails({ ...port, txZeroCopy: 3 })).toContain("5 frames, 320 bytes (3 frames without a copy, 0 copied)");
});
