// Frames that go out of their senders' memory over the model: byte for byte, held until the device has sent them, and copied where
// that cannot be.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OFFLOAD_CSUM, OFFLOAD_TSO4, OFFLOAD_TSO6 } from "../../../../src/mem/batch.ts";
import { TX_COPIED, TX_FRAMES, TX_ZERO_COPY } from "../../../../src/mem/counters.ts";
import { TX_POSTED, TX_REAPED } from "../../../../src/mem/lane-state.ts";
import { mapAnonymous, PAGE_SIZE, unmap } from "../../../../src/sys/memory.ts";
import { anySpec, type FrameSpec, spec4, spec6 } from "../../../dataplane/offload/reference.ts";
import { complete, type Mac, offloaded, plainSegments, readNetHeader } from "../../../support/frames.ts";
import { pattern } from "../../lane-bench.ts";
import { FAMILIES, type Family, type Rig, withRig } from "./rig.ts";

const SELF = 9;
const TO: Mac = [2, 0, 0, 0, 0, 0xbb];
const FROM: Mac = [2, 0, 0, 0, 0, 0xaa];

/** A rig whose device reaches the frames; each burst lies where the one before did. */
function withReach(family: Family, use: (rig: Rig) => unknown, options = {}): Promise<void> {
  return withRig(family, { txDescriptors: 256, ...options }, (rig) => {
    rig.reachSource(SELF);
    rig.batch.reset();
    return use(rig);
  });
}

function held({ batch }: Rig): number[] {
  return Array.from(batch.heldBy.subarray(0, batch.count));
}

function copies({ bench: { counters } }: Rig): [number, number] {
  return [counters[TX_ZERO_COPY], counters[TX_COPIED]];
}

function putOffloaded(rig: Rig, spec: FrameSpec, gsoSize: number, cuts: number[] = []): void {
  const { bytes, header } = offloaded(TO, FROM, spec, gsoSize);
  const fields = readNetHeader(header);
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length];
  const i = rig.bench.put(...ends.map((end, k) => bytes.subarray(k === 0 ? 0 : ends[k - 1], end)));
  const { batch } = rig;
  batch.needs[i] = OFFLOAD_CSUM | (gsoSize === 0 ? 0 : spec.version === 4 ? OFFLOAD_TSO4 : OFFLOAD_TSO6);
  batch.anyNeeds |= batch.needs[i];
  for (const name of ["gsoType", "gsoSize", "csumStart", "csumOffset"] as const) batch[name][i] = fields[name];
}

for (const family of FAMILIES) {
  describe(`${family} without copies`, () => {
    test("sends frames out of their senders' memory, held by tickets that count up", () =>
      withReach(family, (rig) => {
        for (let round = 0; round < 50; round++) {
          const frames = Array.from({ length: 20 }, (_, n) => pattern(17 + ((round * 67 + n * 29) % 1500), n));
          rig.batch.reset();
          rig.bench.seek(0);
          for (const frame of frames) rig.bench.put(frame.subarray(0, 10), frame.subarray(10));
          expect(rig.send()).toBe(20);
          expect(rig.model.sent.splice(0)).toEqual(frames);
          expect(held(rig)).toEqual(new Array(20).fill(SELF));
          expect(rig.batch.anyHeld).toBe(1);
          const tickets = Array.from(rig.batch.ticket.subarray(0, 20));
          expect(tickets).toEqual(Array.from({ length: 20 }, (_, n) => round * 20 + n + 1));
        }
        expect(copies(rig)).toEqual([1000, 0]);
        expect(rig.bench.counters[TX_FRAMES]).toBe(1000);
      }));

    test("the device reads the sender's memory when it sends, not before", () =>
      withReach(family, (rig) => {
        rig.model.eager = false;
        rig.bench.put(pattern(100));
        rig.send();
        const { pool } = rig.batch;
        rig.bench.windows.u8[pool.window[0]].fill(7, pool.offset[0], pool.offset[0] + 100);
        rig.model.transmit();
        expect(rig.model.sent).toEqual([new Uint8Array(100).fill(7)]);
      }));

    test("says that frames are reaped when the device has sent them, whole bursts in order", () =>
      withReach(family, (rig) => {
        const { state } = rig.bench;
        rig.model.eager = false;
        for (let burst = 0; burst < 3; burst++) {
          rig.batch.reset();
          for (let n = 0; n < 5; n++) rig.bench.put(pattern(64, n));
          rig.send();
        }
        expect([state[TX_POSTED], state[TX_REAPED]]).toEqual([15, 0]);
        for (const [descriptors, reaped] of [
          [0, 0],
          [4, 0],
          [1, 5],
          [6, 10],
          [4, 15],
        ]) {
          rig.model.transmit(0, descriptors);
          rig.lane.reap();
          expect(state[TX_REAPED]).toBe(reaped);
        }
      }));

    test("tickets run over", () =>
      withReach(family, (rig) => {
        const { state } = rig.bench;
        state[TX_POSTED] = state[TX_REAPED] = 0x7ffffffe;
        for (let n = 0; n < 4; n++) rig.bench.put(pattern(64, n));
        rig.send();
        rig.lane.reap();
        const expected = [0x7fffffff, -0x80000000, -0x7fffffff, -0x7ffffffe];
        expect(Array.from(rig.batch.ticket.subarray(0, 4))).toEqual(expected);
        expect([state[TX_POSTED], state[TX_REAPED]]).toEqual([-0x7ffffffe, -0x7ffffffe]);
      }));

    test("a frame is cut at pages", () =>
      withReach(family, (rig) => {
        const frame = pattern(1500);
        rig.bench.seek(4096 - 700);
        rig.bench.put(frame);
        rig.send();
        expect(rig.model.sent).toEqual([frame]);
        expect(rig.model.descriptors).toBe(2);
      }));

    test("what another NIC holds, what the device does not reach and what is too short is copied", () =>
      withReach(family, (rig) => {
        const frames = [pattern(64, 1), pattern(16, 2), pattern(64, 3), pattern(64, 4)];
        for (const frame of frames) rig.bench.put(frame);
        rig.batch.heldBy[0] = 3;
        rig.batch.anyHeld = 1;
        // Memory of another's, which is no memory of the device's.
        const { windows } = rig.bench;
        const address = mapAnonymous(PAGE_SIZE);
        const window = windows.add(address, PAGE_SIZE);
        windows.u8[window].set(frames[2]);
        rig.batch.pool.window[2] = window;
        rig.batch.pool.offset[2] = 0;
        expect(rig.send()).toBe(4);
        expect(rig.model.sent).toEqual([frames[0], new Uint8Array([...frames[1], 0]), frames[2], frames[3]]);
        expect(held(rig)).toEqual([3, 0, 0, SELF]);
        expect(copies(rig)).toEqual([1, 3]);
        windows.remove(window);
        unmap(address, PAGE_SIZE);
      }));

    test("nothing of a frame whose segments leave their window; one whose segments are not its length is copied", () =>
      withReach(family, (rig) => {
        for (let n = 0; n < 5; n++) rig.bench.put(pattern(64, n));
        const { pool } = rig.batch;
        pool.offset[0] = rig.bench.memorySize - 63;
        pool.offset[1] = -1;
        pool.length[2] = 63;
        pool.length[3] = 65;
        expect(rig.send()).toBe(3);
        expect(rig.model.sent).toEqual([2, 3, 4].map((n) => pattern(64, n)));
        expect(rig.bench.drops).toEqual({ malformed: 2 });
        expect(held(rig)).toEqual([0, 0, 0, 0, SELF]);
      }));

    test("checksums are the device's, and the frame is not changed", () =>
      withReach(family, (rig) => {
        const specs = [spec4({ payload: pattern2(700) }), spec6({ transport: "udp", payload: pattern2(90) })];
        for (const spec of specs) putOffloaded(rig, spec, 0);
        const before = rig.bench.frame(0);
        expect(rig.send()).toBe(2);
        expect(rig.model.sent).toEqual(specs.map((spec) => complete(TO, FROM, spec)));
        expect(rig.bench.frame(0)).toEqual(before);
        expect(copies(rig)).toEqual([2, 0]);
      }));

    test("super-frames go out but for their headers, which are changed in a copy", () =>
      withReach(family, (rig) => {
        for (const make of [spec4, spec6]) {
          const spec = make({ payload: pattern2(60_000), flags: 0x19 });
          rig.batch.reset();
          rig.bench.seek(0);
          putOffloaded(rig, spec, 1400, [14, 54, 90, 4000, 40_000]);
          const before = rig.bench.frame(0);
          expect(rig.send()).toBe(1);
          expect(rig.model.sent.splice(0)).toEqual(plainSegments(TO, FROM, spec, 1400));
          expect(rig.bench.frame(0)).toEqual(before);
        }
        expect(copies(rig)).toEqual([2, 0]);
      }));

    test("a frame in more pieces than a device takes is copied", () =>
      withReach(family, (rig) => {
        const frame = pattern(1500);
        rig.bench.put(...Array.from({ length: 50 }, (_, n) => frame.subarray(n * 30, n * 30 + 30)));
        rig.bench.put(...Array.from({ length: 48 }, (_, n) => frame.subarray(n * 31, n === 47 ? 1500 : n * 31 + 31)));
        expect(rig.send()).toBe(2);
        expect(rig.model.sent).toEqual([frame, frame]);
        expect(held(rig)).toEqual([0, SELF]);
      }));

    test("a full ring drops and does not hold, and goes on without copies", () =>
      withReach(
        family,
        (rig) => {
          rig.model.eager = false;
          for (let n = 0; n < 64; n++) rig.bench.put(pattern(64, n));
          const sent = rig.send();
          // Room for a context and a head is kept, so the last of them are copied.
          expect(sent).toBe(63);
          expect(held(rig).filter((by) => by === SELF)).toHaveLength(copies(rig)[0]);
          expect(copies(rig)[0]).toBeGreaterThan(60);
          expect(rig.bench.drops).toEqual({ no_buffer: 1 });
          rig.model.eager = true;
          rig.model.transmit();
          for (let round = 0; round < 5; round++) {
            rig.batch.reset();
            for (let n = 0; n < 60; n++) rig.bench.put(pattern(64, n));
            expect(rig.send()).toBe(60);
            expect(held(rig)).toEqual(new Array(60).fill(SELF));
          }
          rig.lane.reap();
          expect(rig.bench.state[TX_REAPED]).toBe(rig.bench.state[TX_POSTED]);
        },
        { txDescriptors: 64 },
      ));

    test("any frame, wherever it lies and whatever it asks", () =>
      withReach(
        family,
        (rig) =>
          fc.assert(
            fc.property(
              anySpec(6000).map((spec) => ({ ...spec, flags: spec.flags & ~0x80 })),
              fc.integer({ min: 48, max: 1400 }),
              fc.array(fc.nat(6000), { maxLength: 10 }),
              fc.nat(8192),
              (spec, mss, cuts, at) => {
                cuts.sort((a, b) => a - b);
                const whole = complete(TO, FROM, spec);
                const header = complete(TO, FROM, { ...spec, payload: [] }).length;
                for (const gsoSize of spec.payload.length > 0 && header <= 255 ? [0, mss] : [0]) {
                  if (gsoSize === 0 && whole.length > 9022) continue;
                  rig.batch.reset();
                  rig.bench.seek(at);
                  putOffloaded(rig, spec, gsoSize, cuts);
                  expect(rig.send()).toBe(1);
                  const expected = gsoSize === 0 ? [whole] : plainSegments(TO, FROM, spec, gsoSize);
                  expect(rig.model.sent.splice(0)).toEqual(expected);
                }
              },
            ),
            { numRuns: 100 },
          ),
        { mtu: 9000 },
      ));
  });
}

function pattern2(size: number): number[] {
  return Array.from(pattern(size));
}
