// A frame that is taken for one of a known flow has the same key as the one that the flow is known by: for random frames and near
// copies of them, in which bytes that keys depend on differ now and then. And a memo that is full of others stays right.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { FlowMemo, isOf, isPlain, slotOf, takeSlot } from "../../../src/dataplane/rules/flow-memo.ts";
import { HEADER_BYTES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { complete, mac } from "../../support/frames.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();

/** A slot of the arena, with noise behind the frame. */
function inArena(frame: Uint8Array): { words: Int32Array; view: DataView } {
  const bytes = new Uint8Array(192).fill(0x77);
  bytes.set(frame.subarray(0, HEADER_BYTES));
  return { words: new Int32Array(bytes.buffer), view: new DataView(bytes.buffer) };
}

function keyOf(frame: Uint8Array, port: number): number[] {
  const key = new Int32Array(KEY_WORDS);
  parseKey(inArena(frame).view, 0, frame.length, port, key);
  return [...key];
}

const memo = new FlowMemo();
const ANSWER = Int32Array.of(2, 5, 7);

/** Whether `b` from port `to` gets the answer that was found for `a` from port `from`. */
function sameFlow(a: Uint8Array, b: Uint8Array, from = 3, to = 3): boolean {
  const [first, second] = [inArena(a).words, inArena(b).words];
  if (!isPlain(first, 0, a.length) || !isPlain(second, 0, b.length)) return false;
  // Another burst.
  memo.burst++;
  const slot = takeSlot(memo, first, 0, from, ANSWER, 0);
  expect(slot).toBe(slotOf(memo, first, 0));
  const same = isOf(memo.words, slot, second, 0, to);
  // Whoever is of a flow finds its slot.
  if (same) expect(slotOf(memo, second, 0)).toBe(slot);
  return same;
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
const anyPair = fc
  .record({
    frame: fc.oneof({ weight: 3, arbitrary: anyPlain }, anyFrame),
    changes: fc.array(anyChange, { maxLength: 2 }),
    kept: fc.oneof({ weight: 3, arbitrary: fc.constant(2000) }, fc.integer({ min: 14, max: 80 })),
  })
  .map(({ frame, changes, kept }) => {
    const other = frame.slice(0, kept);
    for (const { at, value } of changes) other[at] = value;
    return [frame, other];
  });

test("frames of one flow have one key", () => {
  let alike = 0;
  fc.assert(
    fc.property(anyPair, ([a, b]) => {
      if (!sameFlow(a, b)) return;
      alike++;
      expect(keyOf(b, 3)).toEqual(keyOf(a, 3));
    }),
    { numRuns: sized(20_000, 2_000_000) },
  );
  expect(alike).toBeGreaterThan(1000);
});

test("frames of one TCP connection are of one flow, whatever they carry; those with other flags or from another port are not", () => {
  const of = (id: number, sequence: number, size: number, flags = 0x10) =>
    complete(mac(2), mac(1), spec4({ id, sequence, flags, payload: pattern(size) }));
  const first = of(1, 1, 0);
  expect(sameFlow(first, of(2, 1000, 1400))).toBe(true);
  expect(sameFlow(of(2, 1000, 1400), first)).toBe(true);
  expect(sameFlow(first, of(2, 1000, 1400, 0x18))).toBe(false);
  expect(sameFlow(first, of(2, 1000, 1400), 3, 4)).toBe(false);
});

test("an answer that is too long for a slot is not kept", () => {
  const { words } = inArena(complete(mac(2), mac(1), spec4({ payload: pattern(10) })));
  const before = memo.words.slice();
  memo.burst++;
  expect(takeSlot(memo, words, 0, 3, Int32Array.of(17, ...new Array(17).fill(1)), 0)).toBe(-1);
  expect(memo.words).toEqual(before);
});

test("more flows than there are slots, one behind the other and mixed: each has its own answer", () => {
  const rig = newRig({}, {}, {}, {});
  rig.rules(
    rulesOf(
      [9, { "ip4.src": 0x0a000007 }, { do: "drop" }],
      [8, { "udp.dport": 1 }, { do: "forward", ports: [1] }],
      [7, { "udp.dport": 2 }, { do: "set-vlan", id: 5 }, { do: "forward", ports: [2] }],
      // More rules than a slot takes.
      ...Array.from({ length: 20 }, (): Parameters<typeof rulesOf>[number] => [6, { "udp.dport": 3 }, { do: "count" }]),
      [5, {}, { do: "forward", ports: [3] }],
    ),
  );
  const flow = (n: number) => {
    const source = [10, 0, n >> 8, n & 255];
    const bytes = complete(mac(2), mac(1), spec4({ source, transport: "udp", payload: pattern(30) }));
    bytes.set([0, n % 5], 36);
    return bytes;
  };
  let number = 0;
  for (let turn = 0; turn < 200; turn++) {
    const burst = Array.from({ length: BURST }, (_, k) => {
      number = (number + (turn % 3 === 0 ? 0 : turn % 3 === 1 ? 1 : 37)) % 3000;
      return flow(k % 4 === 0 ? 7 : number);
    });
    const of = (port: number, more: number) =>
      burst
        .filter((bytes) => {
          const [n, to] = [bytes[28] * 256 + bytes[29], bytes[37]];
          if (n === 7) return false;
          return port === 1 ? to === 1 : port === 2 ? to === 2 : to !== 1 && to !== 2;
        })
        .map((bytes) => bytes.length + more);
    const got = rig.send(0, ...burst).map((frames) => frames.map(({ length }) => length));
    expect(got).toEqual([[], of(1, 0), of(2, 4), of(3, 0)]);
  }
});
