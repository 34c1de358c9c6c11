// A port that meets its limit of addresses where its policy says "shutdown", on real workers: blocked, forgotten, tried again.

import { expect, test } from "bun:test";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { useMemorySwitch } from "../../support/memory-switch.ts";
import { PATIENCE, until } from "../../support/until.ts";

const start = useMemorySwitch();
const LIMIT = 3;
const LIMIT_MS = 30_000 * PATIENCE;

test(
  "it is blocked with one address too many, and open again after a while with none",
  async () => {
    const it = await start({}, "a", "b");
    await it.api.setPort("a", { macLimit: LIMIT });
    // Long enough for a test that waits for a processor to see the block.
    await it.api.policy.setPort("a", { limitAction: "shutdown", recoverS: 3 });
    for (let n = 1; n <= LIMIT; n++) it.send("a", frame(BROADCAST, mac(n)));
    expect(await it.receive("b", LIMIT)).toHaveLength(LIMIT);
    await it.settled();
    expect(it.api.port("a").blocked).toBeUndefined();
    it.send("a", frame(BROADCAST, mac(LIMIT + 1)));
    await until("the port to be blocked", () => it.api.port("a").blocked === "mac-limit");
    expect(it.drops("a")).toEqual({ mac_limit: 1 });
    await until("its addresses to be forgotten", () => it.api.port("a").macs === 0);
    await until("the port to be open", () => it.api.port("a").blocked === undefined);
    expect(it.api.port("a")).toMatchObject({ blocks: 1 });
    it.send("a", frame(BROADCAST, mac(LIMIT + 1)));
    expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(LIMIT + 1))]);
  },
  LIMIT_MS,
);

test(
  "what was said of a port blocks no other one that gets its index",
  async () => {
    const it = await start({}, "a", "b");
    for (const name of ["a", "b"]) {
      await it.api.setPort(name, { macLimit: 1 });
      await it.api.policy.setPort(name, { limitAction: "shutdown" });
    }
    it.send("a", frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)));
    await it.settled();
    // Before the switch looks what its workers said, as a rule.
    await it.api.removePort("a");
    await it.add("a");
    it.send("b", frame(BROADCAST, mac(3)), frame(BROADCAST, mac(4)));
    await until("the other port to be blocked", () => it.api.port("b").blocked === "mac-limit");
    expect(it.api.port("a")).not.toHaveProperty("blocks");
  },
  LIMIT_MS,
);
