// Transmitting over the model: every byte, rings that wrap and fill, descriptors and tail writes counted.

import { describe, expect, test } from "bun:test";
import { TX_BYTES, TX_FRAMES } from "../../../../src/mem/counters.ts";
import { pattern } from "../../lane-bench.ts";
import { FAMILIES, withRig } from "./rig.ts";

for (const family of FAMILIES) {
  describe(`${family} sends`, () => {
    test("frames byte for byte, while the ring wraps often", () =>
      withRig(family, {}, (rig) => {
        let count = 0;
        let bytes = 0;
        for (let round = 0; round < 60; round++) {
          const frames = Array.from({ length: 1 + (round % 13) }, (_, n) => pattern(60 + ((round * 97 + n) % 1463), n));
          expect(rig.deliver(frames)).toBe(frames.length);
          expect(rig.model.sent.splice(0)).toEqual(frames);
          count += frames.length;
          for (const frame of frames) bytes += frame.length;
        }
        expect(rig.bench.counters[TX_FRAMES]).toBe(count);
        expect(rig.bench.counters[TX_BYTES]).toBe(bytes);
        expect(rig.bench.drops).toEqual({});
      }));

    test("one descriptor for a frame, one tail write for a burst", () =>
      withRig(family, { txDescriptors: 256 }, (rig) => {
        const before = rig.model.tailWrites;
        for (let round = 0; round < 10; round++) rig.deliver(Array.from({ length: 64 }, (_, n) => pattern(64, n)));
        expect(rig.model.descriptors).toBe(640);
        expect(rig.model.tailWrites - before).toBe(10);
      }));

    test("frames in several pieces", () =>
      withRig(family, {}, (rig) => {
        for (let round = 0; round < 100; round++) {
          const frame = pattern(600 + round, round);
          const cuts = [0, 14, 15, 77 + round, 401, frame.length];
          rig.batch.reset();
          rig.bench.put(...cuts.slice(1).map((end, k) => frame.subarray(cuts[k], end)));
          expect(rig.send()).toBe(1);
          expect(rig.model.sent.splice(0)).toEqual([frame]);
        }
      }));

    test("jumbo frames over the end of the buffers, in one piece and in several", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        for (let round = 0; round < 100; round++) {
          const frame = pattern(9022 - (round % 3), round);
          rig.batch.reset();
          if (round % 2 === 0) rig.bench.put(frame);
          else rig.bench.put(frame.subarray(0, 3001), frame.subarray(3001, 3003), frame.subarray(3003));
          expect(rig.send()).toBe(1);
          expect(rig.model.sent.splice(0)).toEqual([frame]);
        }
        expect(rig.model.descriptors).toBe(500);
      }));

    test("frames of 14 to 16 bytes with zeros behind, since the device hangs otherwise", () =>
      withRig(family, {}, (rig) => {
        // What was in the buffers before must not show.
        rig.deliver(Array.from({ length: 63 }, () => new Uint8Array(64).fill(0xff)));
        rig.deliver([new Uint8Array(64).fill(0xff)]);
        rig.model.sent.length = 0;
        rig.deliver([pattern(14), pattern(16), pattern(17)]);
        expect(rig.model.sent).toEqual([
          new Uint8Array([...pattern(14), 0, 0, 0]),
          new Uint8Array([...pattern(16), 0]),
          pattern(17),
        ]);
        expect(rig.bench.counters[TX_BYTES]).toBe(64 * 64 + 14 + 16 + 17);
      }));

    test("nothing longer than the port's frames", () =>
      withRig(family, {}, (rig) => {
        expect(rig.deliver([pattern(1522), pattern(1523), pattern(64)])).toBe(2);
        expect(rig.model.sent).toEqual([pattern(1522), pattern(64)]);
        expect(rig.bench.drops).toEqual({ oversized: 1 });
      }));

    test("nothing of a frame whose segments leave their window, and the frames around it", () =>
      withRig(family, {}, (rig) => {
        const frames = [pattern(64, 1), pattern(64, 2), pattern(64, 3), pattern(64, 4)];
        rig.batch.reset();
        for (const frame of frames) rig.bench.put(frame);
        rig.batch.pool.offset[1] = rig.bench.memorySize - 63;
        rig.batch.pool.length[2] = 65;
        rig.batch.segments[2] = 2;
        expect(rig.send()).toBe(2);
        expect(rig.model.sent).toEqual([frames[0], frames[3]]);
        expect(rig.bench.drops).toEqual({ malformed: 2 });
      }));

    test("nothing of a frame whose segments are longer than it says: frames on their way stay as they are", () =>
      withRig(family, {}, (rig) => {
        rig.model.eager = false;
        const frames = Array.from({ length: 62 }, (_, n) => pattern(64, n));
        rig.deliver(frames);
        rig.batch.reset();
        rig.bench.put(pattern(50), pattern(6000));
        rig.batch.length[0] = 100;
        expect(rig.send()).toBe(0);
        rig.model.transmit();
        expect(rig.model.sent).toEqual(frames);
      }));

    test("what fits when the device does not send, drops the rest, and goes on when it does", () =>
      withRig(family, {}, (rig) => {
        rig.model.eager = false;
        const frames = Array.from({ length: 40 }, (_, n) => pattern(64, n));
        expect(rig.deliver(frames)).toBe(40);
        expect(rig.deliver(frames)).toBe(23);
        expect(rig.deliver(frames)).toBe(0);
        expect(rig.bench.drops).toEqual({ no_buffer: 57 });
        rig.model.transmit();
        expect(rig.model.sent.splice(0)).toEqual([...frames, ...frames.slice(0, 23)]);
        for (let round = 0; round < 20; round++) {
          expect(rig.deliver(frames)).toBe(40);
          rig.model.transmit();
          expect(rig.model.sent.splice(0)).toEqual(frames);
        }
        expect(rig.bench.drops).toEqual({ no_buffer: 57 });
      }));

    test("the second burst when the first was sent and the second was not", () =>
      withRig(family, {}, (rig) => {
        rig.model.eager = false;
        const frames = Array.from({ length: 20 }, (_, n) => pattern(64, n));
        rig.deliver(frames);
        rig.deliver(frames);
        rig.deliver(frames);
        rig.model.transmit(0, 20);
        // 60 of 63 were taken, 20 came back.
        expect(rig.deliver([...frames, ...frames])).toBe(23);
        rig.model.transmit();
        expect(rig.model.sent).toEqual([...frames, ...frames, ...frames, ...frames, ...frames.slice(0, 3)]);
      }));

    test("jumbo bursts that are larger than the ring, as a device that is quick takes them", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        const frames = Array.from({ length: 60 }, (_, n) => pattern(9000, n));
        expect(rig.deliver(frames)).toBe(60);
        expect(rig.model.sent).toEqual(frames);
      }));
  });
}
