// Frames that need converting for a receiver that has no room: nothing is made of them, each is one drop, and what comes later arrives.

import { afterEach, expect, test } from "bun:test";
import { deliverWithFallback, Fallback } from "../../src/dataplane/fallback.ts";
import { Batch, MAX_FRAME, OFFLOAD_ALL } from "../../src/mem/batch.ts";
import { COPIES, COUNTER_COUNT, DROP_NO_BUFFER } from "../../src/mem/counters.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { readNetHeader } from "../../src/virtio/net-header.ts";
import { frame, mac, macText, netHeader, numbered, offloaded, plainSegments } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";
import { pattern, spec4 } from "./offload/reference.ts";

const [FROM, TO] = [mac(1), mac(2)];
const MSS = 300;
const spec = spec4({ payload: pattern(1900) });
const super4 = offloaded(TO, FROM, spec, MSS);
const segments = plainSegments(TO, FROM, spec, MSS);

const start = useMemorySwitch();
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

test("a port whose ring is full drops super-frames whole, and has them in segments when there is room", async () => {
  const it = await start({});
  await it.add("from", "size=256&offload=csum,tso4");
  await it.add("to", "size=64&offload=none");
  it.api.fdbAdd(macText(TO), "to");
  it.send("from", ...Array.from({ length: 64 }, (_, k) => numbered(TO, FROM, 1, k)));
  await it.settled();
  for (let k = 0; k < 3; k++) expect(it.trySend("from", super4.bytes, super4.header)).toBe(true);
  await it.settled();
  expect(it.drops("to")).toEqual({ no_buffer: 3 });
  expect(it.api.stats().totals.copies).toBe(0);
  expect(it.drain("to")).toHaveLength(64);
  expect(it.trySend("from", super4.bytes, super4.header)).toBe(true);
  await it.settled();
  expect(it.drain("to").map((received) => received.frame)).toEqual(segments);
  expect(it.drops("to")).toEqual({ no_buffer: 3 });
});

const between = { bytes: frame(TO, FROM), header: netHeader({}) };

/** What becomes of frames at a lane that says how much room it has. */
function deliver(sent: readonly { bytes: Uint8Array; header: Uint8Array }[], hasRoom?: () => boolean) {
  const windows = new WindowTable();
  const fallback = new Fallback(windows);
  const address = mapAnonymous(1 << 16);
  const window = windows.add(address, 1 << 16);
  ends.push(() => {
    fallback.close();
    windows.remove(window);
    unmap(address, 1 << 16);
  });
  const batch = new Batch();
  for (const { bytes, header } of sent) {
    const i = batch.count++;
    const at = i * 4096;
    windows.u8[window].set(bytes, at);
    batch.first[i] = batch.pool.count++;
    batch.segments[i] = 1;
    batch.length[i] = bytes.length;
    batch.pool.window[i] = window;
    batch.pool.offset[i] = at;
    batch.pool.length[i] = bytes.length;
    expect(readNetHeader(new DataView(header.slice().buffer), 0, batch, i, OFFLOAD_ALL, false)).toBe(true);
  }
  const delivered: number[] = [];
  const lane: Lane = {
    ...{ accepts: 0, delivers: true, wakeFd: -1, wakeEdge: false },
    ...(hasRoom && { hasRoom }),
    fetch: () => 0,
    release() {},
    deliver(from, list, count) {
      for (const i of list.subarray(0, count)) delivered.push(from.length[i]);
      return count;
    },
    arm: () => false,
    disarm() {},
    close() {},
  };
  const counters = new Float64Array(COUNTER_COUNT);
  deliverWithFallback(fallback, lane, batch, Int32Array.from(sent.keys()), sent.length, MAX_FRAME, counters);
  return { delivered, bytes: fallback.bytes, dropped: counters[DROP_NO_BUFFER], copies: counters[COPIES] };
}

const lengths = segments.map((bytes) => bytes.length);
const plain = between.bytes.length;
const three = [super4, between, super4];

test("nothing is converted where there is no room, and the plain frame is tried all the same", () => {
  expect(deliver(three, () => false)).toEqual({ delivered: [plain], bytes: 0, dropped: 2, copies: 0 });
});

test("room is looked for before each super-frame, also behind others that wait", () => {
  const copies = lengths.length - 1;
  const bytes = super4.bytes.length;
  for (const [sent, last] of [
    [three, [plain]],
    [[super4, super4], []],
  ] as const) {
    const room = [true, false];
    const expected = { delivered: [...lengths, ...last], bytes, dropped: 1, copies };
    expect(deliver(sent, () => room.shift() === true)).toEqual(expected);
  }
});

test("a lane that does not know is tried", () => {
  expect(deliver(three)).toEqual({
    ...{ delivered: [...lengths, plain, ...lengths], bytes: 2 * super4.bytes.length, dropped: 0 },
    copies: 2 * (lengths.length - 1),
  });
});
