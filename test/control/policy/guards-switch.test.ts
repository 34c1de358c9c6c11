// Guards, flood and storm control, suppression and isolation in a running switch, whose two workers share what they have to.

import { expect, test } from "bun:test";
import type { NamedPolicy, PortSettings } from "../../../src/control/policy/named-policy.ts";
import {
  advertisement,
  arpReply,
  arpRequest,
  framed,
  ICMPV6,
  IPV4,
  IPV6,
  ip4,
  ip6,
  solicitation,
  udp,
} from "../../dataplane/bridge/guard-frames.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";

const start = useMemorySwitch();
/** Ports a and c are the first worker's, b and d the second's. */
const TWO_WORKERS = { cpus: [0, 1] };
const [A, B] = [mac(1), mac(2)];
const ALL_ROUTERS = [0x33, 0x33, 0, 0, 0, 1];

function policy(ports: Record<string, PortSettings>, suppress = false): NamedPolicy {
  const vlans = suppress ? [{ vid: 0, learning: true, suppressArp: true, suppressNd: true }] : [];
  return { ports: new Map(Object.entries(ports)), vlans, mirrors: [] };
}

/** What each port got, once nothing is under way. */
async function got(it: MemorySwitch, ...names: string[]): Promise<Uint8Array[][]> {
  await it.settled();
  return names.map((name) => it.drain(name).map((received) => received.frame));
}

test("guards let in what they should, at ports of both workers, and count what they refuse", async () => {
  const it = await start(TWO_WORKERS, "a", "b", "c");
  const sources = [{ mac: "020000000001", ips: ["10.0.0.1/32"] }];
  await it.api.policy.set(policy({ a: { sources }, b: { dhcpGuard: true, raGuard: true } }));
  const own = framed(BROADCAST, A, IPV4, ip4("10.0.0.1", "10.0.0.9", 17, udp(5, 6)));
  const stolen = framed(BROADCAST, A, IPV4, ip4("10.0.0.2", "10.0.0.9", 17, udp(5, 6)));
  it.send("a", stolen, own, frame(BROADCAST, mac(7)));
  expect(await got(it, "b", "c")).toEqual([[own], [own]]);
  const offer = framed(BROADCAST, B, IPV4, ip4("10.0.0.2", "255.255.255.255", 17, udp(67, 68)));
  const advert = framed(ALL_ROUTERS, B, IPV6, ip6("fe80::2", "ff02::1", ICMPV6, [134, 0, 0, 0, 0, 0, 0, 0]));
  const harmless = framed(BROADCAST, B, IPV4, ip4("10.0.0.2", "255.255.255.255", 17, udp(68, 67)));
  it.send("b", offer, advert, harmless);
  expect(await got(it, "a", "c")).toEqual([[harmless], [harmless]]);
  expect([it.drops("a"), it.drops("b")]).toEqual([{ source_guard: 2 }, { dhcp_guard: 1, ra_guard: 1 }]);
  // What was refused yesterday passes today.
  await it.api.policy.set(policy({}));
  it.send("a", stolen);
  it.send("b", offer, advert);
  expect(await got(it, "c")).toEqual([expect.arrayContaining([stolen, offer, advert])]);
});

test("a request finds an owner that another worker has heard, and others are left in peace", async () => {
  const it = await start(TWO_WORKERS, "a", "b", "c", "d");
  await it.api.policy.set(policy({}, true));
  it.send("b", arpRequest(B, "10.0.0.2", "10.0.0.2"), advertisement(ALL_ROUTERS, B, "fd00::2", "ff02::1"));
  await got(it, "a", "c", "d");
  const [ask, ask6] = [arpRequest(A, "10.0.0.1", "10.0.0.2"), solicitation(A, "fd00::1", "fd00::2")];
  it.send("a", ask, ask6);
  expect(await got(it, "b", "c", "d")).toEqual([[ask, ask6], [], []]);
  const reply = arpReply(A, B, "10.0.0.2", "10.0.0.1");
  it.send("b", reply);
  expect(await got(it, "a", "c", "d")).toEqual([[reply], [], []]);
  // Asking what would become of it asks nobody.
  expect(it.api.rules.trace("a", { bytes: ask }).at(-1)?.text).toBe("sent to b");
  expect(it.api.policy.directed(0)).toBe(2);
  // A change of policy forgets nobody.
  await it.api.policy.set(policy({ c: { isolated: true } }, true));
  it.send("a", ask);
  expect(await got(it, "b", "c", "d")).toEqual([[ask], [], []]);
  await it.api.policy.set(policy({ c: { isolated: true } }));
  it.send("a", ask);
  expect(await got(it, "b", "c", "d")).toEqual([[ask], [ask], [ask]]);
});

test("floods stay out of ports that take none, and groups apart, across workers", async () => {
  const it = await start(TWO_WORKERS, "a", "b", "c", "d");
  const apart = { groups: ["dmz"] };
  await it.api.policy.set(policy({ a: apart, b: apart, c: { floodBroadcast: false }, d: { floodUnknown: false } }));
  const [broadcast, unknown] = [frame(BROADCAST, A), frame(mac(99), A)];
  it.send("a", broadcast, unknown);
  expect(await got(it, "b", "c", "d")).toEqual([[], [unknown], [broadcast]]);
  const toA = frame(A, B);
  it.send("b", toA);
  expect(await got(it, "a", "c", "d")).toEqual([[], [], []]);
  expect(it.drops("b")).toEqual({ isolated: 1 });
});

test("a storm is cut down to its burst, and the rest of the port's traffic is not", async () => {
  const it = await start({}, "a", "b");
  const startMs = performance.now();
  await it.api.policy.set(policy({ a: { stormBroadcast: { unit: "frames", rate: 1, burst: 10 } } }));
  const broadcast = frame(BROADCAST, A);
  for (let k = 0; k < 10; k++) {
    it.send("a", ...Array<Uint8Array>(20).fill(broadcast), frame(mac(99), A));
    await it.settled();
  }
  const arrived = it.drain("b").map((received) => received.frame[0]);
  const passed = arrived.filter((first) => first === 0xff).length;
  expect(passed).toBeGreaterThanOrEqual(10);
  expect(passed).toBeLessThanOrEqual(10 + Math.ceil((performance.now() - startMs) / 1000));
  expect(arrived).toHaveLength(passed + 10);
  expect(it.drops("a")).toEqual({ storm: 200 - passed });
});
