// Any order of events between two NICs and a worker that hands frames from one to the other: what comes out is what went in,
// in order, and rx + copies = tx + drops. And several workers that send by one queue.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FIRST_DROP, FIRST_FAULT, RX_FRAMES, TX_FRAMES } from "../../../../src/mem/counters.ts";
import { DELIVER_LOCK } from "../../../../src/mem/lane-state.ts";
import { buildLane, type IntelLaneConfig } from "../../../../src/ports/vfio/intel/lane-open.ts";
import { LaneBench, pattern } from "../../lane-bench.ts";
import { FAMILIES, Rig } from "./rig.ts";

const anySize = fc.oneof(fc.integer({ min: 17, max: 70 }), fc.integer({ min: 17, max: 1522 }), fc.constant(1600));
const anyEvent = fc.oneof(
  fc.record({ kind: fc.constant("arrive" as const), sizes: fc.array(anySize, { minLength: 1, maxLength: 40 }) }),
  fc.constant({ kind: "serve" as const }),
  fc.record({ kind: fc.constant("send" as const), limit: fc.integer({ min: 1, max: 80 }) }),
  fc.constant({ kind: "sleep" as const }),
);

for (const family of FAMILIES) {
  for (const other of FAMILIES) {
    test(`from an ${family} to an ${other}`, async () => {
      const property = fc.asyncProperty(fc.array(anyEvent, { maxLength: 60 }), async (events) => {
        const from = await Rig.open(family);
        const to = await Rig.open(other, { txDescriptors: 128 });
        // Both lanes are one worker's.
        const out = buildLane(to.nic.lane(0) as IntelLaneConfig, from.bench.context(), to.model);
        to.model.eager = false;
        const expected: Uint8Array[] = [];
        let arrived = 0;
        const serve = () => {
          const { batch, all } = from.bench;
          batch.reset();
          const count = from.lane.fetch(batch);
          const frames = [...from.bench.all].map((i) => from.bench.frame(i));
          const sent = count > 0 ? out.deliver(batch, all, count) : 0;
          // A full ring refuses every frame from one on: they are of one size class here.
          expected.push(...frames.slice(0, sent));
          from.lane.release(batch);
          return count;
        };
        try {
          for (const event of events) {
            if (event.kind === "arrive") {
              for (const size of event.sizes) if (from.model.receive(pattern(size, arrived))) arrived++;
            } else if (event.kind === "serve") serve();
            else if (event.kind === "send") to.model.transmit(0, event.limit);
            else if (!from.lane.arm()) from.lane.disarm();
          }
          while (serve() > 0);
          to.model.transmit();
          expect(to.model.sent).toEqual(expected);
          const { counters } = from.bench;
          const drops = counters.subarray(FIRST_DROP, FIRST_FAULT).reduce((sum, count) => sum + count, 0);
          expect(counters[RX_FRAMES]).toBe(arrived);
          expect(counters[TX_FRAMES] + drops).toBe(arrived);
          expect(counters[TX_FRAMES]).toBe(expected.length);
        } finally {
          out.close();
          from.undo();
          to.undo();
        }
      });
      await fc.assert(property, { numRuns: 25 });
    }, 30_000);
  }
}

describe.each(FAMILIES)("several workers that send by one %s", (family) => {
  test("share its ring, its buffers and what the device was told", async () => {
    const rig = await Rig.open(family);
    const benches = [new LaneBench(), new LaneBench(), new LaneBench()];
    // They deliver only, under the lane's lock, which stands in memory that they share.
    const lanes = benches.map((bench) => {
      const context = bench.context({ owner: false, state: rig.bench.state, shared: true });
      return buildLane(rig.nic.lane(0) as IntelLaneConfig, context, rig.model);
    });
    try {
      const expected: Uint8Array[] = [];
      let locked = 0;
      rig.model.onTail = () => {
        locked += rig.bench.state[DELIVER_LOCK];
      };
      for (let round = 0; round < 200; round++) {
        const bench = benches[round % 3];
        const frame = pattern(60 + ((round * 37) % 1400), round);
        bench.batch.reset();
        bench.batch.first[0] = 0;
        // The bench's memory begins anew with each frame.
        bench.windows.u8[bench.window].set(frame);
        bench.batch.count = 1;
        bench.batch.segments[0] = 1;
        bench.batch.length[0] = frame.length;
        bench.batch.pool.window[0] = bench.window;
        bench.batch.pool.offset[0] = 0;
        bench.batch.pool.length[0] = frame.length;
        expect(lanes[round % 3].deliver(bench.batch, bench.all, 1)).toBe(1);
        expect(lanes[round % 3].fetch(bench.batch)).toBe(0);
        expected.push(frame);
      }
      expect(rig.model.sent).toEqual(expected);
      expect([locked, rig.bench.state[DELIVER_LOCK]]).toEqual([200, 0]);
      expect(benches.map(({ counters }) => counters[TX_FRAMES])).toEqual([67, 67, 66]);
      expect(lanes.map(({ wakeFd }) => wakeFd)).toEqual([-1, -1, -1]);
      expect(lanes.map((lane) => lane.arm())).toEqual([false, false, false]);
    } finally {
      for (const lane of lanes) lane.close();
      for (const bench of benches) bench.give();
      rig.undo();
    }
  });
});
