// What rules do beside deciding: copies for mirrors, meters, the log, counting, each in the order of rules and actions.

import { describe, expect, test } from "bun:test";
import { EVENT_LOGGED, LOGGED_HEADER_SIZE } from "../../../src/dataplane/rules/apply-actions.ts";
import { lostEvents, readEvents } from "../../../src/dataplane/rules/event-ring.ts";
import type { MeterSpec } from "../../../src/dataplane/rules/rule.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, complete, frame, mac, numbered, offloaded } from "../../support/frames.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { type PlanRig, usePlanRig } from "./plan-rig.ts";
import { macNumber, rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const SENT = complete(mac(2), mac(1), spec4({ payload: pattern(200) }));

describe("mirror", () => {
  test("copies the frame as it was received, whatever is done to it before or behind", () => {
    const rig = newRig({}, {}, {}, {});
    rig.rules(
      rulesOf(
        [3, {}, { do: "mirror", port: 2 }],
        [2, {}, { do: "set-vlan", id: 5 }, { do: "set-dscp", dscp: 7 }, { do: "continue" }],
        [1, {}, { do: "mirror", port: 3 }, { do: "set-mac", dst: "020000000009" }, { do: "forward", ports: [1] }],
      ),
    );
    const [, [out], b, c] = rig.send(0, SENT);
    expect([b, c]).toEqual([[SENT], [SENT]]);
    expect(out.length).toBe(SENT.length + 4);
    expect(rig.counters(0)[COPIES]).toBe(2);
  });

  test("copies what is dropped, too", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "mirror", port: 1 }, { do: "drop" }]));
    expect(rig.send(0, SENT)[1]).toEqual([SENT]);
    expect(rig.drops(0)).toEqual({ rule: 1 });
  });

  test("gives a port one copy of a frame, however many rules ask, and the frame itself besides", () => {
    const rig = newRig({}, {}, {});
    rig.rules(
      rulesOf(
        [3, {}, { do: "mirror", port: 1 }, { do: "mirror", port: 1 }],
        [2, {}, { do: "mirror", port: 1 }],
        [1, {}, { do: "forward", ports: [1] }],
      ),
    );
    const frames = Array.from({ length: BURST }, (_, k) => numbered(BROADCAST, mac(1), 0, k));
    const [, got] = rig.send(0, ...frames);
    expect(got).toEqual(frames.flatMap((bytes) => [bytes, bytes]));
    expect(rig.send(0, ...frames)[1]).toEqual(got);
    // The first of one burst, and the first of the next.
    for (let burst = 0; burst < 3; burst++) expect(rig.send(0, frames[0])[1]).toEqual([frames[0], frames[0]]);
  });

  test("copies nothing to a port that is down or not there, and not back where it came from", () => {
    const rig = newRig({}, { up: false }, { delivers: false }, {});
    const mirrors = [0, 1, 2, 3, 200].map((port) => ({ do: "mirror" as const, port }));
    rig.rules(rulesOf([1, {}, ...mirrors, { do: "drop" }]));
    expect(rig.send(0, SENT)).toEqual([[], [], [], [SENT]]);
    expect(rig.counters(0)[COPIES]).toBe(1);
  });

  test("of a super-frame is what its receiver accepts", () => {
    const rig = newRig({}, { accepts: 0 }, {});
    rig.rules(rulesOf([1, {}, { do: "mirror", port: 1 }, { do: "set-vlan", id: 5 }, { do: "forward", ports: [2] }]));
    const spec = spec4({ payload: pattern(100) });
    const { bytes, header } = offloaded(mac(2), mac(1), spec, 0);
    rig.put(bytes, header);
    rig.run(0);
    expect(rig.lanes[1].frames).toEqual([complete(mac(2), mac(1), spec)]);
    expect(rig.lanes[2].given[0].csumStart).toBe(38);
  });
});

describe("meter", () => {
  const METERS: MeterSpec[] = [
    { name: "frames", unit: "frames", rate: 1e-9, burst: 3 },
    { name: "bits", unit: "bits", rate: 1e-9, burst: 8 * 250 },
  ];

  test("passes what it has tokens for, and drops and counts the rest as `meter`", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "meter", meter: 0 }, { do: "forward", ports: [1] }]), METERS);
    const frames = Array.from({ length: 5 }, (_, k) => numbered(BROADCAST, mac(1), 0, k, 60 + k));
    expect(rig.send(0, ...frames)[1]).toEqual(frames.slice(0, 3));
    expect(rig.send(0, ...frames)[1]).toEqual([]);
    expect(rig.drops(0)).toEqual({ meter: 7 });
    expect([0, 1, 2].map((column) => rig.memory.meter(0, column)[0])).toEqual([10, 2 * (60 + 61 + 62 + 63 + 64), 7]);
    expect(rig.counted(1)[0]).toBe(10);
  });

  test("is shared by rules, and counts bits of frames as they came", () => {
    const rig = newRig({}, {});
    const meter = { do: "meter", meter: 1 } as const;
    rig.rules(
      rulesOf(
        [2, { "eth.src": macNumber(mac(1)) }, { do: "set-vlan", id: 5 }, meter, { do: "forward", ports: [1] }],
        [2, { "eth.src": macNumber(mac(3)) }, meter, { do: "forward", ports: [1] }],
      ),
      METERS,
    );
    const [, got] = rig.send(0, frame(mac(2), mac(1), 100), frame(mac(2), mac(3), 100), frame(mac(2), mac(1), 51));
    expect(got.map(({ length }) => length)).toEqual([104, 100]);
    // 50 bytes are left.
    expect(rig.send(0, frame(mac(2), mac(1), 50))[1].length).toBe(1);
    expect(rig.drops(0)).toEqual({ meter: 1 });
  });

  test("ends a frame: what comes behind neither sees nor counts it, what came before did", () => {
    const rig = newRig({}, {}, {});
    rig.rules(
      rulesOf(
        [3, {}, { do: "mirror", port: 1 }, { do: "meter", meter: 0 }, { do: "mirror", port: 2 }],
        [2, {}, { do: "count" }, { do: "continue" }],
        [1, {}, { do: "forward", ports: [2] }],
      ),
      METERS,
    );
    const [, a, b] = rig.send(0, ...new Array(5).fill(SENT));
    expect([a.length, b.length]).toEqual([5, 6]);
    expect([1, 2, 3].map((id) => rig.counted(id)[0])).toEqual([5, 3, 3]);
  });

  test("learns nothing of what it drops", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "meter", meter: 0 }]), METERS);
    rig.send(0, ...[1, 2, 3, 4].map((n) => frame(BROADCAST, mac(n))));
    expect(Object.values(rig.learned)).toEqual([0, 0, 0]);
  });
});

describe("log", () => {
  function logged(rig: PlanRig) {
    const [ring] = rig.memory.rings;
    const records: { rule: number; port: number; length: number; head: Uint8Array }[] = [];
    readEvents(ring, (kind, at) => {
      expect(kind).toBe(EVENT_LOGGED);
      const [rule, port, length, size] = ring.words.slice(at / 4, at / 4 + 4);
      const start = at + LOGGED_HEADER_SIZE;
      records.push({ rule, port, length, head: ring.bytes.slice(start, start + size) });
    });
    return records;
  }

  test("picks the first of every N frames of its rule", () => {
    const rig = newRig({}, {}, {});
    rig.rules(rulesOf([2, { "eth.src": macNumber(mac(1)) }, { do: "log", every: 3 }, { do: "drop" }]));
    for (let k = 0; k < 7; k++) {
      rig.send(
        2,
        numbered(BROADCAST, mac(1), 0, k),
        numbered(BROADCAST, mac(9), 0, k),
        numbered(BROADCAST, mac(1), 1, k),
      );
    }
    const expected = [0, 3, 6, 9, 12].map((n) => numbered(BROADCAST, mac(1), n % 2, n >> 1));
    expect(logged(rig)).toEqual(expected.map((head) => ({ rule: 1, port: 2, length: 64, head })));
    expect(logged(rig)).toEqual([]);
  });

  test("shows the first bytes of a frame as it was received", () => {
    const rig = newRig({}, {});
    const set = { do: "set-mac", src: "020000000077" } as const;
    rig.rules(rulesOf([1, {}, { do: "set-vlan", id: 5 }, set, { do: "log", every: 1 }]));
    const other = frame(mac(2), mac(1), 300);
    rig.send(0, SENT, SENT.subarray(0, 61), other);
    expect(logged(rig)).toEqual([
      { rule: 1, port: 0, length: SENT.length, head: SENT.slice(0, 64) },
      { rule: 1, port: 0, length: 61, head: SENT.slice(0, 61) },
      { rule: 1, port: 0, length: 300, head: other.slice(0, 128) },
    ]);
  });

  test("loses what the ring has no room for, and counts it; frames go on", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "log", every: 1 }, { do: "forward", ports: [1] }]));
    const bursts = 60;
    for (let k = 0; k < bursts; k++) expect(rig.send(0, ...new Array(BURST).fill(SENT))[1].length).toBe(BURST);
    const records = logged(rig).length;
    expect(records).toBeGreaterThan(1000);
    expect(records + lostEvents(rig.memory.rings[0])).toBe(bursts * BURST);
    rig.send(0, SENT);
    expect(logged(rig).length).toBe(1);
  });
});

test("a rule that sends a whole burst to each of several ports has room for all of it, mirrored besides", () => {
  const rig = newRig({}, {}, {}, {});
  const mirrors = [1, 2, 3].map((port) => ({ do: "mirror" as const, port }));
  rig.rules(rulesOf([1, {}, ...mirrors, { do: "forward", ports: [0, 1, 2, 3] }]));
  const frames = Array.from({ length: BURST }, (_, k) => numbered(BROADCAST, mac(1), 0, k));
  const twice = frames.flatMap((bytes) => [bytes, bytes]);
  expect(rig.send(0, ...frames)).toEqual([frames, twice, twice, twice]);
});
