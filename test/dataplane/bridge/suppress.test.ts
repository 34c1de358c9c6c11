// ARP and ND suppression: a request for an address that somebody was heard to have goes to that port alone, unchanged; whatever the
// switch does not know for sure is flooded as ever.

import { describe, expect, test } from "bun:test";
import type { BridgePolicy, PortPolicy, VlanPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { FDB_SWITCH_AGEING } from "../../../src/dataplane/fdb-layout.ts";
import { fdbSetAgeing } from "../../../src/dataplane/fdb-table.ts";
import { CLOCK_S } from "../../../src/dataplane/shared.ts";
import { BROADCAST, mac } from "../../support/frames.ts";
import { type PlanRig, usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";
import {
  ARP,
  advertisement,
  arp,
  arpReply,
  arpRequest,
  framed,
  ICMPV6,
  IPV6,
  ip6,
  nd,
  solicitation,
} from "./guard-frames.ts";

const rigOf = usePlanRig();
const [A, B, C] = [mac(1), mac(2), mac(3)];
/** Of stations A, B and C. */
const IPS = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const IP6S = ["fd00::1", "fd00::2", "fd00::3"];
const BOTH: VlanPolicy = { vid: 0, learning: true, suppressArp: true, suppressNd: true };

/** Ports 0 to 3, of which 3 has nobody; both protocols are suppressed unless said otherwise. */
function suppressing(vlans: VlanPolicy[] = [BOTH], ports: Record<number, Partial<PortPolicy>> = {}): PlanRig {
  const rig = rigOf({}, {}, {}, {});
  rig.policy(ports, { vlans });
  return rig;
}

/** Which ports got a frame; it has to be what was sent. */
function reached(rig: PlanRig, port: number, bytes: Uint8Array): number[] {
  const got = rig.send(port, bytes);
  for (const list of got) for (const copy of list) expect(copy).toEqual(bytes);
  return got.flatMap((list, index) => (list.length === 1 ? [index] : []));
}

/** Station B at port 1 announces itself, in both protocols. */
function announce(rig: PlanRig): void {
  expect(reached(rig, 1, arpRequest(B, IPS[1], IPS[1]))).toEqual([0, 2, 3]);
  expect(reached(rig, 1, advertisement([0x33, 0x33, 0, 0, 0, 1], B, IP6S[1], "ff02::1"))).toEqual([0, 2, 3]);
}

const asksB4 = arpRequest(A, IPS[0], IPS[1]);
const asksB6 = solicitation(A, IP6S[0], IP6S[1]);
const EVERYWHERE = [1, 2, 3];
const requests: [string, Uint8Array][] = [
  ["ARP", asksB4],
  ["ND", asksB6],
];

describe.each(requests)("a request in %s", (protocol, request) => {
  test("goes everywhere while nobody was heard, then to the owner's port alone, and is counted", () => {
    const rig = suppressing();
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
    announce(rig);
    expect(reached(rig, 0, request)).toEqual([1]);
    expect(reached(rig, 0, request)).toEqual([1]);
    expect(rig.bridgeMemory.directed(0)).toBe(2);
    expect(rig.bridgeMemory.directed(1)).toBe(0);
    expect(rig.drops(0)).toEqual({});
  });

  test("is flooded where its VLAN does not suppress that protocol", () => {
    const rig = suppressing();
    announce(rig);
    const other = { ...BOTH, suppressArp: protocol !== "ARP", suppressNd: protocol !== "ND" };
    rig.policy({}, { vlans: [other] });
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
  });

  test("follows the station to another port", () => {
    const rig = suppressing();
    announce(rig);
    rig.send(3, framed(A, B, 0x88b5, []));
    expect(reached(rig, 0, request)).toEqual([3]);
  });

  test("is flooded when the fdb has forgotten the station, and when its port is down", () => {
    const rig = suppressing();
    announce(rig);
    rig.setUp(1, false);
    expect(reached(rig, 0, request)).toEqual([2, 3]);
    rig.setUp(1, true);
    expect(reached(rig, 0, request)).toEqual([1]);
    rig.shared.control[CLOCK_S] += rig.fdb.words[FDB_SWITCH_AGEING] + 1;
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
  });

  test("is flooded when its owner was not heard to have it for the ageing time, though it sends all the while", () => {
    const rig = suppressing();
    announce(rig);
    for (const waitS of [200, 101]) {
      rig.shared.control[CLOCK_S] += waitS;
      rig.send(1, framed(A, B, 0x88b5, []));
    }
    expect(rig.fdb.words[FDB_SWITCH_AGEING]).toBe(300);
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
  });

  test("is directed and disputed for the ageing time of the switch, whatever VLANs have of their own", () => {
    const access: Partial<PortPolicy> = { vlan: { mode: "access", vid: 10 } };
    const rig = suppressing([{ ...BOTH, vid: 10 }], { 0: access, 1: access, 2: access, 3: access });
    const ofVlanZero = new Map([[0, 2]]);
    fdbSetAgeing(rig.fdb, 30, ofVlanZero);
    announce(rig);
    rig.shared.control[CLOCK_S] += 30;
    rig.send(1, framed(A, B, 0x88b5, []));
    expect(reached(rig, 0, request)).toEqual([1]);
    rig.send(2, arpReply(A, C, IPS[1], IPS[0]), advertisement(A, C, IP6S[1], IP6S[0]));
    rig.shared.control[CLOCK_S] += 30;
    rig.send(1, arpReply(A, B, IPS[1], IPS[0]), advertisement(A, B, IP6S[1], IP6S[0]));
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
    rig.shared.control[CLOCK_S] += 1;
    expect(reached(rig, 0, request)).toEqual([1]);
  });

  test("is flooded where the owner may not be reached from there", () => {
    const rig = suppressing([BOTH], { 0: { isolated: true }, 1: { isolated: true } });
    rig.send(1, arpRequest(B, IPS[1], IPS[1]), advertisement([0x33, 0x33, 0, 0, 0, 1], B, IP6S[1], "ff02::1"));
    expect(reached(rig, 0, request)).toEqual([2, 3]);
  });

  test("that nobody answers is flooded two seconds later, until the owner is heard again", () => {
    const rig = suppressing();
    announce(rig);
    expect(reached(rig, 0, request)).toEqual([1]);
    rig.shared.control[CLOCK_S] += 1;
    expect(reached(rig, 0, request)).toEqual([1]);
    rig.shared.control[CLOCK_S] += 1;
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
    rig.send(1, arpReply(A, B, IPS[1], IPS[0]), advertisement(A, B, IP6S[1], IP6S[0]));
    expect(reached(rig, 0, request)).toEqual([1]);
  });

  test("reaches a port that takes no floods", () => {
    const rig = suppressing([BOTH], { 1: { floodBroadcast: false, floodMulticast: false } });
    announce(rig);
    expect(reached(rig, 0, request)).toEqual([1]);
  });

  test("of a station behind the same port goes nowhere", () => {
    const rig = suppressing();
    rig.send(0, arpRequest(B, IPS[1], IPS[1]), advertisement([0x33, 0x33, 0, 0, 0, 1], B, IP6S[1], "ff02::1"));
    expect(reached(rig, 0, request)).toEqual([]);
    expect(rig.drops(0)).toEqual({ own_port: 1 });
  });

  test("for an address that two claim is flooded until one of them has been silent for the ageing time", () => {
    const rig = suppressing();
    announce(rig);
    rig.send(2, arpReply(A, C, IPS[1], IPS[0]), advertisement(A, C, IP6S[1], IP6S[0]));
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
    const age = () => {
      // All stations go on speaking, and B answers.
      for (let s = 0; s < rig.fdb.words[FDB_SWITCH_AGEING]; s += 100) {
        rig.shared.control[CLOCK_S] += 100;
        rig.send(1, arpReply(A, B, IPS[1], IPS[0]), advertisement(A, B, IP6S[1], IP6S[0]));
      }
    };
    age();
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
    rig.shared.control[CLOCK_S] += 1;
    expect(reached(rig, 0, request)).toEqual([1]);
  });

  test("finds the new owner when the old one is gone", () => {
    const rig = suppressing();
    announce(rig);
    rig.shared.control[CLOCK_S] += rig.fdb.words[FDB_SWITCH_AGEING] + 1;
    rig.send(2, arpReply(A, C, IPS[1], IPS[0]), advertisement(A, C, IP6S[1], IP6S[0]));
    expect(reached(rig, 0, request)).toEqual([2]);
  });

  test("that a rule floods is flooded", () => {
    const rig = rigOf({}, {}, {}, {});
    rig.policy({}, { vlans: [BOTH] }, rulesOf([1, { "eth.src": 0x0200_0000_0001 }, { do: "flood" }]));
    announce(rig);
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
  });
});

describe("is always flooded:", () => {
  test.each<[string, Uint8Array]>([
    ["an ARP probe", arpRequest(A, "0.0.0.0", IPS[1])],
    ["an ARP announcement", arpRequest(A, IPS[1], IPS[1])],
    ["an ARP reply", framed(BROADCAST, A, ARP, arp(2, A, IPS[0], IPS[1]))],
    ["a request within a tag", arpRequest(A, IPS[0], IPS[1], [0x8100, 7])],
    ["a check for duplicates", solicitation(A, "::", IP6S[1])],
    ["a solicitation within a tag", solicitation(A, IP6S[0], IP6S[1], [0x8100, 7])],
    [
      "a solicitation to all nodes",
      framed([0x33, 0x33, 0, 0, 0, 1], A, IPV6, ip6(IP6S[0], "ff02::1", ICMPV6, nd(135, IP6S[1]))),
    ],
    [
      "a solicitation from afar",
      framed([0x33, 0x33, 0xff, 0, 0, 2], A, IPV6, ip6(IP6S[0], "ff02::1:ff00:2", ICMPV6, nd(135, IP6S[1]), [], 254)),
    ],
    ["a solicitation cut short", asksB6.subarray(0, 77)],
  ])("%s", (_, bytes) => {
    const rig = suppressing();
    announce(rig);
    expect(reached(rig, 0, bytes)).toEqual(EVERYWHERE);
    expect(rig.bridgeMemory.directed(0)).toBe(0);
  });

  test("a request whose frame goes to one unknown station", () => {
    const rig = suppressing();
    announce(rig);
    expect(reached(rig, 0, framed(mac(99), A, ARP, arp(1, A, IPS[0], IPS[1])))).toEqual(EVERYWHERE);
  });
});

describe("nobody is taken for the owner because of", () => {
  test.each<[string, Uint8Array]>([
    ["a reply in another's name", framed(A, B, ARP, arp(2, C, IPS[1], IPS[0]))],
    ["a probe", arpRequest(B, "0.0.0.0", IPS[1])],
    ["a reply within a tag", arpReply(A, B, IPS[1], IPS[0], [0x8100, 7])],
    ["an advertisement from afar", framed(A, B, IPV6, ip6(IP6S[1], IP6S[0], ICMPV6, nd(136, IP6S[1]), [], 64))],
    ["another ICMPv6 message", framed(A, B, IPV6, ip6(IP6S[1], IP6S[0], ICMPV6, nd(128, IP6S[1])))],
    ["a check for duplicates", solicitation(B, "::", IP6S[1])],
  ])("%s", (_, bytes) => {
    const rig = suppressing();
    rig.send(1, bytes);
    expect(reached(rig, 0, asksB4)).toEqual(EVERYWHERE);
    expect(reached(rig, 0, asksB6)).toEqual(EVERYWHERE);
  });

  test.each<[string, Uint8Array, Uint8Array]>([
    ["broadcast", arpReply(A, B, "255.255.255.255", IPS[0]), arpRequest(A, IPS[0], "255.255.255.255")],
    ["nobody", arpReply(A, B, "0.0.0.0", IPS[0]), arpRequest(A, IPS[0], "0.0.0.0")],
    ["a group", advertisement(A, B, "ff02::5", IP6S[0]), solicitation(A, IP6S[0], "ff02::5")],
    ["nobody in IPv6", advertisement(A, B, "::", IP6S[0]), solicitation(A, IP6S[0], "::")],
  ])("a claim to be %s", (_, bytes, request) => {
    const rig = suppressing();
    rig.send(1, bytes);
    expect(reached(rig, 0, request)).toEqual(EVERYWHERE);
  });

  test("a reply that source guard refuses", () => {
    const rig = suppressing([BOTH], { 2: { sources: [{ mac: "020000000003", ips: ["10.0.0.3"] }] } });
    announce(rig);
    rig.send(2, arpReply(A, C, IPS[1], IPS[0]));
    expect(rig.drops(2)).toEqual({ source_guard: 1 });
    expect(reached(rig, 0, asksB4)).toEqual([1]);
  });
});

test("those who ask are heard, too", () => {
  const rig = suppressing();
  rig.send(0, asksB4, asksB6);
  expect(reached(rig, 1, arpRequest(B, IPS[1], IPS[0]))).toEqual([0]);
  expect(reached(rig, 1, solicitation(B, IP6S[1], IP6S[0]))).toEqual([0]);
});

test("each VLAN has addresses of its own", () => {
  const rig = rigOf({}, {}, {}, {});
  const access = (vid: number): Partial<PortPolicy> => ({ vlan: { mode: "access", vid } });
  const vlans: BridgePolicy["vlans"] = [10, 20].map((vid) => ({ ...BOTH, vid }));
  rig.policy(
    {
      0: { vlan: { mode: "trunk", allowed: [[10, 20]], native: 0, nativeTagged: false, tpid: 0x8100, map: [] } },
      1: access(10),
      2: access(20),
      3: access(10),
    },
    { vlans },
  );
  rig.send(1, arpRequest(B, IPS[1], IPS[1]), advertisement([0x33, 0x33, 0, 0, 0, 1], B, IP6S[1], "ff02::1"));
  const untagged = (bytes: Uint8Array) => [...bytes.subarray(0, 12), ...bytes.subarray(16)];
  const send = (bytes: Uint8Array) => rig.send(0, bytes).map((got) => got.map((it) => [...it]));
  for (const ask of [
    (vid: number) => arpRequest(A, IPS[0], IPS[1], [0x8100, vid]),
    (vid: number) => solicitation(A, IP6S[0], IP6S[1], [0x8100, vid]),
  ]) {
    expect(send(ask(10))).toEqual([[], [untagged(ask(10))], [], []]);
    expect(send(ask(20))).toEqual([[], [], [untagged(ask(20))], []]);
  }
  expect([10, 20].map((vid) => rig.bridgeMemory.directed(vid))).toEqual([2, 0]);
});

test("a port that left the VLAN gets no more requests of it, though the fdb still has its station there", () => {
  const rig = rigOf({}, {}, {}, {});
  const access = (vid: number): Partial<PortPolicy> => ({ vlan: { mode: "access", vid } });
  const vlans = [{ ...BOTH, vid: 10 }];
  rig.policy({ 0: access(10), 1: access(10), 2: access(10) }, { vlans });
  rig.send(1, arpRequest(B, IPS[1], IPS[1]));
  expect(reached(rig, 0, asksB4)).toEqual([1]);
  rig.policy({ 0: access(10), 1: access(20), 2: access(10) }, { vlans });
  expect(reached(rig, 0, asksB4)).toEqual([2]);
});
