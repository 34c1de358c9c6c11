// The fdb of a running switch as an operator has it, on real workers: VLANs, sticky ports, addresses that flap.

import { describe, expect, test } from "bun:test";
import type { FdbEntry, SwitchApi, SwitchLog } from "../../src/control/api.ts";
import type { PortSettings } from "../../src/control/policy/named-policy.ts";
import { createSwitch } from "../../src/control/switch.ts";
import type { VlanMembership } from "../../src/dataplane/bridge/policy.ts";
import { BROADCAST, frame, mac, macText } from "../support/frames.ts";
import { MemorySwitch, quiet, useMemorySwitch } from "../support/memory-switch.ts";
import { turnsWhile } from "../support/turns.ts";
import { until } from "../support/until.ts";

const start = useMemorySwitch();
const STATION = macText(mac(1));
const access = (vid: number): PortSettings => ({ vlan: { mode: "access", vid } });
const TRUNK: VlanMembership = {
  mode: "trunk",
  allowed: [[10, 20]],
  native: 0,
  nativeTagged: false,
  tpid: 0x8100,
  map: [],
};

function obey(api: SwitchApi, ports: Record<string, PortSettings>): Promise<void> {
  return api.policy.set({ ports: new Map(Object.entries(ports)), vlans: [], mirrors: [] });
}

/** VLAN and port of what is known, by VLAN. */
async function known(api: SwitchApi, ...filter: Parameters<SwitchApi["fdb"]>): Promise<string[]> {
  const { entries } = await api.fdb(...filter);
  return entries.map(({ vlan, port }) => `${vlan ?? "-"} ${port}`).sort();
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message}`;
  }
  return "none";
}

describe("a pinned address", () => {
  test("is of the VLAN that is said, else of that of the port's untagged frames", async () => {
    const { api } = await start({}, "a", "b", "up");
    await obey(api, { a: access(10), up: { vlan: TRUNK } });
    api.fdbAdd(STATION, "a");
    api.fdbAdd(STATION, "b");
    api.fdbAdd(STATION, "up", 20);
    expect(await known(api)).toEqual(["1 b", "10 a", "20 up"]);
    expect([await known(api, "a"), await known(api, undefined, 20), await known(api, "a", 20)]).toEqual([
      ["10 a"],
      ["20 up"],
      [],
    ]);
    expect(refusal(() => api.fdbAdd(STATION, "up"))).toBe("BAD_OPTION: port up has no VLAN for untagged frames");
    expect(refusal(() => api.fdbAdd(STATION, "a", 20))).toBe("BAD_OPTION: port a does not belong to VLAN 20");
    api.fdbDelete(STATION, 20);
    expect(await known(api)).toEqual(["1 b", "10 a"]);
    expect(refusal(() => api.fdbDelete(STATION, 20))).toBe(`NOT_FOUND: no address ${STATION} in VLAN 20`);
    api.fdbDelete(STATION);
    expect(await known(api)).toEqual([]);
  });

  test("has no VLAN in a switch without VLANs", async () => {
    const { api } = await start({}, "a");
    expect(refusal(() => api.fdbAdd(STATION, "a", 10))).toBe("BAD_OPTION: port a does not belong to VLAN 10");
    api.fdbAdd(STATION, "a");
    expect((await api.fdb()).entries).toEqual([{ mac: STATION, port: "a", ageS: 0, static: true }]);
  });

  test("is where frames of its VLAN go, and those of others do not", async () => {
    const it = await start({}, "a", "b", "c");
    await obey(it.api, { a: access(10), b: access(10), c: access(20) });
    it.api.fdbAdd(STATION, "b");
    const sent = frame(mac(1), mac(2));
    it.send("a", sent);
    expect(await it.receive("b", 1)).toEqual([sent]);
    it.send("c", frame(mac(1), mac(3)));
    await it.settled();
    expect([it.drain("a"), it.drain("b")]).toEqual([[], []]);
    expect(it.drops("c")).toEqual({ no_destination: 1 });
  });
});

test("a flush is of all, of a port, of a VLAN, or of a port's addresses in a VLAN", async () => {
  const it = await start({}, "a", "b");
  const { api } = it;
  await obey(api, { a: access(10), b: access(20) });
  const learn = async () => {
    for (const [n, port] of ["a", "a", "b"].entries()) it.send(port, frame(BROADCAST, mac(n + 1)));
    await it.settled();
    expect(await known(api)).toEqual(["10 a", "10 a", "20 b"]);
  };
  await learn();
  expect([await api.fdbFlush("a", 20), await api.fdbFlush(undefined, 10)]).toEqual([0, 2]);
  expect(await known(api)).toEqual(["20 b"]);
  await learn();
  expect([await api.fdbFlush("b"), await api.fdbFlush()]).toEqual([1, 2]);
});

test("a port that goes to another VLAN is learned from anew, its neighbours are not", async () => {
  const it = await start({}, "a", "b", "c");
  await obey(it.api, { a: access(10), b: access(10), c: access(20) });
  for (const [n, port] of ["a", "b"].entries()) it.send(port, frame(BROADCAST, mac(n + 1)));
  await it.settled();
  expect(await known(it.api)).toEqual(["10 a", "10 b"]);
  await it.api.policy.setPort("a", access(20));
  expect(await known(it.api)).toEqual(["10 b"]);
});

test("many are shown, and counted by VLAN, while other work goes on", async () => {
  const { api } = await start({}, "a");
  const pinned = Array.from({ length: 30_000 }, (_, n) => macText(mac(1 + n)));
  for (const address of pinned) api.fdbAdd(address, "a");
  const learned = await turnsWhile(() => api.fdbLearned());
  expect(learned.turns).toBeGreaterThan(1);
  // Pinned ones are not learned.
  expect(learned.result).toEqual(new Map());
  const { result, turns } = await turnsWhile(() => api.fdb());
  expect(turns).toBeGreaterThan(1);
  expect(result.entries.map((entry) => entry.mac).sort()).toEqual(pinned.sort());
});

test("rows of a port end with the port, though another has its index by now", async () => {
  const it = await start({}, "a");
  const { api } = it;
  for (let n = 0; n < 2000; n++) api.fdbAdd(macText(mac(n)), "a");
  const rows = api.fdbRows("a").entries.pieces[Symbol.iterator]();
  const first: FdbEntry[] = rows.next().value ?? [];
  expect(new Set(first.map(({ port }) => port))).toEqual(new Set(["a"]));
  await api.removePort("a");
  await it.add("b");
  for (let n = 0; n < 2000; n++) api.fdbAdd(macText(mac(n)), "b");
  expect(rows.next()).toEqual({ value: undefined, done: true });
});

test("the addresses of a sticky port are shown as such", async () => {
  const it = await start({}, "a", "b");
  await obey(it.api, { a: { sticky: true } });
  it.send("a", frame(BROADCAST, mac(1)));
  it.send("b", frame(BROADCAST, mac(2)));
  await it.settled();
  it.send("b", frame(BROADCAST, mac(1)));
  await it.settled();
  const byMac = (await it.api.fdb()).entries.sort((a, b) => a.mac.localeCompare(b.mac));
  expect(byMac.map(({ port, sticky }) => [port, sticky])).toEqual([
    ["a", true],
    ["b", undefined],
  ]);
  expect(it.drops("b")).toEqual({ sticky: 1 });
});

test("an address that moves to and fro is said to, once, and listed; its moves are counted at the ports", async () => {
  const warnings: [Record<string, unknown>, string][] = [];
  const log: SwitchLog = { ...quiet, warn: (facts, message) => warnings.push([facts, message]) };
  const it = new MemorySwitch(await createSwitch({}, log));
  try {
    for (const port of ["a", "b", "c"]) await it.add(port);
    for (const port of ["a", "b", "a", "b", "a", "b"]) {
      it.send(port, frame(mac(9), mac(1)));
      await it.settled();
    }
    await until("the second to be over", async () => (await it.api.fdb()).flapping !== undefined);
    const flap = { mac: STATION, ports: ["a", "b"], moves: 5 };
    expect((await it.api.fdb()).flapping).toEqual([flap]);
    expect([(await it.api.fdb("c")).flapping, (await it.api.fdb("b")).flapping]).toEqual([undefined, [flap]]);
    expect(warnings).toEqual([[flap, "an address moves to and fro: a loop, or two stations that have it"]]);
    expect(["a", "b", "c"].map((port) => it.api.port(port).macMoves)).toEqual([2, 3, undefined]);
  } finally {
    await it.api.close();
  }
});

test("what moved to and fro between a port that is gone and another is not said of its index's next port", async () => {
  const warnings: [Record<string, unknown>, string][] = [];
  const log: SwitchLog = { ...quiet, warn: (facts, message) => warnings.push([facts, message]) };
  const it = new MemorySwitch(await createSwitch({}, log));
  const flap = async (rounds: number) => {
    for (let round = 0; round < rounds; round++) {
      for (const port of ["a", "b"]) {
        it.send(port, frame(mac(9), mac(1)));
        await it.settled();
      }
    }
  };
  try {
    for (const port of ["a", "b"]) await it.add(port);
    await flap(4);
    await until("the second to be over", async () => (await it.api.fdb()).flapping !== undefined);
    // These are in the ring still, or just looked at.
    await flap(4);
    await it.api.removePort("b");
    expect((await it.api.fdb()).flapping).toBeUndefined();
    await it.add("innocent");
    // An address that moves between others shows when the next look is over.
    await it.add("c");
    for (const port of ["a", "c", "a", "c", "a", "c"]) {
      it.send(port, frame(mac(9), mac(2)));
      await it.settled();
    }
    await until("the next look", async () => (await it.api.fdb()).flapping !== undefined);
    expect((await it.api.fdb()).flapping).toEqual([{ mac: macText(mac(2)), ports: ["a", "c"], moves: 5 }]);
    expect(warnings.map(([facts]) => [facts.mac, facts.ports])).toEqual([
      [STATION, ["a", "b"]],
      [macText(mac(2)), ["a", "c"]],
    ]);
  } finally {
    await it.api.close();
  }
});
