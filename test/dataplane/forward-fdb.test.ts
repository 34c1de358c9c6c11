// What the running switch learns, forgets and refuses to learn, as seen by where frames go afterwards. The table itself
// is tested in fdb*.test.ts.

import { describe, expect, test } from "bun:test";
import { BROADCAST, frame, mac, macText } from "../support/frames.ts";
import type { MemorySwitch } from "../support/memory-switch.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();

/** Addresses and their ports, sorted. */
async function table(it: MemorySwitch): Promise<string[]> {
  const { entries } = await it.api.fdb();
  return entries.map(({ mac, port }) => `${mac} ${port}`).sort();
}

/** Names of the ports at which a frame from `name` arrives. */
async function reached(
  it: MemorySwitch,
  name: string,
  to: readonly number[],
  from: readonly number[],
): Promise<string> {
  await it.settled();
  const names = it.api.ports().map((port) => port.name);
  for (const other of names) it.drain(other);
  it.send(name, frame(to, from));
  await it.settled();
  return names.filter((other) => it.drain(other).length > 0).join();
}

describe("learning", () => {
  test("a station that moves is found at its new port with its next frame", async () => {
    const it = await start({}, "a", "b", "c");
    expect(await reached(it, "b", BROADCAST, mac(2))).toBe("a,c");
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b");
    expect(await reached(it, "c", mac(1), mac(2))).toBe("a");
    expect(await reached(it, "a", mac(2), mac(1))).toBe("c");
    expect((await it.api.fdb()).counters).toMatchObject({ learned: 2, moved: 1 });
    expect(await table(it)).toEqual([`${macText(mac(1))} a`, `${macText(mac(2))} c`]);
  });

  test("counts addresses per port, and shows those of one", async () => {
    const it = await start({}, "a", "b");
    it.send("a", frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)), frame(BROADCAST, mac(1)));
    it.send("b", frame(BROADCAST, mac(3)));
    await it.settled();
    expect([it.api.port("a").macs, it.api.port("b").macs]).toEqual([2, 1]);
    expect((await it.api.fdb("b")).entries).toMatchObject([{ mac: macText(mac(3)), port: "b", static: false }]);
  });
});

describe("forgetting", () => {
  test("an address not seen for the ageing time floods again", async () => {
    const it = await start({ ageingS: 1 }, "a", "b", "c");
    it.send("b", frame(BROADCAST, mac(2)));
    await it.settled();
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b");
    await until("the end of the ageing time", async () => (await it.api.fdb()).entries.length === 0);
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b,c");
  });

  test("a longer ageing time, set while it runs, keeps it", async () => {
    const it = await start({ ageingS: 1 }, "a", "b", "c");
    it.api.configure({ ageingS: 100 });
    it.send("b", frame(BROADCAST, mac(2)));
    await until("an age beyond the first limit", async () => {
      const { entries } = await it.api.fdb();
      return entries.some((entry) => entry.ageS >= 2);
    });
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b");
  });

  test("flushing a port forgets what was learned there; flushing all, everything; static entries stay", async () => {
    const it = await start({}, "a", "b", "c");
    it.send("a", frame(BROADCAST, mac(1)));
    it.send("b", frame(BROADCAST, mac(2)), frame(BROADCAST, mac(3)));
    await it.settled();
    it.api.fdbAdd(macText(mac(9)), "b");
    expect(await it.api.fdbFlush("b")).toBe(2);
    expect(await table(it)).toEqual([`${macText(mac(1))} a`, `${macText(mac(9))} b`]);
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b,c");
    expect(await it.api.fdbFlush()).toBe(1);
    expect(await reached(it, "a", mac(9), mac(1))).toBe("b");
  });

  test("removing a port forgets its addresses, static ones too", async () => {
    const it = await start({}, "a", "b", "c");
    it.send("b", frame(BROADCAST, mac(2)));
    await it.settled();
    it.api.fdbAdd(macText(mac(9)), "b");
    await it.api.removePort("b");
    expect(await table(it)).toEqual([]);
    expect(await reached(it, "a", mac(2), mac(1))).toBe("c");
    expect(await reached(it, "a", mac(9), mac(1))).toBe("c");
  });
});

describe("static entries", () => {
  test("bind an address to a port, whoever claims it", async () => {
    const it = await start({}, "a", "b", "c");
    it.api.fdbAdd(macText(mac(2)), "b");
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b");
    it.send("c", frame(BROADCAST, mac(2)));
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b");
    expect((await it.api.fdb()).entries.find((entry) => entry.static)).toMatchObject({
      mac: macText(mac(2)),
      port: "b",
    });
    it.api.fdbDelete(macText(mac(2)));
    expect(await reached(it, "a", mac(2), mac(1))).toBe("b,c");
    expect(() => it.api.fdbDelete(macText(mac(2)))).toThrow("no address");
  });

  test("of a port that is down drop what comes for it", async () => {
    const it = await start({}, "a", "b", "c");
    it.api.fdbAdd(macText(mac(2)), "b");
    await it.api.setPort("b", { link: "down" });
    expect(await reached(it, "a", mac(2), mac(1))).toBe("");
    expect(it.drops("b")).toEqual({ link_down: 1 });
  });
});

describe("limits", () => {
  /** Sends `count` frames from as many addresses; all of them are taken, none waits. */
  async function spray(it: MemorySwitch, name: string, first: number, count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      it.send(name, frame(BROADCAST, mac(first + n)));
      if (n % 64 === 63) await it.settled();
    }
    await it.settled();
  }

  test("a port at its own limit pushes out its own addresses", async () => {
    const it = await start({}, "a", "b");
    await it.api.setPort("a", { macLimit: 4 });
    await spray(it, "b", 1000, 6);
    await spray(it, "a", 1, 20);
    expect([it.api.port("a").macs, it.api.port("b").macs]).toEqual([4, 6]);
    expect((await it.api.fdb()).counters.evicted).toBe(16);
    // The newest are kept.
    expect(await reached(it, "b", mac(20), mac(1000))).toBe("a");
  });

  test("lowering the limit evicts at once, and 0 learns nothing", async () => {
    const it = await start({}, "a", "b", "c");
    await spray(it, "a", 1, 10);
    expect((await it.api.setPort("a", { macLimit: 3 })).macs).toBe(3);
    expect((await it.api.setPort("a", { macLimit: 0 })).macs).toBe(0);
    await spray(it, "a", 1, 10);
    expect(it.api.port("a").macs).toBe(0);
    expect(await reached(it, "b", mac(5), mac(1000))).toBe("a,c");
  });

  test("a limit goes with its port: the next port in its place has the switch's", async () => {
    const it = await start({}, "a", "b");
    await it.api.setPort("b", { macLimit: 2 });
    const { index } = it.api.port("b");
    await it.api.removePort("b");
    await it.add("c");
    expect(it.api.port("c").index).toBe(index);
    await spray(it, "c", 1, 10);
    expect(it.api.port("c").macs).toBe(10);
  });

  test("a port that floods addresses pushes out its own, and the others keep theirs", async () => {
    const it = await start({ macLimit: 64 }, "flooder", "b", "c");
    await spray(it, "b", 1000, 8);
    await spray(it, "c", 2000, 1);
    await spray(it, "flooder", 3000, 1000);
    expect((await it.api.fdb()).entries.length).toBe(64);
    expect([it.api.port("flooder").macs, it.api.port("b").macs, it.api.port("c").macs]).toEqual([55, 8, 1]);
    for (let n = 0; n < 8; n++) expect(await reached(it, "c", mac(1000 + n), mac(2000))).toBe("b");
    expect(await reached(it, "b", mac(2000), mac(1000))).toBe("c");
  });
});
