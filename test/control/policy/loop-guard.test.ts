// The loop guard on real workers: ports of memory whose frames come back by another port, as a cable brings them.

import { afterEach, expect, test } from "bun:test";
import type { PortSettings } from "../../../src/control/policy/named-policy.ts";
import { PROBE_DESTINATION } from "../../../src/dataplane/bridge/probe.ts";
import { BROADCAST, frame, mac, macText } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";
import { PATIENCE, until } from "../../support/until.ts";

const cables: Timer[] = [];
// First of the hooks: a switch that ends has to settle before.
afterEach(() => {
  for (const timer of cables.splice(0)) clearInterval(timer);
});
const start = useMemorySwitch();
const GUARDED: PortSettings = { loopGuard: true };

interface Cable {
  cut(): void;
  /** Waits for so many more turns: what lay in a port's ring has been carried by then. */
  turns(count: number): Promise<void>;
}

/** What leaves by one port comes in at the other, both ways, until it is cut. */
function cable(it: MemorySwitch, a: string, b: string): Cable {
  const carry = (from: string, to: string) => {
    for (const { frame: bytes } of it.drain(from)) it.trySend(to, bytes);
  };
  let turn = 0;
  const timer = setInterval(() => {
    carry(a, b);
    if (a !== b) carry(b, a);
    turn++;
  }, 1);
  cables.push(timer);
  return {
    cut: () => clearInterval(timer),
    async turns(count) {
      const last = turn + count;
      await until(`${count} turns of a cable`, () => turn >= last, { everyMs: 1 });
    },
  };
}

function guard(it: MemorySwitch, ports: Record<string, PortSettings>): Promise<void> {
  return it.api.policy.set({ ports: new Map(Object.entries(ports)), vlans: [], mirrors: [] });
}

const blocked = (it: MemorySwitch) => it.api.ports().flatMap((port) => (port.blocked === undefined ? [] : [port.name]));
const untilBlocked = (it: MemorySwitch) => until("a port to be blocked", () => blocked(it).length > 0 && blocked(it));

/** The next probe that leaves by a port. */
async function probeOf(it: MemorySwitch, name: string): Promise<Uint8Array> {
  return await until(`a probe of ${name}`, () => {
    const isProbe = (bytes: Uint8Array) => PROBE_DESTINATION.every((byte, at) => bytes[at] === byte);
    return it.drain(name).find(({ frame: bytes }) => isProbe(bytes))?.frame;
  });
}

for (const cpus of [undefined, [-1, -1]]) {
  test(`a loop of two guarded ports blocks one of them, and others go on (${cpus?.length ?? 1} workers)`, async () => {
    const it = await start(cpus === undefined ? {} : { cpus }, "a", "b", "c", "d");
    await guard(it, { a: GUARDED, b: GUARDED });
    const loop = cable(it, "a", "b");
    it.send("c", frame(BROADCAST, mac(1)));
    const [name] = await untilBlocked(it);
    expect(["a", "b"]).toContain(name);
    const port = it.api.port(name);
    expect(port).toMatchObject({ admin: "up", carrier: true, blocked: "loop", blocks: 1 });
    expect(port.retryS).toBeGreaterThan(290);
    // What went round has ended, also what the cable had still to carry, and nobody is thought to be behind it.
    await it.settled();
    await loop.turns(3);
    await it.settled();
    await until("addresses to be forgotten", async () => {
      const { entries } = await it.api.fdb();
      return entries.every((entry) => entry.port === "c");
    });
    it.drain("c");
    it.drain("d");
    it.send("c", frame(BROADCAST, mac(1)));
    expect(await it.receive("d", 1)).toEqual([frame(BROADCAST, mac(1))]);
    await it.settled();
    expect([it.drain("c"), it.drain("d")]).toEqual([[], []]);
    expect(blocked(it)).toEqual([name]);
    // Where they met was counted, at either port.
    expect((it.drops("a").loop ?? 0) + (it.drops("b").loop ?? 0)).toBeGreaterThan(0);
  });
}

test(
  "a blocked port is tried again, stays blocked while there is a loop, and open when there is none",
  async () => {
    const it = await start({}, "a", "b");
    await guard(it, { a: { ...GUARDED, recoverS: 1 }, b: GUARDED });
    // Of two ports either may be blocked; of this one, a.
    const loop = cable(it, "a", "a");
    await until("a second block", () => (it.api.port("a").blocks ?? 0) >= 2);
    loop.cut();
    await until("the port to be open", () => blocked(it).length === 0);
    // Two rounds of probes that do not come back.
    await probeOf(it, "a");
    await probeOf(it, "a");
    expect(blocked(it)).toEqual([]);
    it.send("a", frame(BROADCAST, mac(1)));
    await until("traffic", () => it.drain("b").some(({ frame: bytes }) => bytes[0] === 0xff));
  },
  30_000 * PATIENCE,
);

test("an operator's link=up opens it, and a blocked port drops both ways as if it were down", async () => {
  const it = await start({}, "a", "b");
  await guard(it, { a: { ...GUARDED, recoverS: 0 } });
  const loop = cable(it, "a", "a");
  await untilBlocked(it);
  loop.cut();
  await it.settled();
  it.drain("a");
  expect(it.api.port("a").retryS).toBeUndefined();
  const before = it.drops("a").link_down ?? 0;
  it.send("a", frame(BROADCAST, mac(1)));
  it.send("b", frame(BROADCAST, mac(2)));
  await it.settled();
  expect([it.drain("a"), it.drain("b")]).toEqual([[], []]);
  expect(it.drops("a").link_down).toBe(before + 1);
  await it.api.setPort("a", { link: "down" });
  expect(blocked(it)).toEqual(["a"]);
  expect(await it.api.setPort("a", { link: "up" })).toMatchObject({ admin: "up", blocks: 1 });
  expect(blocked(it)).toEqual([]);
  it.send("b", frame(BROADCAST, mac(2)));
  await until("traffic", () => it.drain("a").some(({ frame: bytes }) => bytes[0] === 0xff));
});

test("a guest that replays or forges probes blocks no port but its own", async () => {
  const it = await start({}, "victim", "guest", "c");
  await guard(it, { victim: GUARDED, guest: GUARDED });
  const probe = await probeOf(it, "guest");
  const { index } = it.api.port("victim");
  // It says that it is the victim's; its token says otherwise.
  const forged = probe.slice();
  forged[14] = index;
  it.send("guest", forged);
  await until("the forged one to be an ordinary frame", () => it.drain("c").some((got) => got.frame[14] === index));
  expect(blocked(it)).toEqual([]);
  it.send("guest", probe);
  expect(await untilBlocked(it)).toEqual(["guest"]);
  expect(it.drops("guest").loop).toBe(1);
});

test("a probe that comes in at a port that is not guarded blocks nobody", async () => {
  const it = await start({}, "a", "b");
  await guard(it, { a: GUARDED });
  it.send("b", await probeOf(it, "a"));
  await until("the probe to be dropped", () => it.drops("b").loop === 1);
  // The look that took it is before the second probe from now on.
  await probeOf(it, "a");
  await probeOf(it, "a");
  expect(blocked(it)).toEqual([]);
});

test("a port's address in probes is its own, and learned nowhere", async () => {
  const it = await start({}, "a", "b");
  await guard(it, { a: GUARDED, b: GUARDED });
  const [a, b] = [await probeOf(it, "a"), await probeOf(it, "b")];
  const source = (bytes: Uint8Array) => macText([...bytes.subarray(6, 12)]);
  expect(source(a)).not.toBe(source(b));
  it.send("a", a);
  await untilBlocked(it);
  expect((await it.api.fdb()).entries).toEqual([]);
});

test("without guarded ports nothing is sent", async () => {
  const it = await start({}, "a", "b");
  await guard(it, { a: GUARDED });
  await probeOf(it, "a");
  await guard(it, { a: { isolated: true } });
  it.drain("a");
  const sent = it.api.port("a").txFrames;
  // As long as several probes took.
  const { uptimeS } = it.api.stats();
  await until("a second", () => it.api.stats().uptimeS > uptimeS + 1);
  expect(it.api.port("a").txFrames).toBe(sent);
});
