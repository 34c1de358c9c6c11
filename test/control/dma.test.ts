// The registry of DMA memory alone: what is mapped when, and the order in which memory goes. Workers and spaces are played here
// and write down what they were asked; `words` are the NIC lanes' states.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { DmaRegistry } from "../../src/control/dma.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { MAX_PAIRS } from "../../src/dataplane/shared.ts";
import type { DmaSpace } from "../../src/mem/dma.ts";
import { LANE_STATE_LENGTH, TX_POSTED, TX_REAPED } from "../../src/mem/lane-state.ts";
import type { DmaRange } from "../../src/mem/window.ts";
import type { DmaProvision, MemoryShare } from "../../src/ports/port.ts";
import { until } from "../support/until.ts";

const MIB = 2 ** 20;
const NO_RESET = async () => {};

class Rig {
  readonly events: string[] = [];
  readonly warnings: string[] = [];
  readonly words = new Int32Array(new SharedArrayBuffer(64 * LANE_STATE_LENGTH * 4));
  /** What the workers know. */
  readonly known = new Map<number, DmaRange>();
  readonly log = { info() {}, warn: (text: string) => void this.warnings.push(text) };
  onReap = () => {};
  /** What a worker waits for before it answers. */
  held: Promise<void> | undefined;
  readonly registry = new DmaRegistry({
    mapDma: async (range) => {
      await Bun.sleep(0);
      this.known.set(range.address, range);
      this.events.push(`tell ${range.address}`);
    },
    unmapDma: async ({ address }) => {
      await Bun.sleep(0);
      this.known.delete(address);
      this.events.push(`hide ${address}`);
    },
    callAll: async () => {
      await this.held;
      this.onReap();
    },
    shared: { laneState: (lane) => this.words.subarray(lane * LANE_STATE_LENGTH, (lane + 1) * LANE_STATE_LENGTH) },
  });

  space(limit = Number.POSITIVE_INFINITY, door: DmaSpace["door"] = "type1"): DmaSpace & { maps: Map<number, number> } {
    const maps = new Map<number, number>();
    const total = () => [...maps.values()].reduce((sum, size) => sum + size, 0);
    return {
      door,
      maps,
      get mappedSize() {
        return total();
      },
      map: (address, size) => {
        if (total() + size > limit) throw new RingyardError("LIMIT", "no room", "make some");
        this.events.push(`map ${address} ${size}`);
        maps.set(address + 2 ** 40, size);
        return address + 2 ** 40;
      },
      unmap: (iova) => {
        if (!maps.delete(iova)) throw new RingyardError("NOT_FOUND", "never mapped");
        this.events.push(`unmap ${iova - 2 ** 40}`);
      },
    };
  }

  share(port: number, ...regions: [address: number, size: number][]): Promise<MemoryShare> {
    return this.registry.share(
      port,
      this.log,
      regions.map(([address, size]) => ({ address, size })),
    );
  }

  provide(port: number, space: DmaSpace, reset = NO_RESET): Promise<DmaProvision> {
    return this.registry.provide(port, this.log, space, reset);
  }

  /** NIC port `port` has been given frames up to this ticket, and has sent up to that one. */
  lane(port: number, posted: number, reaped: number, pair = 0): void {
    const at = (port * MAX_PAIRS + pair) * LANE_STATE_LENGTH;
    this.words[at + TX_POSTED] = posted;
    this.words[at + TX_REAPED] = reaped;
  }
}

test("memory is mapped in whole pages, whichever comes first, the space or the memory", async () => {
  const rig = new Rig();
  await rig.share(1, [4096, 100], [3 * 4096 + 12, 4096]);
  expect(rig.events).toEqual([]);
  const space = rig.space();
  await rig.provide(0, space);
  expect(rig.events).toEqual(["map 4096 4096", "tell 4096", "map 12288 8192", "tell 12288"]);
  await rig.share(2, [MIB, MIB]);
  expect(rig.known.get(MIB)).toEqual({ address: MIB, size: MIB, iova: MIB + 2 ** 40 });
});

test("memory that goes is hidden from workers, sent, unmapped, in this order", async () => {
  const rig = new Rig();
  const space = rig.space();
  let resets = 0;
  await rig.provide(0, space, async () => void resets++);
  const share = await rig.share(1, [MIB, MIB]);
  rig.lane(0, 7, 5);
  rig.events.length = 0;
  rig.onReap = () => {
    expect([rig.known.size, space.maps.size]).toEqual([0, 1]);
    rig.events.push("reap");
    if (rig.events.length === 4) rig.lane(0, 9, 7);
  };
  // Twice is once.
  await Promise.all([share.release(), share.release()]);
  expect(rig.events).toEqual([`hide ${MIB}`, "reap", "reap", "reap", `unmap ${MIB}`]);
  // What was posted since then is none of its memory.
  expect(resets).toBe(0);
});

test("a NIC that does not send is reset before the memory goes, even where it cannot be", async () => {
  for (const fails of [false, true]) {
    const rig = new Rig();
    const space = rig.space();
    const provision = await rig.provide(0, space, async () => {
      rig.events.push("reset");
      expect(space.maps.size).toBe(1);
      if (fails) throw new Error("no");
      provision.settle();
    });
    const share = await rig.share(1, [MIB, MIB]);
    rig.lane(0, 7, 5);
    rig.lane(0, 3, 1, 4);
    await share.release();
    // The IOMMU ends what the NIC still wanted there.
    expect(rig.events.slice(-2)).toEqual(["reset", `unmap ${MIB}`]);
    const reaped = [0, 4].map((lane) => rig.words[lane * LANE_STATE_LENGTH + TX_REAPED]);
    expect(reaped).toEqual(fails ? [5, 1] : [7, 3]);
    if (fails) expect(rig.warnings.at(-1)).toBe("the NIC could not be reset: no");
  }
});

test("a NIC is not reset because this process stood still", async () => {
  const rig = new Rig();
  let resets = 0;
  await rig.provide(0, rig.space(), async () => void resets++);
  const share = await rig.share(1, [MIB, MIB]);
  rig.lane(0, 7, 5);
  let looks = 0;
  rig.onReap = () => {
    // Longer than a NIC is waited for.
    if (++looks === 1) Bun.sleepSync(1_200);
    if (looks === 3) rig.lane(0, 7, 7);
  };
  await share.release();
  expect([looks, resets]).toEqual([3, 0]);
});

test("a NIC that has sent nothing for three seconds, and in three looks, is reset", async () => {
  const rig = new Rig();
  let resets = 0;
  const provision = await rig.provide(0, rig.space(), async () => {
    resets++;
    provision.settle();
  });
  const after = async (seconds: number) => {
    await rig.registry.watch(() => seconds * 1000);
    return resets;
  };
  rig.lane(0, 7, 5);
  // This process stood still between the first two looks: that says nothing of the NIC.
  expect([await after(1), await after(9), await after(10)]).toEqual([0, 0, 1]);
  rig.lane(0, 9, 7);
  expect([await after(11), await after(12), await after(13), await after(13.9)]).toEqual([1, 1, 1, 1]);
  rig.lane(0, 9, 8);
  expect([await after(14), await after(15), await after(16), await after(17)]).toEqual([1, 1, 1, 2]);
  expect([await after(30), await after(40)]).toEqual([2, 2]);
});

test("a NIC is not reset because a worker stood still", async () => {
  const rig = new Rig();
  let resets = 0;
  await rig.provide(0, rig.space(), async () => void resets++);
  rig.lane(0, 7, 5);
  const held = Promise.withResolvers<void>();
  rig.held = held.promise;
  const looks = [1, 2, 3, 4, 5].map((seconds) => rig.registry.watch(() => seconds * 1000));
  held.resolve();
  await Promise.all(looks);
  expect(resets).toBe(0);
});

test("a NIC that leaves during the wait ends it", async () => {
  const rig = new Rig();
  const provision = await rig.provide(0, rig.space());
  const share = await rig.share(1, [MIB, MIB]);
  rig.lane(0, 7, 5);
  const released = share.release();
  await until("hidden", () => rig.events.includes(`hide ${MIB}`), { everyMs: 0 });
  await provision.withdraw();
  await released;
  expect(rig.registry.details(1)).toEqual({});
});

test("a NIC that is made anew by its reset has another space, and the memory leaves the one that it was in", async () => {
  const rig = new Rig();
  const [before, after] = [rig.space(), rig.space()];
  const provision = await rig.provide(0, before, async () => {
    provision.settle();
    await provision.withdraw();
    await rig.provide(0, after);
  });
  const share = await rig.share(1, [MIB, MIB]);
  const other = await rig.share(2, [4 * MIB, MIB]);
  rig.lane(0, 7, 5);
  await share.release();
  // Both spaces number alike: the other port's memory must not go in its place.
  expect([[...before.maps], [...after.maps.keys()]]).toEqual([[], [4 * MIB + 2 ** 40]]);
  expect(rig.warnings).toEqual(["the NIC does not send what it was given: resetting it, since a sender's memory goes"]);
  await other.release();
  expect(after.maps.size).toBe(0);
});

test("mappings stay until the last NIC of the space goes", async () => {
  const rig = new Rig();
  const space = rig.space();
  const provisions = [await rig.provide(0, space), await rig.provide(1, space)];
  await rig.share(2, [MIB, MIB]);
  await provisions[0].withdraw();
  expect([space.maps.size, rig.registry.reaches(0), rig.registry.reaches(1)]).toEqual([1, false, true]);
  await Promise.all([provisions[1].withdraw(), provisions[1].withdraw()]);
  expect([space.maps.size, rig.known.size]).toEqual([0, 0]);
  // And the next one's are new.
  const next = rig.space();
  await rig.provide(3, next);
  expect(next.maps.size).toBe(1);
});

test("what a port leaves behind is taken away with it", async () => {
  const rig = new Rig();
  const space = rig.space();
  await rig.provide(0, space);
  await rig.share(1, [MIB, MIB], [4 * MIB, MIB]);
  await rig.registry.end(1);
  expect([space.maps.size, rig.known.size]).toEqual([0, 0]);
  rig.lane(0, 7, 5);
  await rig.registry.end(0);
  expect([rig.registry.reaches(0), rig.words[TX_REAPED]]).toEqual([false, 7]);
});

test("a region without room is copied, the others are not, and room that comes is used by the next NIC", async () => {
  const rig = new Rig();
  const small = rig.space(2 * MIB);
  const provision = await rig.provide(0, small);
  await rig.share(1, [MIB, MIB], [4 * MIB, 2 * MIB], [8 * MIB, MIB]);
  expect([...small.maps.values()]).toEqual([MIB, MIB]);
  expect(rig.warnings).toEqual(["memory is not mapped for the NICs, frames are copied: no room"]);
  expect(rig.registry.details(1)).toEqual({ zeroCopy: "2 MiB of 4 MiB: no room" });
  expect(rig.registry.details(0)).toEqual({ zeroCopy: "yes, 2 MiB of other ports' memory mapped" });
  await provision.withdraw();
  const large = rig.space();
  await rig.provide(0, large);
  expect(rig.registry.details(1)).toEqual({ zeroCopy: "yes, 4 MiB" });
});

const anyStep = fc.record({
  do: fc.constantFrom("share", "release", "provide", "withdraw", "post"),
  which: fc.nat(3),
  wait: fc.boolean(),
});

test("whatever comes and goes at once: what workers know is mapped, and nothing stays", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 30 }), async (steps) => {
      const rig = new Rig();
      const spaces = [rig.space(), rig.space(6 * MIB, "iommufd")];
      rig.onReap = () => {
        for (let port = 0; port < 4; port++) rig.lane(port, 5, 5);
      };
      const shares: (Promise<MemoryShare> | undefined)[] = [];
      const provisions: (Promise<DmaProvision> | undefined)[] = [];
      const pending: Promise<unknown>[] = [];
      for (const { do: action, which, wait } of steps) {
        const before = pending.length;
        if (action === "share" && shares[which] === undefined) {
          shares[which] = rig.share(4 + which, [which * 8 * MIB + MIB, MIB], [which * 8 * MIB + 4 * MIB, 2 * MIB]);
          pending.push(shares[which]);
        } else if (action === "release" && shares[which] !== undefined) {
          pending.push(shares[which].then((share) => share.release()));
          shares[which] = undefined;
          // Its memory is not shared again before it has gone.
          await pending.at(-1);
        } else if (action === "provide" && provisions[which] === undefined) {
          provisions[which] = rig.provide(which, spaces[which % 2]);
          pending.push(provisions[which]);
        } else if (action === "withdraw" && provisions[which] !== undefined) {
          pending.push(provisions[which].then((provision) => provision.withdraw()));
          provisions[which] = undefined;
          await pending.at(-1);
        } else if (action === "post") rig.lane(which, 5, 3);
        if (wait && pending.length > before) await pending.at(-1);
        const mapped = new Set(spaces.flatMap(({ maps }) => [...maps.keys()]));
        for (const { iova } of rig.known.values()) expect(mapped.has(iova)).toBe(true);
      }
      await Promise.all(pending);
      for (const share of shares) await (await share)?.release();
      for (const provision of provisions) await (await provision)?.withdraw();
      expect([rig.known.size, ...spaces.map(({ maps }) => maps.size)]).toEqual([0, 0, 0]);
    }),
    { numRuns: 100 },
  );
});
