// Receiving over the model: every byte, rings that wrap, chains, bad frames, and devices that do wrong.

import { describe, expect, test } from "bun:test";
import { RX_BYTES, RX_FRAMES } from "../../../../src/mem/counters.ts";
import { VIRTIO_NET_HDR_F_DATA_VALID } from "../../../../src/uapi/virtio_net.ts";
import { pattern } from "../../lane-bench.ts";
import { FAMILIES, withRig } from "./rig.ts";

const DD = 1;
const EOP = 2;

for (const family of FAMILIES) {
  describe(`${family} receives`, () => {
    test("frames byte for byte, while the ring wraps often", () =>
      withRig(family, {}, (rig) => {
        let bytes = 0;
        for (let round = 0; round < 40; round++) {
          const frames = Array.from({ length: 11 }, (_, n) => pattern(60 + ((round * 131 + n * 17) % 1455), round + n));
          for (const frame of frames) {
            expect(rig.model.receive(frame)).toBe(true);
            bytes += frame.length;
          }
          expect(rig.fetch()).toEqual(frames);
        }
        expect(rig.bench.counters[RX_FRAMES]).toBe(440);
        expect(rig.bench.counters[RX_BYTES]).toBe(bytes);
        expect(rig.bench.drops).toEqual({});
      }));

    test("no more than a burst at a time, and the device never runs dry of what was given back", () =>
      withRig(family, { rxDescriptors: 256 }, (rig) => {
        let taken = 0;
        while (rig.model.receive(pattern(64, taken))) taken++;
        expect(taken).toBe(255);
        expect([64, 64, 64, 63, 0].map(() => rig.fetch().length)).toEqual([64, 64, 64, 63, 0]);
        for (let n = 0; n < 500; n++) {
          expect(rig.model.receive(pattern(64, n))).toBe(true);
          expect(rig.fetch()).toEqual([pattern(64, n)]);
        }
      }));

    test("the device is told of buffers by the dozen", () =>
      withRig(family, { rxDescriptors: 512 }, (rig) => {
        const before = rig.model.tailWrites;
        for (let n = 0; n < 320; n++) {
          rig.model.receive(pattern(64, n));
          rig.fetch();
        }
        expect(rig.model.tailWrites - before).toBe(10);
      }));

    test("jumbo frames in several pieces", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        for (const size of [4095, 4096, 4097, 8192, 9014, 9022]) {
          for (let n = 0; n < 30; n++) {
            expect(rig.model.receive(pattern(size, n))).toBe(true);
            expect(rig.fetch()).toEqual([pattern(size, n)]);
          }
        }
        expect(rig.bench.drops).toEqual({});
      }));

    test("a frame whose end is not there yet later, whole", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        const first = rig.model.nextReceive();
        rig.model.complete(first, 4096, DD);
        expect(rig.fetch()).toEqual([]);
        expect(rig.fetch()).toEqual([]);
        rig.model.complete(rig.model.nextReceive(), 100, DD | EOP);
        expect(rig.fetch().map((frame) => frame.length)).toEqual([4196]);
        expect(rig.bench.counters[RX_FRAMES]).toBe(1);
      }));

    test("an empty last piece, where only the FCS would have been", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        rig.model.complete(rig.model.nextReceive(), 4096, DD);
        rig.model.complete(rig.model.nextReceive(), 0, DD | EOP);
        expect(rig.fetch().map((frame) => frame.length)).toEqual([4096]);
        expect(rig.bench.drops).toEqual({});
      }));

    test("checksums that the device has checked", () =>
      withRig(family, {}, (rig) => {
        const checked = VIRTIO_NET_HDR_F_DATA_VALID;
        for (const [status, flags] of [
          [0, 0],
          [0x20, checked],
          [0x30, checked],
          [0x40, 0],
          [0x20 | (1 << 29), 0],
          [0x20 | (1 << 30), 0],
          [0x24, 0],
        ]) {
          rig.model.receive(pattern(64), { status });
          expect(rig.fetch()).toHaveLength(1);
          expect(rig.batch.flags[0]).toBe(flags);
          expect([rig.batch.needs[0], rig.batch.gsoType[0], rig.batch.anyNeeds]).toEqual([0, 0, 0]);
        }
      }));

    test("damaged, short and long frames as drops", () =>
      withRig(family, {}, (rig) => {
        for (const bit of [24, 25, 26, 28, 31]) rig.model.receive(pattern(64), { status: 1 << bit });
        rig.model.receive(pattern(13));
        rig.model.receive(pattern(1523));
        rig.model.receive(pattern(1522, 9));
        expect(rig.fetch()).toEqual([pattern(1522, 9)]);
        expect(rig.bench.drops).toEqual({ malformed: 5, runt: 1, oversized: 1 });
        expect(rig.bench.counters[RX_FRAMES]).toBe(8);
      }));

    test("nothing of a frame that never ends, and goes on behind it", () =>
      withRig(family, {}, (rig) => {
        for (let n = 0; n < 37; n++) rig.model.complete(rig.model.nextReceive(), 2048, DD);
        rig.model.complete(rig.model.nextReceive(), 99, DD | EOP);
        rig.model.receive(pattern(80));
        expect(rig.fetch()).toEqual([pattern(80)]);
        expect(rig.bench.drops).toEqual({ oversized: 1 });
        expect(rig.bench.counters[RX_FRAMES]).toBe(2);
        for (let n = 0; n < 100; n++) {
          rig.model.receive(pattern(70, n));
          expect(rig.fetch()).toEqual([pattern(70, n)]);
        }
      }));

    test("lengths beyond the buffer and empty frames as drops, without a byte of them", () =>
      withRig(family, {}, (rig) => {
        for (const length of [2049, 4096, 0xffff, 0]) rig.model.complete(rig.model.nextReceive(), length, DD | EOP);
        rig.model.complete(rig.model.nextReceive(), 2048, DD);
        rig.model.complete(rig.model.nextReceive(), 0xffff, DD | EOP);
        rig.model.receive(pattern(64));
        expect(rig.fetch()).toEqual([pattern(64)]);
        expect(rig.bench.drops).toEqual({ desc_length: 5 });
        const { pool } = rig.batch;
        expect([rig.batch.first[0], pool.count]).toEqual([0, 1]);
      }));

    test("garbage in every descriptor, for as long as it likes, and then frames again", () =>
      withRig(family, {}, (rig) => {
        let state = 7;
        const noise = () => {
          state = (Math.imul(state, 1103515245) + 12345) | 0;
          return state >>> 0;
        };
        for (let round = 0; round < 500; round++) {
          for (let room = rig.model.receiveRoom(); room > 0; room--) {
            rig.model.complete(rig.model.nextReceive(), noise() >>> 20, noise() | DD);
          }
          rig.bench.batch.reset();
          const count = rig.lane.fetch(rig.bench.batch);
          const { batch, windows } = rig.bench;
          for (let s = 0; s < batch.pool.count; s++) {
            expect(batch.pool.length[s]).toBeLessThanOrEqual(2048);
            expect(batch.pool.offset[s] + batch.pool.length[s]).toBeLessThanOrEqual(windows.size[batch.pool.window[s]]);
          }
          expect(count).toBe(batch.count);
          rig.lane.release(batch);
        }
        const { rx, drops } = rig.counted();
        expect(drops).toBeGreaterThan(0);
        expect(drops).toBeLessThanOrEqual(rx);
        // Whatever was begun has its end now.
        rig.model.complete(rig.model.nextReceive(), 64, DD | EOP);
        while (rig.fetch().length > 0);
        rig.model.receive(pattern(200));
        expect(rig.fetch()).toEqual([pattern(200)]);
      }));

    test("descriptors that the device was not given, without harm", () =>
      withRig(family, {}, (rig) => {
        for (let round = 0; round < 20; round++) {
          for (let slot = 0; slot < 64; slot++) rig.model.complete(rig.model.receiveDescriptor(slot), 64, DD | EOP);
          expect([63, 1, 0].map(() => rig.fetch().length)).toEqual([63, 1, 0]);
        }
      }));
  });
}
