// The sink: takes every frame, whatever its form, counts it, and sends none.

import { expect, test } from "bun:test";
import { readPort } from "../../src/control/uri.ts";
import { OFFLOAD_ALL, OFFLOAD_CSUM } from "../../src/mem/batch.ts";
import { RX_FRAMES, TX_BYTES, TX_FRAMES } from "../../src/mem/counters.ts";
import { createNullLane, nullPort } from "../../src/ports/null.ts";
import type { PortSpec } from "../../src/ports/port.ts";
import { LaneBench, pattern } from "./lane-bench.ts";
import { RecordingHost } from "./recording-host.ts";

const spec = (uri: string) => readPort("sink", uri, { null: nullPort }) as PortSpec;

test("a lane counts what it is given and gives nothing", () => {
  const bench = new LaneBench();
  const lane = createNullLane(bench.context());
  try {
    for (const size of [60, 1500, 9000]) bench.batch.needs[bench.put(pattern(size))] = OFFLOAD_CSUM;
    expect(lane.deliver(bench.batch, Int32Array.of(2, 0), 2)).toBe(2);
    expect([bench.counters[TX_FRAMES], bench.counters[TX_BYTES]]).toEqual([2, 9060]);
    expect(lane.accepts).toBe(OFFLOAD_ALL);
    bench.batch.reset();
    expect([lane.fetch(bench.batch), lane.wakeFd, lane.arm()]).toEqual([0, -1, false]);
    expect([bench.counters[RX_FRAMES], bench.drops]).toEqual([0, {}]);
  } finally {
    lane.close();
    bench.give();
  }
});

test("a port opens its lanes, has a carrier, and closes them", async () => {
  const host = new RecordingHost();
  const port = await nullPort.open(spec("null:?queues=2"), host);
  await port.close();
  expect(host.events).toEqual(["open 0", "open 1", "carrier up", "close 0", "close 1"]);
});

test("a port whose second lane cannot be opened leaves none open", async () => {
  const host = new RecordingHost();
  host.failingPair = 1;
  await expect(nullPort.open(spec("null:?queues=2"), host)).rejects.toThrow("pair 1 fails");
  expect(host.lanes.size).toBe(0);
});

test("the URI has no target", () => {
  expect(readPort("sink", "null:x", { null: nullPort })).toMatchObject([{ code: "BAD_URI" }]);
  expect(nullPort.probe()).toEqual({ available: true });
});
