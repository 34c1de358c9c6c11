// Rules on the whole switch over memory ports: what an operator asks for, what frames meet, ports that come and go meanwhile,
// and that a trace says what then happens.

import { describe, expect, test } from "bun:test";
import { meterFromObject } from "../../src/control/rules/meter-spec.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import type { TraceInfo } from "../../src/control/rules/rules-api.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { BROADCAST, frame, mac, numbered, readNumbered } from "../support/frames.ts";
import { MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();

const add = (it: MemorySwitch, text: string) => it.api.rules.add(parseRule(text));
const put = (it: MemorySwitch, ...texts: string[]) =>
  it.api.rules.put({ ...it.api.rules.number(texts.map(parseRule)), meters: it.api.rules.set().meters });
const arrived = (it: MemorySwitch, name: string) => it.drain(name).map(({ frame }) => frame);
const VLAN_OF = { b: 1, c: 2 };

/** The tag's id, and the number of the frame without it. */
function untagged(bytes: Uint8Array): { vlan: number; number?: number } {
  const frame = Uint8Array.from([...bytes.subarray(0, 12), ...bytes.subarray(16)]);
  return { vlan: bytes[14] * 256 + bytes[15], number: readNumbered(frame)?.number };
}

const verdict = (steps: TraceInfo[]) => steps.at(-1)?.data;

for (const cpus of [[], [0, 1]]) {
  describe(`with ${cpus.length === 0 ? 1 : cpus.length} workers`, () => {
    test("a rule drops, forwards and counts from the moment that it is added", async () => {
      const it = await start({ cpus }, "a", "b", "c");
      const id = (await add(it, "in a drop")).id;
      it.send("a", frame(BROADCAST, mac(1)));
      await it.settled();
      expect(it.drops("a")).toEqual({ rule: 1 });
      // A rule's counters may come after the port's.
      await until("the rule's counters", () => it.api.rules.list()[0].lastHitS !== undefined);
      expect(it.api.rules.list()).toMatchObject([{ id, frames: 1, bytes: 64 }]);
      await put(it, "in a forward c");
      it.send("a", frame(mac(9), mac(1)));
      expect(await it.receive("c", 1)).toEqual([frame(mac(9), mac(1))]);
      await it.api.rules.delete(it.api.rules.list().map(({ id }) => id));
      it.send("a", frame(BROADCAST, mac(1)));
      await it.settled();
      expect([arrived(it, "b").length, arrived(it, "c").length]).toEqual([1, 1]);
    });

    test("each frame meets the rules of before or of after a replacement, never some of both", async () => {
      const it = await start({ cpus }, "a", "b", "c");
      const lead = (name: "b" | "c") =>
        put(it, `prio 9 in a set vlan ${VLAN_OF[name]} continue`, `prio 8 in a forward ${name}`);
      await lead("b");
      const sent = 3000;
      const seen: { name: string; vlan: number; number?: number }[] = [];
      const take = () => {
        for (const name of ["b", "c"]) for (const bytes of arrived(it, name)) seen.push({ name, ...untagged(bytes) });
      };
      let number = 0;
      let replacing: Promise<void> | undefined;
      for (let turn = 0; number < sent; turn++) {
        // No more than the receivers' rings hold: none is dropped for want of a buffer.
        const room = () => number - seen.length < 128;
        while (number < sent && room() && it.trySend("a", numbered(mac(9), mac(1), 1, number))) number++;
        replacing ??= lead(turn % 2 === 0 ? "c" : "b").finally(() => {
          replacing = undefined;
        });
        await Bun.sleep(0);
        take();
      }
      await replacing;
      await it.settled();
      take();
      expect(seen.map(({ number }) => number ?? -1).sort((x, y) => x - y)).toEqual(
        Array.from({ length: sent }, (_, n) => n),
      );
      expect(new Set(seen.map(({ name, vlan }) => `${name} ${vlan}`))).toEqual(new Set(["b 1", "c 2"]));
    });

    test("a port that takes the index of one that went is not meant by its rules", async () => {
      const it = await start({ cpus }, "a", "b", "c");
      const { index } = it.api.port("a");
      await add(it, "in a drop");
      await add(it, "in c forward a");
      await it.api.removePort("a");
      expect(it.api.rules.list().map(({ inactive }) => inactive)).toEqual(["no port a", "no port a"]);
      await it.add("other");
      expect(it.api.port("other").index).toBe(index);
      it.send("other", frame(BROADCAST, mac(1)));
      expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(1))]);
      it.send("c", frame(mac(1), mac(3)));
      await it.settled();
      expect(it.drops("c")).toEqual({ no_destination: 1 });
      expect(it.drain("other")).toEqual([]);
      // The name is back, at another index, and so is the rule.
      await it.add("a");
      it.drain("c");
      it.send("a", frame(BROADCAST, mac(5)));
      it.send("c", frame(mac(1), mac(3)));
      expect(await it.receive("a", 1)).toEqual([frame(mac(1), mac(3))]);
      await it.settled();
      expect(it.drops("a")).toEqual({ rule: 1 });
    });
  });
}

test("a meter drops what exceeds it, and shows it", async () => {
  const it = await start({}, "a", "b");
  await it.api.rules.setMeter(meterFromObject("m", { rate: "1 frames/s", burst: "2 frames" }));
  await add(it, "in a meter m");
  for (let n = 0; n < 5; n++) it.send("a", frame(BROADCAST, mac(1)));
  await it.settled();
  expect(it.drops("a")).toEqual({ meter: 3 });
  await until("the meter's counters", () => it.api.rules.meters()[0].frames === 5);
  expect(it.api.rules.meters()).toMatchObject([{ name: "m", frames: 5, dropped: 3, rules: [1] }]);
});

test("frames that a rule logs are in the log, with names", async () => {
  const entries: Record<string, unknown>[] = [];
  const info = (facts: Record<string, unknown>, message: string) => {
    if (message === "a rule logged a frame") entries.push(facts);
  };
  const api = await createSwitch({}, { info, warn() {}, error() {} });
  try {
    const it = new MemorySwitch(api);
    await it.add("a");
    await add(it, "log");
    it.send("a", frame(BROADCAST, mac(1), 70));
    await until("the log", () => entries.length > 0);
    expect(entries).toEqual([
      { rule: 1, port: "a", length: 70, frame: expect.stringMatching(/^ffffffffffff02000000000188b5/) },
    ]);
  } finally {
    await api.close();
  }
});

test("of a flood that a rule logs, the log has a hundred frames a second, and how many more they were", async () => {
  let entries = 0;
  let lost = 0;
  const info = (_: object, message: string) => {
    if (message === "a rule logged a frame") entries++;
  };
  const warn = (facts: object, message: string) => {
    if (message === "rules logged more frames than could be taken") lost += (facts as { lost: number }).lost;
  };
  const api = await createSwitch({}, { info, warn, error() {} });
  try {
    const it = new MemorySwitch(api);
    await it.add("a");
    await add(it, "log");
    for (let n = 0; n < 250; n++) it.send("a", frame(BROADCAST, mac(1)));
    // All within two seconds of the switch, or three.
    await until("every frame to be told of", () => entries + lost === 250);
    expect(lost).toBeGreaterThanOrEqual(50);
    expect(entries).toBeGreaterThanOrEqual(100);
    it.send("a", frame(BROADCAST, mac(1)));
    const before = entries;
    await until("the next one", () => entries === before + 1);
  } finally {
    await api.close();
  }
});

describe("a trace says what then happens to the frame", () => {
  const cases: [string, string[], Uint8Array, object][] = [
    ["no rule: the unknown is flooded", [], frame(mac(9), mac(1)), { do: "send", ports: ["b", "c"], mirrors: [] }],
    ["no rule: the known is forwarded", [], frame(mac(3), mac(1)), { do: "send", ports: ["c"], mirrors: [] }],
    ["no rule: back to its own port", [], frame(mac(7), mac(1)), { do: "drop", reason: "own_port", mirrors: [] }],
    ["a bad source", ["forward b"], frame(mac(2), BROADCAST), { do: "drop", reason: "bad_source", mirrors: [] }],
    [
      "a reserved destination",
      [],
      frame([1, 0x80, 0xc2, 0, 0, 0], mac(1)),
      { do: "drop", reason: "reserved", mirrors: [] },
    ],
    ["drop", ["in a drop"], frame(mac(3), mac(1)), { do: "drop", reason: "rule", mirrors: [] }],
    ["forward", ["in a forward b"], frame(mac(3), mac(1)), { do: "send", ports: ["b"], mirrors: [] }],
    ["flood", ["in a flood"], frame(mac(3), mac(1)), { do: "send", ports: ["b", "c"], mirrors: [] }],
    ["mirror and drop", ["in a mirror c drop"], frame(mac(3), mac(1)), { do: "drop", reason: "rule", mirrors: ["c"] }],
    [
      "continue",
      ["prio 9 count", "prio 8 forward b", "prio 7 drop"],
      frame(mac(3), mac(1)),
      { do: "send", ports: ["b"], mirrors: [] },
    ],
    ["no match", ["in b drop", "vlan 5 drop"], frame(mac(3), mac(1)), { do: "send", ports: ["c"], mirrors: [] }],
  ];
  test.each(cases)("%s", async (_, texts, bytes, expected) => {
    const it = await start({}, "a", "b", "c");
    // Learned: 3 is at c, 7 at a.
    it.send("c", frame(BROADCAST, mac(3)));
    it.send("a", frame(BROADCAST, mac(7)));
    await it.settled();
    for (const name of ["a", "b", "c"]) it.drain(name);
    await put(it, ...texts);
    const before = [it.api.stats().totals, it.api.rules.list(), it.drops("a")];
    const traced = verdict(it.api.rules.trace("a", { bytes })) as {
      do: string;
      ports?: string[];
      mirrors: string[];
      reason?: string;
    };
    expect(traced).toEqual(expected as typeof traced);
    expect([it.api.stats().totals, it.api.rules.list(), it.drops("a")]).toEqual(before);
    it.send("a", bytes);
    await it.settled();
    const outputs = ["a", "b", "c"].filter((name) => it.drain(name).length > 0);
    expect(outputs).toEqual([...(traced.ports ?? []), ...traced.mirrors].sort());
    expect(it.drops("a")).toEqual(traced.reason === undefined ? {} : { [traced.reason]: 1 });
  });

  test("a forward to ports that have gone", async () => {
    const it = await start({}, "a", "b");
    await add(it, "in a forward b");
    await it.api.removePort("b");
    expect(verdict(it.api.rules.trace("a", { bytes: frame(mac(3), mac(1)) }))).toEqual({
      ...{ do: "drop", reason: "no_destination", mirrors: [] },
    });
  });
});
