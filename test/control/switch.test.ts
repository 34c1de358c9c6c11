// The whole switch in this process over memory ports: learning, flooding, the law of the switch, removal.

import { afterEach, expect, test } from "bun:test";
import type { SwitchApi, SwitchLog, SwitchSettings } from "../../src/control/api.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type MemoryDriver, memoryDriver } from "../../src/ports/memory/driver.ts";
import { until } from "../support/until.ts";

const quiet: SwitchLog = { info() {}, warn() {}, error() {} };
const open: SwitchApi[] = [];

afterEach(async () => {
  for (const it of open.splice(0)) await it.close();
});

async function start(settings: SwitchSettings, ...names: string[]): Promise<SwitchApi> {
  const api = await createSwitch(settings, quiet);
  open.push(api);
  for (const name of names) await api.addPort(parsePort(name, `memory:${name}`, kinds));
  return api;
}

function mac(n: number): number[] {
  return [0x02, 0, 0, 0, n >> 8, n & 0xff];
}

function frame(to: number[], from: number[], size: number, fill = 0x5a): Uint8Array {
  const bytes = new Uint8Array(size).fill(fill);
  bytes.set(to, 0);
  bytes.set(from, 6);
  bytes.set([0x88, 0xb5], 12);
  return bytes;
}

const BROADCAST = [255, 255, 255, 255, 255, 255];

async function receive(driver: MemoryDriver): Promise<Uint8Array> {
  return until("a frame", () => driver.receive()?.slice());
}

function law(api: SwitchApi): void {
  const { rxFrames, copies, txFrames, dropped } = api.stats().totals;
  expect(rxFrames + copies).toBe(txFrames + dropped);
}

for (const settings of [{}, { poll: "busy" }, { poll: "interrupt" }, { cpus: [0, 1] }] as SwitchSettings[]) {
  test(`floods the unknown, learns, then forwards ${JSON.stringify(settings)}`, async () => {
    const api = await start(settings, "a", "b", "c");
    const [a, b, c] = ["a", "b", "c"].map(memoryDriver);
    expect(a.send(frame(BROADCAST, mac(1), 64))).toBe(true);
    expect(await receive(b)).toEqual(frame(BROADCAST, mac(1), 64));
    expect(await receive(c)).toEqual(frame(BROADCAST, mac(1), 64));
    b.send(frame(mac(1), mac(2), 61));
    expect(await receive(a)).toEqual(frame(mac(1), mac(2), 61));
    a.send(frame(mac(2), mac(1), 1514, 0x77));
    expect(await receive(b)).toEqual(frame(mac(2), mac(1), 1514, 0x77));
    await until("four deliveries", () => api.stats().totals.txFrames === 4);
    expect(c.receive()).toBeNull();
    const { entries } = await api.fdb();
    expect(entries.map(({ mac, port }) => [mac, port]).sort()).toEqual([
      ["02:00:00:00:00:01", "a"],
      ["02:00:00:00:00:02", "b"],
    ]);
    law(api);
  });
}

test("frames that come while ports are being added wait for the last one", async () => {
  const api = await start({ cpus: [0, 1] }, "a");
  const [frames, a] = [8, memoryDriver("a")];
  await api.whileHeld(async () => {
    for (let n = 0; n < frames; n++) a.send(frame(BROADCAST, mac(n), 64));
    await api.addPort(parsePort("b", "memory:b", kinds));
    expect(memoryDriver("b").receive()).toBeNull();
    expect(api.stats().totals.rxFrames).toBe(0);
  });
  for (let n = 0; n < frames; n++) expect(await receive(memoryDriver("b"))).toEqual(frame(BROADCAST, mac(n), 64));
  expect(api.stats().totals.dropped).toBe(0);
});

test("ports have the processors that they ask for, and others those of their index", async () => {
  const api = await start({ cpus: [0, 1] });
  const add = (name: string, query: string) => api.addPort(parsePort(name, `memory:${name}${query}`, kinds));
  for (const name of ["a", "b"]) await add(name, "?cpu=1");
  const refused = "port c: cpu: the switch has no worker on cpu 7";
  await expect(add("c", "?cpu=7")).rejects.toMatchObject({ message: refused, next: "choose from 0, 1" });
  await add("c", "");
  await api.removePort("b");
  await add("d", "");
  const workers = api.ports().map(({ name, queues, uri }) => [name, uri, queues[0].worker]);
  expect(workers).toEqual([
    ["a", "memory:a?cpu=1", 1],
    ["c", "memory:c", 0],
    ["d", "memory:d", 1],
  ]);
  memoryDriver("c").send(frame(BROADCAST, mac(1), 64));
  for (const name of ["a", "d"]) expect(await receive(memoryDriver(name))).toEqual(frame(BROADCAST, mac(1), 64));
});

test("no port can choose where the worker is on any processor", async () => {
  const api = await start({});
  const next = "start the switch with cpus, or leave it out";
  await expect(api.addPort(parsePort("a", "memory:a?cpu=0", kinds))).rejects.toMatchObject({ next });
  expect(api.ports()).toEqual([]);
});

test("frames flow again after a start that failed", async () => {
  const api = await start({}, "a", "b");
  const failed = api.whileHeld(() => Promise.reject(new Error("no such port")));
  await expect(failed).rejects.toThrow("no such port");
  memoryDriver("a").send(frame(BROADCAST, mac(1), 64));
  expect(await receive(memoryDriver("b"))).toEqual(frame(BROADCAST, mac(1), 64));
});
