// Several workers, several senders, and ports that come and go meanwhile: each frame arrives exactly once, in the order of
// its sender, and every one is accounted for (memory-switch.ts). Senders are the test's own thread, so that they never
// wait for one another; receivers' rings are as large as what is in flight.

import { describe, expect, test } from "bun:test";
import { BROADCAST, frame, mac, macText, numbered, readNumbered } from "../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();
const ROUNDS = sized(300, 5_000);
const LIMIT_MS = sized(20_000, 300_000);
/** Frames that each port sends before all of them are collected. */
const IN_FLIGHT = 24;

/** Follows numbered frames at one port: complains about one that is missing, doubled or out of its sender's order. */
class Ledger {
  private readonly next = new Map<number, number>();

  constructor(private readonly name: string) {}

  note(bytes: Uint8Array): void {
    const { sender, number } = readNumbered(bytes) ?? { sender: -1, number: -1 };
    const expected = this.next.get(sender) ?? 0;
    if (number !== expected) throw new Error(`${this.name}: frame ${number} of sender ${sender}, expected ${expected}`);
    this.next.set(sender, number + 1);
  }

  get total(): number {
    return [...this.next.values()].reduce((sum, count) => sum + count, 0);
  }
}

/** Teaches the switch station mac(k + 1) at port names[k]. */
async function teach(it: MemorySwitch, names: string[]): Promise<void> {
  // One frame may not be enough: a worker whose neighbour has lost its CPU while changing the fdb does not wait for it.
  await until("every address to be learned", async () => {
    const known = new Set((await it.api.fdb()).entries.map((entry) => entry.mac));
    const missing = [...names.entries()].filter(([k]) => !known.has(macText(mac(k + 1))));
    for (const [k, name] of missing) it.send(name, frame(BROADCAST, mac(k + 1)));
    await it.settled();
    for (const name of names) it.drain(name);
    return missing.length === 0;
  });
}

/** Waits until `total` frames have come in over all ledgers. */
async function collect(it: MemorySwitch, ledgers: Map<string, Ledger>, total: number): Promise<void> {
  const seen = () => [...ledgers.values()].reduce((sum, ledger) => sum + ledger.total, 0);
  await until(
    `${total} frames`,
    () => {
      for (const [name, ledger] of ledgers) {
        const driver = it.driver(name);
        for (let bytes = driver.receive(); bytes !== null; bytes = driver.receive()) ledger.note(bytes);
      }
      return seen() >= total;
    },
    { everyMs: 0, context: () => JSON.stringify(it.api.stats()) },
  );
  expect(seen()).toBe(total);
}

for (const cpus of [[0], [0, 1]]) {
  test(
    `eight ports, each to each, ${cpus.length} workers: once and in order`,
    async () => {
      const names = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];
      const it = await start({ cpus }, ...names);
      await teach(it, names);
      const ledgers = new Map(names.map((name) => [name, new Ledger(name)]));
      // Frames between two ports are numbered by themselves: `sender` says from and to.
      const counts = new Map<number, number>();
      let total = 0;
      for (let round = 0; round < ROUNDS / 4; round++) {
        for (let n = 0; n < IN_FLIGHT; n++) {
          for (let from = 0; from < names.length; from++) {
            const to = (from + 1 + ((n + round) % 7)) % names.length;
            const pair = from * 16 + to;
            const number = counts.get(pair) ?? 0;
            counts.set(pair, number + 1);
            it.send(names[from], numbered(mac(to + 1), mac(from + 1), pair, number, 60 + ((number * 53) % 1400)));
            total++;
          }
        }
        await collect(it, ledgers, total);
      }
      expect(it.api.stats().totals.dropped).toBe(0);
      const workers = it.api.stats().workers.filter((worker) => worker.busyBreaths > 0);
      expect(workers.length).toBe(cpus.length);
    },
    LIMIT_MS,
  );
}

test(
  "two workers deliver into one port, under its lock: nothing lost, nothing twice",
  async () => {
    const senders = ["s0", "s1", "s2", "s3"];
    const it = await start({ cpus: [0, 1] }, ...senders);
    await it.add("sink", "size=1024");
    const owners = senders.map((name) => it.api.port(name).queues[0].worker);
    expect(new Set(owners)).toEqual(new Set([0, 1]));
    await teach(it, [...senders, "sink"]);
    const ledger = new Map([["sink", new Ledger("sink")]]);
    let number = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (let n = 0; n < 100; n++, number++) {
        for (const [k, name] of senders.entries()) it.send(name, numbered(mac(5), mac(k + 1), k, number));
      }
      await collect(it, ledger, number * senders.length);
    }
    expect(it.api.stats().totals.dropped).toBe(0);
  },
  LIMIT_MS,
);

describe("under traffic", () => {
  /** Sends from a to b as fast as b is drained, until `done`; returns how many, all of which have arrived in order. */
  async function pump(it: MemorySwitch, done: Promise<unknown>): Promise<number> {
    let running = true;
    void done.finally(() => {
      running = false;
    });
    const ledger = new Map([["b", new Ledger("b")]]);
    let number = 0;
    while (running) {
      for (let n = 0; n < IN_FLIGHT; n++) {
        it.send("a", numbered(mac(2), mac(1), 0, number++));
        // And what goes to the port that comes and goes: flooded while nobody has the address there.
        it.trySend("a", frame(mac(3), mac(1)));
      }
      await until(
        "frames at b",
        () => {
          const driver = it.driver("b");
          for (let bytes = driver.receive(); bytes !== null; bytes = driver.receive()) {
            if (readNumbered(bytes)?.number !== 0x5a5a5a5a) ledger.get("b")?.note(bytes);
          }
          return ledger.get("b")?.total === number;
        },
        { everyMs: 0 },
      );
    }
    await done;
    return number;
  }

  for (const cpus of [[0], [0, 1]]) {
    test(
      `a port is added, used and removed again and again, ${cpus.length} workers: the others lose nothing`,
      async () => {
        const it = await start({ cpus }, "a", "b");
        await teach(it, ["a", "b"]);
        const changes = async () => {
          for (let turn = 0; turn < sized(25, 1000); turn++) {
            await it.add("c", "size=512");
            // Learned there, so that the next frames to mac(3) are unicast when the port goes.
            it.send("c", frame(mac(1), mac(3)));
            await until("mac(3) at c", () => it.api.port("c").macs === 1, { everyMs: 0 });
            it.drain("a");
            await it.api.removePort("c");
          }
        };
        const count = await pump(it, changes());
        expect(count).toBeGreaterThan(IN_FLIGHT);
        await it.settled();
        expect(it.drops("b")).toEqual({});
      },
      LIMIT_MS,
    );
  }

  test(
    "a link that flaps loses only its own frames",
    async () => {
      const it = await start({ cpus: [0, 1] }, "a", "b", "c");
      await teach(it, ["a", "b", "c"]);
      const flaps = async () => {
        for (let turn = 0; turn < sized(200, 10_000); turn++) {
          await it.api.setPort("c", { link: turn % 2 === 0 ? "down" : "up" });
          await Bun.sleep(0);
        }
      };
      await pump(it, flaps());
      await it.settled();
      expect(it.drops("b")).toEqual({});
      expect(Object.keys(it.drops("c")).filter((reason) => reason !== "link_down" && reason !== "no_buffer")).toEqual(
        [],
      );
    },
    LIMIT_MS,
  );
});
