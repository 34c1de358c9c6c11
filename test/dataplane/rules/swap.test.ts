// Rules replaced under load in a running switch: every frame is judged by the rules of before or of after, whole; none is lost,
// none comes twice, each sender's stay in order. Meters and counters of two workers add up.

import { describe, expect, test } from "bun:test";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { frame, mac, numbered, readNumbered } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";
import { sized } from "../../support/scale.ts";
import { until } from "../../support/until.ts";

const start = useMemorySwitch();
const SENDERS = ["s0", "s1", "s2", "s3"];
const IN_FLIGHT = 32;

function put(it: MemorySwitch, ...texts: string[]): Promise<void> {
  return it.api.rules.put({ ...it.api.rules.number(texts.map(parseRule)), meters: it.api.rules.set().meters });
}

/** Rules that no frame of the test meets, of shapes of their own: with them the compiled functions change, too. */
function filler(of: string, count: number): string[] {
  return Array.from({ length: count }, (_, k) =>
    of === "b"
      ? `prio 100 ip src 10.0.${k % 256}.0/24 drop`
      : `prio 100 ip dst 10.${k % 256}.0.0/${16 + (k % 8)} udp drop`,
  );
}

for (const cpus of [[0], [0, 1]]) {
  test(
    `replaced again and again, ${cpus.length} workers: every frame meets one of both, once and in order`,
    async () => {
      const it = await start({ cpus }, ...SENDERS);
      for (const name of ["b", "c"]) await it.add(name, "size=1024");
      // Two rules each: a mixture of the two sets would show as a tag at the wrong port, or none.
      const sets = [
        [...filler("b", 50), "prio 9 set vlan 1 continue", "prio 8 forward b"],
        [...filler("c", 50), "prio 9 set vlan 2 continue", "prio 8 forward c"],
      ];
      await put(it, ...sets[0]);
      const next = SENDERS.map(() => 0);
      const seen = SENDERS.map(() => new Set<number>());
      const met = new Set<string>();
      const last = new Map<string, number>();
      const note = (name: string, bytes: Uint8Array) => {
        met.add(`${name} ${bytes[14] * 256 + bytes[15]}`);
        const { sender, number } = readNumbered(Uint8Array.from([...bytes.subarray(0, 12), ...bytes.subarray(16)]))!;
        if (seen[sender].has(number)) throw new Error(`${name}: frame ${number} of ${sender} again`);
        seen[sender].add(number);
        const way = `${name} ${sender}`;
        if (number < (last.get(way) ?? -1)) throw new Error(`${way}: frame ${number} behind ${last.get(way)}`);
        last.set(way, number);
      };
      const collect = (name: string) => {
        for (const { frame: bytes } of it.drain(name)) note(name, bytes);
      };
      const wanted = sized(200, 5_000);
      let replaced = 0;
      const replacing = (async () => {
        for (; replaced < wanted; replaced++) await put(it, ...sets[(replaced + 1) % 2]);
      })();
      while (replaced < wanted) {
        for (const [k, name] of SENDERS.entries()) {
          for (let n = 0; n < IN_FLIGHT; n++) it.send(name, numbered(mac(99), mac(k + 1), k, next[k]++));
        }
        await until(
          "all that was sent",
          () => {
            for (const name of ["b", "c"]) collect(name);
            return seen.every((numbers, k) => numbers.size === next[k]);
          },
          { everyMs: 0, context: () => JSON.stringify([next, seen.map(({ size }) => size), it.api.stats().totals]) },
        );
      }
      await replacing;
      expect(met).toEqual(new Set(["b 1", "c 2"]));
      expect(it.api.stats().totals.dropped).toBe(0);
    },
    sized(60_000, 1_200_000),
  );
}

describe("two workers", () => {
  test("share a meter's tokens to the last, and count every frame once", async () => {
    const it = await start({ cpus: [0, 1] }, ...SENDERS);
    await it.add("b", "size=1024");
    expect(new Set(SENDERS.map((name) => it.api.port(name).queues[0].worker))).toEqual(new Set([0, 1]));
    await it.api.rules.setMeter({ name: "m", unit: "frames", rate: 1e-6, burst: 100 });
    await put(it, "prio 5 meter m forward b");
    for (let round = 0; round < 10; round++) {
      for (const [k, name] of SENDERS.entries()) {
        for (let n = 0; n < 10; n++) it.send(name, frame(mac(99), mac(k + 1)));
      }
      await it.settled();
    }
    expect(it.drain("b").length).toBe(100);
    expect(SENDERS.reduce((sum, name) => sum + it.drops(name).meter, 0)).toBe(300);
    await until("all counters", () => it.api.rules.list()[0].frames === 400);
    expect(it.api.rules.meters()[0]).toMatchObject({ frames: 400, dropped: 300 });
  });
});
