// Probes of the loop guard at a worker: known where they come in, noted, dropped before anything else is asked; whatever only looks
// like one is a frame like others.

import { beforeEach, expect, test } from "bun:test";
import { probeFrame, TOKEN_WORDS } from "../../../src/dataplane/bridge/probe.ts";
import { publishEvent, reserveEvent } from "../../../src/dataplane/rules/event-ring.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { type PlanRig, usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const SOURCE = Uint8Array.of(2, 0x11, 0x22, 0x33, 0x44);
const newRig = usePlanRig();
let rig: PlanRig;

/** The probe that goes out of a port. */
function probeOf(port: number): Uint8Array {
  const { tokens } = rig.bridgeMemory.probes;
  return probeFrame(SOURCE, port, tokens.subarray(port * TOKEN_WORDS, (port + 1) * TOKEN_WORDS));
}

const seen = () => [...rig.bridgeMemory.probes.seen.subarray(0, 3)];

beforeEach(() => {
  rig = newRig({}, {}, {});
  rig.policy({ 0: { loopGuard: true } });
});

test("a probe is noted where it comes in, and goes no further", () => {
  expect(rig.send(1, probeOf(0))).toEqual([[], [], []]);
  expect(seen()).toEqual([0, 1, 0]);
  expect(rig.drops(1)).toEqual({ loop: 1 });
  expect(rig.learned).toEqual({});
  rig.send(2, probeOf(2));
  expect(seen()).toEqual([0, 1, 3]);
});

test("between other frames, too, which go on", () => {
  const other = frame(BROADCAST, mac(9));
  const out = rig.send(1, other, probeOf(0), other);
  expect(out).toEqual([[other, other], [], [other, other]]);
  expect(rig.drops(1)).toEqual({ loop: 1 });
});

test("with tags that the way back put on", () => {
  const tagged = (probe: Uint8Array, ...tags: number[]) =>
    Uint8Array.from([...probe.subarray(0, 12), ...tags, ...probe.subarray(12)]);
  rig.send(1, tagged(probeOf(0), 0x81, 0x00, 0x00, 0x05));
  rig.send(2, tagged(probeOf(1), 0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x06));
  expect(seen()).toEqual([0, 1, 2]);
});

test("padded as a wire does it, or with nothing behind the token", () => {
  rig.send(1, probeOf(0).slice(0, 32));
  rig.send(2, Uint8Array.from([...probeOf(0), ...new Uint8Array(40)]));
  expect(seen()).toEqual([0, 1, 1]);
});

test("before guards and rules are asked", () => {
  rig.policy({ 0: { loopGuard: true }, 1: { sources: [] } }, {}, rulesOf([5, {}, { do: "drop" }]));
  rig.send(1, probeOf(0));
  rig.send(2, probeOf(0));
  expect([rig.drops(1), rig.drops(2)]).toEqual([{ loop: 1 }, { loop: 1 }]);
  expect(rig.counted(1)[0]).toBe(0);
});

test("while the ring of events is full", () => {
  const { ring } = rig.plan!;
  while (reserveEvent(ring, 1, 1024) >= 0) publishEvent(ring);
  rig.send(1, probeOf(0));
  expect(seen()).toEqual([0, 1, 0]);
});

test("a frame with another token, or with another port's, is none", () => {
  for (let at = 12; at < 32; at++) {
    // Byte 15 is the version, which says nothing yet.
    if (at === 15) continue;
    const forged = probeOf(0);
    forged[at] ^= at === 14 ? 2 : 0x80;
    expect(rig.send(1, forged)).toEqual([[forged], [], [forged]]);
  }
  const elsewhere = probeOf(0);
  elsewhere[5] ^= 1;
  elsewhere[0] ^= 4;
  expect(rig.send(1, elsewhere)).toEqual([[elsewhere], [], [elsewhere]]);
  const short = probeOf(0).slice(0, 31);
  expect(rig.send(1, short)).toEqual([[short], [], [short]]);
  expect(seen()).toEqual([0, 0, 0]);
  expect(rig.drops(1)).toEqual({});
});

test("a port index that is used again has another token", () => {
  const old = probeOf(0);
  rig.bridgeMemory.clear(0);
  expect(rig.send(1, old)).toEqual([[old], [], [old]]);
  rig.send(1, probeOf(0));
  expect(seen()).toEqual([0, 1, 0]);
});

test("what came in at a port before another one got its index is forgotten", () => {
  rig.send(1, probeOf(0));
  rig.send(2, probeOf(0));
  rig.bridgeMemory.clear(1);
  expect(seen()).toEqual([0, 0, 1]);
});
