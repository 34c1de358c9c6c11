// Flush, limits and the end of a port go through hundreds of thousands of addresses in turns with everything else, on a real
// switch: others see them half done. And what others do meanwhile is minded.

import { describe, expect, test } from "bun:test";
import type { SwitchApi } from "../../src/control/api.ts";
import { BROADCAST, frame, type Mac } from "../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { seenWhile } from "../support/turns.ts";

const start = useMemorySwitch();
/** Enough for many turns. */
const MANY = 200_000;
const LIMIT_MS = 60_000;

function station(n: number): Mac {
  return [0x02, 0, n >> 24, (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff];
}

/** Has the port learn the addresses from `first` on. */
async function learn(it: MemorySwitch, port: string, count = MANY, first = 0): Promise<void> {
  for (let n = first; n < first + count; n++) {
    const sent = frame(BROADCAST, station(n));
    while (!it.trySend(port, sent)) await it.settled();
  }
  await it.settled();
}

/** A switch whose port `a` has MANY addresses, and `b` one. */
async function filled(): Promise<MemorySwitch> {
  const it = await start({ macLimit: MANY + 100 }, "a", "b");
  await learn(it, "a");
  await learn(it, "b", 1, MANY);
  expect(macs(it.api)).toEqual([MANY, 1]);
  return it;
}

function macs(api: SwitchApi): number[] {
  return api.ports().map((port) => port.macs);
}

/** Does the work, and expects that others see the addresses of `a` become fewer. */
async function inTurns<T>({ api }: MemorySwitch, work: () => Promise<T>): Promise<T> {
  const { result, seen } = await seenWhile(work, () => api.ports().find(({ name }) => name === "a")?.macs ?? 0);
  expect(seen.filter((count) => count > 0 && count < MANY)).not.toEqual([]);
  return result;
}

describe("others have their turns while hundreds of thousands of addresses", () => {
  test(
    "are flushed",
    async () => {
      const it = await filled();
      expect(await inTurns(it, () => it.api.fdbFlush("a"))).toBe(MANY);
      expect(macs(it.api)).toEqual([0, 1]);
    },
    LIMIT_MS,
  );

  test(
    "are too many for a new limit",
    async () => {
      const it = await filled();
      expect((await inTurns(it, () => it.api.setPort("a", { macLimit: 10 }))).macs).toBe(10);
      expect((await it.api.fdb()).counters.evicted).toBe(MANY - 10);
    },
    LIMIT_MS,
  );

  test(
    "go with their port, and the next one of its index has none of them",
    async () => {
      const it = await filled();
      const { index } = it.api.port("a");
      const removed = inTurns(it, () => it.api.removePort("a"));
      // Asked for at once: it comes when nothing is left.
      await it.add("c");
      await removed;
      expect(it.api.port("c")).toMatchObject({ index, macs: 0 });
      expect((await it.api.fdb()).entries).toMatchObject([{ port: "b" }]);
    },
    LIMIT_MS,
  );

  test(
    "have no place in the VLAN of their port any more",
    async () => {
      const it = await filled();
      const ports = new Map([["a", { vlan: { mode: "access", vid: 10 } as const }]]);
      await inTurns(it, () => it.api.policy.set({ ports, vlans: [], mirrors: [] }));
      expect(macs(it.api)).toEqual([0, 0]);
    },
    LIMIT_MS,
  );
});

test(
  "a limit that is lowered and raised while a flush is under way is kept, and so is what is learned behind it",
  async () => {
    const it = await filled();
    const flushed = it.api.fdbFlush();
    const lowered = it.api.setPort("a", { macLimit: 5 });
    const raised = it.api.setPort("a", { macLimit: 50 });
    await learn(it, "a", 50, 2 * MANY);
    await Promise.all([flushed, lowered, raised]);
    await learn(it, "a", 100, 2 * MANY);
    expect(it.api.port("a")).toMatchObject({ macs: 50, macLimit: 50 });
  },
  LIMIT_MS,
);
