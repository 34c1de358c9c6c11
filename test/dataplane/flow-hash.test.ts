// What decides the queue of a frame: its flow's addresses and ports, and nothing else in it.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { flowLane } from "../../src/dataplane/flow-hash.ts";
import { LaneBench } from "../ports/lane-bench.ts";
import { complete, frame, mac } from "../support/frames.ts";
import { type FrameSpec, pattern, spec4, spec6 } from "./offload/reference.ts";

let bench: LaneBench;

beforeEach(() => {
  bench = new LaneBench();
});
afterEach(() => bench.give());

/** Of as many lanes as its hash tells apart. */
const EVERY = 65_536;

function laneOf(lanes: number, ...pieces: Uint8Array[]): number {
  bench.batch.reset();
  return flowLane(bench.windows, bench.batch, bench.put(...pieces), lanes);
}

const hashOf = (...pieces: Uint8Array[]) => laneOf(EVERY, ...pieces);

/** Whether each of some lanes has its share of these flows, give or take `part` of it. */
function expectSpread(flows: readonly Uint8Array[], part: number): void {
  for (const lanes of [2, 3, 4, 8]) {
    const counts = new Array(lanes).fill(0);
    for (const bytes of flows) counts[laneOf(lanes, bytes)]++;
    const share = flows.length / lanes;
    for (const count of counts) expect(Math.abs(count - share)).toBeLessThan(share * part);
  }
}

/** Of 32 flows by chance, five or six are the standard deviation. */
const ROUGHLY = 3 / 4;
const BYTES = Array.from({ length: 256 }, (_, value) => value);

const tcp = (spec: FrameSpec) => complete(mac(1), mac(2), spec);

/** The frame with bytes changed; checksums are wrong then, which no hash looks at. */
function changed(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

describe.each([
  ["IPv4", spec4({ payload: pattern(100) }), 34, 26],
  ["IPv6", spec6({ payload: pattern(100) }), 54, 22],
] as const)("%s over TCP", (_, spec, ports, addresses) => {
  test("has one hash for all frames of a flow", () => {
    const first = hashOf(tcp(spec));
    const others = [
      tcp({ ...spec, sequence: 99, flags: 0x11, payload: pattern(1) }),
      tcp({ ...spec, id: 77, payload: [], tcpOptions: [1, 1, 1, 0] }),
      complete(mac(8), mac(9), spec),
    ];
    for (const other of others) expect(hashOf(other)).toBe(first);
  });

  test("tells flows apart by ports and by addresses", () => {
    const bytes = tcp(spec);
    const first = hashOf(bytes);
    for (const at of [ports + 1, ports + 3, addresses + 3]) expect(hashOf(changed(bytes, at, 0xee))).not.toBe(first);
  });

  test("spreads flows that differ in their source port only", () => {
    const bytes = tcp(spec);
    expectSpread(
      Array.from({ length: 4096 }, (_, port) => changed(bytes, ports, port >> 8, port & 255)),
      1 / 4,
    );
  });

  test("spreads stations that differ in one byte of their addresses only, with ports and without", () => {
    const whole = tcp(spec);
    const protocol = addresses === 26 ? 23 : 20;
    for (const bytes of [whole, changed(whole, protocol, 50)]) {
      for (let at = addresses; at < ports; at++) {
        expectSpread(
          BYTES.map((value) => changed(bytes, at, value)),
          ROUGHLY,
        );
      }
    }
  });

  test("is told apart behind one tag or two as without any", () => {
    const bytes = tcp(spec);
    const tagged = (...types: number[]) => {
      const tags = types.flatMap((type, n) => [type >> 8, type & 255, 0x20, n + 1]);
      return Uint8Array.from([...bytes.subarray(0, 12), ...tags, ...bytes.subarray(12)]);
    };
    for (const types of [[0x8100], [0x88a8], [0x88a8, 0x8100], [0x8100, 0x8100]]) {
      expect(hashOf(tagged(...types))).toBe(hashOf(bytes));
      expect(hashOf(changed(tagged(...types), ports + 4 * types.length, 9, 9))).not.toBe(hashOf(bytes));
    }
    const three = tagged(0x88a8, 0x8100, 0x8100);
    expect(hashOf(changed(three, ports + 12, 9, 9))).toBe(hashOf(three));
    // Cut off in a tag, or behind it: what is not there counts for nothing.
    const two = tagged(0x88a8, 0x8100);
    for (const size of [14, 17, 18, 21, 22, 25]) {
      expect(hashOf(two.slice(0, size), two.slice(size))).toBe(
        hashOf(two.slice(0, size), changed(two.slice(size), 0, 7)),
      );
    }
  });
});

test("spreads pairs of stations that have the same numbers in two networks", () => {
  const bytes = changed(tcp(spec4({ payload: pattern(100) })), 26, 10, 1, 0, 0, 10, 2, 0, 0);
  for (const protocol of [1, 6, 50]) {
    const pairs = BYTES.map((n) => changed(changed(bytes, 29, n), 33, n)).map((pair) => changed(pair, 23, protocol));
    expectSpread(pairs, ROUGHLY);
  }
});

test("fragments of a datagram stay together: only the first has ports", () => {
  const first = changed(tcp(spec4({ payload: pattern(60) })), 20, 0x20, 0);
  const second = changed(changed(first, 20, 0x00, 0x07), 34, 9, 9, 9, 9);
  expect(hashOf(first)).toBe(hashOf(second));
});

test("IPv4 options and unknown protocols leave the addresses to decide", () => {
  const options = tcp(spec4({ ipOptions: [1, 1, 1, 0], payload: pattern(60) }));
  expect(hashOf(changed(options, 38, 9, 9))).toBe(hashOf(options));
  const icmp = changed(tcp(spec4({ payload: pattern(60) })), 23, 1);
  expect(hashOf(changed(icmp, 34, 9, 9))).toBe(hashOf(icmp));
});

test("anything else goes by its MACs", () => {
  const bytes = frame(mac(1), mac(2), 60);
  expect(hashOf(changed(bytes, 20, 9))).toBe(hashOf(bytes));
  expect(hashOf(frame(mac(3), mac(2), 60))).not.toBe(hashOf(bytes));
  expect(hashOf(frame(mac(1), mac(3), 60))).not.toBe(hashOf(bytes));
  for (let at = 0; at < 12; at++) {
    expectSpread(
      BYTES.map((value) => changed(bytes, at, value)),
      ROUGHLY,
    );
  }
});

test("a lane is one of those there are, and its choice reads no further than the first piece", () => {
  for (const size of [14, 20, 33, 34, 37, 38, 57, 58]) {
    for (const spec of [spec4({ payload: pattern(40) }), spec6({ payload: pattern(40) })]) {
      const bytes = tcp(spec);
      const hash = hashOf(bytes.slice(0, size), bytes.slice(size));
      for (const lanes of [1, 2, 5, 8]) expect(BYTES.slice(0, lanes)).toContain(laneOf(lanes, bytes));
      expect(hashOf(bytes.slice(0, size), changed(bytes.slice(size), 0, 0xff))).toBe(hash);
    }
  }
});
