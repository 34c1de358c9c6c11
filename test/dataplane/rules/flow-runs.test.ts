// Frames of one run have one key: for random frames and near copies of them, in which bytes that keys depend on differ now and
// then. And runs of many flows, mixed, each get their own answer.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { FlowRuns, findRuns } from "../../../src/dataplane/rules/flow-runs.ts";
import { HeaderArena, slotStart } from "../../../src/dataplane/rules/header-arena.ts";
import { HEADER_BYTES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import { Batch, BURST, BURST_FORMS } from "../../../src/mem/batch.ts";
import { WindowTable } from "../../../src/mem/window.ts";
import { complete, frame, mac } from "../../support/frames.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const batch = new Batch(BURST_FORMS);
const arena = new HeaderArena(new WindowTable(), batch);
const runs = new FlowRuns();
afterAll(() => arena.close());

function keyOf(frame: Uint8Array): number[] {
  const header = new Uint8Array(HEADER_BYTES).fill(0x77);
  header.set(frame.subarray(0, HEADER_BYTES));
  const key = new Int32Array(KEY_WORDS);
  parseKey(new DataView(header.buffer), 0, frame.length, 3, key);
  return [...key];
}

/** The frames of each run. */
function runsOf(frames: readonly Uint8Array[]): Uint8Array[][] {
  for (const [i, bytes] of frames.entries()) {
    // Behind a frame there is noise.
    arena.bytes.fill(0x77, slotStart(i), slotStart(i) + HEADER_BYTES);
    arena.bytes.set(bytes.subarray(0, HEADER_BYTES), slotStart(i));
    batch.length[i] = bytes.length;
  }
  findRuns(runs, arena, frames.length);
  const found = Array.from({ length: runs.count }, (_, r) => frames.slice(runs.start[r], runs.start[r + 1]));
  expect(found.flat()).toEqual([...frames]);
  return found;
}

const anyPlain = fc
  .record({
    transport: fc.constantFrom<"tcp" | "udp">("tcp", "udp"),
    flags: fc.nat(255),
    id: fc.nat(65535),
    size: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ size, ...spec }) => complete(mac(2), mac(1), spec4({ ...spec, payload: pattern(size) })));
const anyChange = fc.record({ at: fc.nat(60), value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 6, 17, 0x45, 0x46)) });
const anyCopy = fc.record({
  changes: fc.array(anyChange, { maxLength: 1 }),
  kept: fc.oneof({ weight: 5, arbitrary: fc.constant(2000) }, fc.integer({ min: 14, max: 80 })),
});
const anyBurst = fc
  .record({
    frame: fc.oneof({ weight: 3, arbitrary: anyPlain }, anyFrame),
    copies: fc.array(anyCopy, { minLength: 1, maxLength: 12 }),
  })
  .map(({ frame, copies }) =>
    copies.map(({ changes, kept }) => {
      const copy = frame.slice(0, kept);
      for (const { at, value } of changes) copy[at] = value;
      return copy;
    }),
  );

test("frames of one run have one key", () => {
  let longer = 0;
  fc.assert(
    fc.property(anyBurst, (frames) => {
      for (const run of runsOf(frames)) {
        if (run.length > 1) longer++;
        for (const bytes of run) expect(keyOf(bytes)).toEqual(keyOf(run[0]));
      }
    }),
    { numRuns: sized(5_000, 500_000) },
  );
  expect(longer).toBeGreaterThan(1000);
});

test("frames of one TCP connection are one run, whatever they carry; other flags begin another", () => {
  const of = (id: number, sequence: number, size: number, flags = 0x10) =>
    complete(mac(2), mac(1), spec4({ id, sequence, flags, payload: pattern(size) }));
  const sizes = (...frames: Uint8Array[]) => runsOf(frames).map(({ length }) => length);
  expect(sizes(of(1, 1, 0), of(2, 1000, 1400), of(3, 2400, 10), of(4, 2410, 10, 0x18), of(5, 1, 0))).toEqual([3, 1, 1]);
  expect(sizes()).toEqual([]);
  const other = frame(mac(2), mac(1));
  expect(sizes(other, other, of(1, 1, 0), of(1, 1, 0), other)).toEqual([1, 1, 2, 1]);
  expect(sizes(...new Array(BURST).fill(of(1, 1, 0)))).toEqual([BURST]);
});

test("flows in a row and mixed, of rules of all sorts: each has its own answer", () => {
  const rig = newRig({}, {}, {}, {});
  rig.rules(
    rulesOf(
      [9, { "ip4.src": 0x0a000007 }, { do: "drop" }],
      [8, { "udp.dport": 1 }, { do: "forward", ports: [1] }],
      [7, { "udp.dport": 2 }, { do: "set-vlan", id: 5 }, { do: "forward", ports: [2] }],
      // More than a run's answer has room for.
      ...Array.from({ length: 20 }, (): Parameters<typeof rulesOf>[number] => [6, { "udp.dport": 3 }, { do: "count" }]),
      [5, { "udp.dport": 3 }, { do: "forward", ports: [3] }],
    ),
  );
  rig.station(mac(2), 3);
  const flow = (n: number) => {
    const source = [10, 0, n >> 8, n & 255];
    const bytes = complete(mac(2), mac(1), spec4({ source, transport: "udp", payload: pattern(30) }));
    bytes.set([0, n % 5], 36);
    return bytes;
  };
  const met = new Array(25).fill(0);
  let number = 0;
  for (let turn = 0; turn < 300; turn++) {
    const burst = Array.from({ length: BURST }, (_, k) => {
      number = (number + (turn % 3 === 0 ? (k % 8 === 0 ? 1 : 0) : turn % 3 === 1 ? 1 : 37)) % 3000;
      return flow(k % 16 < 4 ? 7 : number);
    });
    const to = (bytes: Uint8Array) => {
      const isDropped = bytes[28] === 0 && bytes[29] === 7;
      met[isDropped ? 1 : bytes[37] === 1 ? 2 : bytes[37] === 2 ? 3 : bytes[37] === 3 ? 24 : 0]++;
      return isDropped ? 0 : Math.min(bytes[37] || 3, 3);
    };
    const ports = burst.map(to);
    const lengths = (port: number, more: number) =>
      burst.filter((_, k) => ports[k] === port).map(({ length }) => length + more);
    const got = rig.send(0, ...burst).map((frames) => frames.map(({ length }) => length));
    expect(got).toEqual([[], lengths(1, 0), lengths(2, 4), lengths(3, 0)]);
  }
  for (const id of [1, 2, 3, 24]) expect(rig.counted(id)[0]).toBe(met[id]);
  for (let id = 4; id < 24; id++) expect(rig.counted(id)).toEqual(rig.counted(24));
});
