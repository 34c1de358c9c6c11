// Shapes and schedulers that come, change and go under load: no frame is lost, none comes twice, each sender's stay in order.

import { expect, test } from "bun:test";
import type { PortSettings } from "../../../src/control/policy/named-policy.ts";
import { mac, numbered, readNumbered } from "../../support/frames.ts";
import { useMemorySwitch } from "../../support/memory-switch.ts";
import { sized } from "../../support/scale.ts";
import { until } from "../../support/until.ts";

const start = useMemorySwitch();
const SENDERS = ["s0", "s1", "s2", "s3"];
const IN_FLIGHT = 16;

/** What port b is told, one after the other. */
const SETTINGS: PortSettings[] = [
  { shape: { unit: "frames", rate: 100_000, burst: 10 } },
  {},
  { scheduler: [1, 2, 3, 4, 5, 6, 7, 8] },
  { shape: { unit: "bits", rate: 20_000_000, burst: 8_000 }, scheduler: [8, 7, 6, 5, 4, 3, 2, 1] },
  { shape: { unit: "frames", rate: 1_000_000, burst: 1000 } },
];

for (const cpus of [[0], [0, 1]]) {
  test(
    `${cpus.length} workers`,
    async () => {
      const it = await start({ cpus }, ...SENDERS);
      await it.add("b", "size=1024");
      const next = SENDERS.map(() => 0);
      const got = SENDERS.map(() => 0);
      const collect = () => {
        for (const { frame } of it.drain("b")) {
          const { sender, number } = readNumbered(frame)!;
          if (number !== got[sender]) throw new Error(`frame ${number} of ${sender}, not ${got[sender]}`);
          got[sender]++;
        }
      };
      const wanted = sized(100, 2_000);
      let changed = 0;
      const changing = (async () => {
        for (; changed < wanted; changed++) {
          const priorities = SENDERS.map((name, k): [string, PortSettings] => [name, { priority: (k * 3) & 7 }]);
          const ports = new Map([...priorities, ["b", SETTINGS[changed % SETTINGS.length]]]);
          await it.api.policy.set({ ports, vlans: [], mirrors: [] });
        }
      })();
      while (changed < wanted) {
        for (const [k, name] of SENDERS.entries()) {
          for (let n = 0; n < IN_FLIGHT; n++) it.send(name, numbered(mac(99), mac(k + 1), k, next[k]++));
        }
        await until(
          "all that was sent",
          () => {
            collect();
            return got.every((count, k) => count === next[k]);
          },
          { everyMs: 0, context: () => JSON.stringify([next, got, it.api.stats().totals]) },
        );
      }
      await changing;
      // Of the flood, what was for the other senders had nobody to take it, and their rings may have been full.
      expect(it.drops("b")).toEqual({});
    },
    sized(60_000, 600_000),
  );
}
