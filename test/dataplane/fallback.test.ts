// Offloads are honest between memory ports: for every set of forms that a sender may use and every set that a receiver
// accepts, a frame arrives in a form that was negotiated, or not at all. What should have arrived was built the slow way
// (offload/reference.ts), byte for byte, and every checksum in it is verified once more.

import { describe, expect, test } from "bun:test";
import {
  complete,
  frame,
  HEADER_SIZE,
  type Mac,
  mac,
  macText,
  NEEDS_CSUM,
  netHeader,
  numbered,
  offloaded,
  plainSegments,
  readNetHeader,
  verifyTcp,
  verifyUdp,
} from "../support/frames.ts";
import { type MemorySwitch, type Received, useMemorySwitch } from "../support/memory-switch.ts";
import { type FrameSpec, pattern, spec4, spec6 } from "./offload/reference.ts";

const start = useMemorySwitch();

type Form = "csum" | "tso4" | "tso6" | "ecn" | "uso";
const SETS: Form[][] = [
  [],
  ["csum"],
  ["csum", "tso4"],
  ["csum", "tso6"],
  ["csum", "tso4", "tso6"],
  ["csum", "tso4", "ecn"],
  ["csum", "tso6", "ecn"],
  ["csum", "tso4", "tso6", "ecn"],
  ["csum", "uso"],
  ["csum", "tso4", "tso6", "ecn", "uso"],
];
const ALL: Form[] = ["csum", "tso4", "tso6", "ecn", "uso"];
const FROM = mac(1);
const TO = mac(2);
const MSS = 300;
const CWR = 0x80;

/** A frame, what it needs of its receiver, and how to cut it. */
interface Case {
  what: string;
  spec: FrameSpec;
  mss: number;
  needs: Form[];
}

const vlan = [{ type: 0x8100, tci: 5 }];
const twoTags = [{ type: 0x88a8, tci: 7 }, ...vlan];
const payload = pattern(1900);
const flags = 0x19;
const transport = "udp";
const CASES: Case[] = [
  { what: "IPv4, checksum", spec: spec4({ payload }), mss: 0, needs: ["csum"] },
  { what: "IPv6, checksum", spec: spec6({ payload: pattern(901) }), mss: 0, needs: ["csum"] },
  { what: "VLAN, checksum", spec: spec4({ payload, tags: vlan }), mss: 0, needs: ["csum"] },
  { what: "IPv4, TSO", spec: spec4({ payload, flags, id: 0xfffe }), mss: MSS, needs: ["csum", "tso4"] },
  { what: "IPv6, TSO", spec: spec6({ payload, flags, sequence: 0xffffff00 }), mss: MSS, needs: ["csum", "tso6"] },
  { what: "IPv4 in a VLAN, TSO", spec: spec4({ payload, flags, tags: vlan }), mss: MSS, needs: ["csum", "tso4"] },
  { what: "IPv6 in two tags, TSO", spec: spec6({ payload, tags: twoTags }), mss: MSS, needs: ["csum", "tso6"] },
  { what: "IPv4, TSO, CWR", spec: spec4({ payload, flags: flags | CWR }), mss: MSS, needs: ["csum", "tso4", "ecn"] },
  { what: "IPv6, TSO, CWR", spec: spec6({ payload, flags: flags | CWR }), mss: MSS, needs: ["csum", "tso6", "ecn"] },
  {
    what: "IPv4 with options, TSO",
    spec: spec4({ payload, ipOptions: [1, 1, 1, 0], tcpOptions: [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] }),
    mss: MSS,
    needs: ["csum", "tso4"],
  },
  { what: "TSO of one segment", spec: spec4({ payload: pattern(MSS) }), mss: MSS, needs: ["csum", "tso4"] },
  { what: "UDP over IPv4, checksum", spec: spec4({ transport, payload }), mss: 0, needs: ["csum"] },
  { what: "UDP over IPv6, checksum", spec: spec6({ transport, payload: pattern(901) }), mss: 0, needs: ["csum"] },
  { what: "IPv4, USO", spec: spec4({ transport, payload, id: 0xfffe }), mss: MSS, needs: ["csum", "uso"] },
  { what: "IPv6, USO", spec: spec6({ transport, payload }), mss: MSS, needs: ["csum", "uso"] },
  { what: "IPv4 in a VLAN, USO", spec: spec4({ transport, payload, tags: vlan }), mss: MSS, needs: ["csum", "uso"] },
  {
    what: "IPv6 in two tags, USO",
    spec: spec6({ transport, payload, tags: twoTags }),
    mss: MSS,
    needs: ["csum", "uso"],
  },
  { what: "USO of a byte each", spec: spec4({ transport, payload: pattern(40) }), mss: 1, needs: ["csum", "uso"] },
];

function query(forms: Form[]): string {
  return `size=64&offload=${forms.length === 0 ? "none" : forms.join(",")}`;
}

function accepts(forms: Form[], needs: Form[]): boolean {
  return needs.every((form) => forms.includes(form));
}

/** What arrived is what was sent, with a header that says the same. */
function expectUnchanged({ header, frame: bytes }: Received, sent: { bytes: Uint8Array; header: Uint8Array }): void {
  expect(bytes).toEqual(sent.bytes);
  const { hdrLen, buffers, ...told } = readNetHeader(header);
  const { hdrLen: _, buffers: __, ...said } = readNetHeader(sent.header);
  expect(told).toEqual(said);
  expect(buffers).toBe(1);
  // A hint: 0 without GSO, else all headers or at least the fixed ones.
  if (said.gsoType === 0) expect(hdrLen).toBe(0);
  else if (said.gsoType === 5) expect(hdrLen).toBe(said.csumStart + 8);
  else expect(hdrLen).toBeGreaterThanOrEqual(said.csumStart + 20);
  expect(hdrLen).toBeLessThanOrEqual(bytes.length);
}

/** What arrived are these plain frames, checksums complete. */
function expectPlain(received: Received[], expected: Uint8Array[]): void {
  expect(received.map(({ frame: bytes }) => bytes)).toEqual(expected);
  const plain = netHeader({});
  plain[10] = 1; // num_buffers, virtio 1.2, 5.1.6.4.1
  for (const { header, frame: bytes } of received) {
    expect(header).toEqual(plain);
    expect(verifyTcp(bytes) ?? verifyUdp(bytes)).not.toBeNull();
  }
}

/** A switch with one sender that may use `forms`, and the address TO bound to `receiver`. */
async function pair(sender: Form[], receiver: Form[]): Promise<MemorySwitch> {
  const it = await start({}, "other");
  await it.add("from", query(sender));
  await it.add("to", query(receiver));
  it.api.fdbAdd(macText(TO), "to");
  return it;
}

describe.each(SETS.map((forms) => [forms.join("+") || "nothing", forms] as const))("a sender of %s", (_, sender) => {
  test.each(SETS.map((forms) => [forms.join("+") || "nothing", forms] as const))(
    "to a receiver of %s",
    async (__, receiver) => {
      const it = await pair(sender, receiver);
      let refused = 0;
      let copies = 0;
      for (const { spec, mss, needs } of CASES) {
        const sent = offloaded(TO, FROM, spec, mss, needs.includes("ecn"));
        expect(it.trySend("from", sent.bytes, sent.header)).toBe(true);
        await it.settled();
        const received = it.drain("to");
        if (!accepts(sender, needs)) {
          refused++;
          expect(received).toEqual([]);
        } else if (accepts(receiver, needs)) {
          expect(received.length).toBe(1);
          expectUnchanged(received[0], sent);
        } else {
          const expected = mss === 0 ? [complete(TO, FROM, spec)] : plainSegments(TO, FROM, spec, mss);
          copies += expected.length - 1;
          expectPlain(received, expected);
          for (const { frame: bytes } of received) {
            const carried = (verifyTcp(bytes) ?? verifyUdp(bytes))!.payload.length;
            expect(carried).toBeLessThanOrEqual(mss === 0 ? bytes.length : mss);
          }
        }
      }
      expect(it.drops("from")).toEqual(refused === 0 ? {} : { bad_header: refused });
      expect(it.drops("to")).toEqual({});
      expect(it.drain("other")).toEqual([]);
      expect(it.api.stats().totals.copies).toBe(copies);
    },
  );
});

test("the largest super-frames of a full burst are cut without loss, in order", async () => {
  const it = await start({});
  await it.add("from", "offload=csum,tso4,tso6,uso");
  await it.add("to", "size=4096");
  it.api.fdbAdd(macText(TO), "to");
  const large = [
    spec4({ payload: pattern(65535 - 40), flags }),
    spec6({ payload: pattern(65535 - 60), flags }),
    spec4({ transport, payload: pattern(65535 - 28) }),
    spec6({ transport, payload: pattern(65535 - 48) }),
  ];
  const sent = large.map((spec) => offloaded(TO, FROM, spec, 1448));
  const expected = large.map((spec) => plainSegments(TO, FROM, spec, 1448));
  const all: Uint8Array[] = [];
  for (let k = 0; k < 64; k++) {
    const { bytes, header } = sent[k % 4];
    expect(it.trySend("from", bytes, header)).toBe(true);
    all.push(...expected[k % 4]);
  }
  await it.settled();
  expect(Buffer.compare(Buffer.concat(it.drain("to").map((received) => received.frame)), Buffer.concat(all))).toBe(0);
  expect(it.drops("to")).toEqual({});
}, 20_000);

test("plain frames, checksums and super-frames in one stream keep their order at every kind of receiver", async () => {
  const it = await start({});
  await it.add("from", query(ALL).replace("size=64", "size=256"));
  for (const [k, forms] of SETS.entries()) await it.add(`to${k}`, query(forms).replace("size=64", "size=512"));
  const to: Mac = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  const stream = Array.from({ length: 60 }, (_, k) => {
    if (k % 4 === 1) return { bytes: numbered(to, FROM, 1, k), header: netHeader({}), spec: null, mss: 0, needs: [] };
    const { spec, mss, needs } = CASES[(k * 5) % CASES.length];
    return {
      ...offloaded(to, FROM, { ...spec, id: k }, mss, needs.includes("ecn")),
      spec: { ...spec, id: k },
      mss,
      needs,
    };
  });
  for (const { bytes, header } of stream) expect(it.trySend("from", bytes, header)).toBe(true);
  await it.settled();
  let copies = 0;
  for (const [k, forms] of SETS.entries()) {
    const expected = stream.flatMap(({ bytes, spec, mss, needs }) => {
      if (spec === null || accepts(forms, needs)) return [bytes];
      return mss === 0 ? [complete(to, FROM, spec)] : plainSegments(to, FROM, spec, mss);
    });
    expect(it.drain(`to${k}`).map((received) => received.frame)).toEqual(expected);
    expect(it.drops(`to${k}`)).toEqual({});
    copies += expected.length;
  }
  expect(it.api.stats().totals.copies).toBe(copies - stream.length);
});

describe("what no receiver can be given is dropped", () => {
  /** Sends one frame from a port with all offloads to one without any; returns the drops of both. */
  async function fate(bytes: Uint8Array, header: Uint8Array) {
    const it = await pair(ALL, []);
    expect(it.trySend("from", bytes, header)).toBe(true);
    await it.settled();
    return { arrived: it.drain("to").length, from: it.drops("from"), to: it.drops("to") };
  }

  const tso = offloaded(TO, FROM, spec4({ payload }), MSS);
  const changed = (at: number, ...bytes: number[]) => {
    const copy = tso.bytes.slice();
    copy.set(bytes, at);
    return copy;
  };
  const told = (changes: Parameters<typeof netHeader>[0]) => netHeader({ ...readNetHeader(tso.header), ...changes });

  const shortPacket = changed(14 + 2, 0, 60);
  shortPacket[34 + 12] = 0xf0;

  const uncut: [string, Uint8Array, Uint8Array][] = [
    ["another IP version than the gso type", tso.bytes, told({ gsoType: 4 })],
    ["no TCP", changed(14 + 9, 17), tso.header],
    ["a fragment", changed(14 + 6, 0x20, 0), tso.header],
    ["a SYN", changed(34 + 13, 0x02), tso.header],
    ["an IP length beyond the frame", changed(14 + 2, 0xff, 0xff), tso.header],
    ["segments smaller than any stack makes", tso.bytes, told({ gsoSize: 8 })],
    ["a TCP header beyond the packet", shortPacket, tso.header],
    ["no IP at all", changed(12, 0x88, 0xb5), tso.header],
    ["a checksum field in the addresses", tso.bytes, told({ gsoType: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 })],
  ];
  const uso = offloaded(TO, FROM, spec4({ transport, payload }), MSS);
  const changedUdp = (at: number, ...bytes: number[]) => {
    const copy = uso.bytes.slice();
    copy.set(bytes, at);
    return copy;
  };
  uncut.push(
    ["a TCP super-frame that says it is UDP", tso.bytes, uso.header],
    ["a UDP super-frame that says it is TCP", uso.bytes, tso.header],
    ["a fragment of UDP", changedUdp(14 + 6, 0x20, 0), uso.header],
    ["a UDP length that is not the packet's", changedUdp(34 + 4, 0, 100), uso.header],
    ["more datagrams than Linux sends at once", uso.bytes, netHeader({ ...readNetHeader(uso.header), gsoSize: 14 })],
    ["a UDP header beyond the packet", changedUdp(14 + 2, 0, 27), uso.header],
  );
  test.each(uncut)("as offload: %s", async (_, bytes, header) => {
    expect(await fate(bytes, header)).toEqual({ arrived: 0, from: {}, to: { offload: 1 } });
  });

  const badHeaders: [string, Uint8Array][] = [
    ["GSO without NEEDS_CSUM", told({ flags: 0 })],
    ["GSO of no size", told({ gsoSize: 0 })],
    ["an unknown gso type", told({ gsoType: 3 })],
    ["ECN without TSO", told({ gsoType: 0x80 })],
    ["ECN of UDP", told({ gsoType: 0x85 })],
    ["USO without NEEDS_CSUM", told({ gsoType: 5, flags: 0 })],
    ["USO of no size", told({ gsoType: 5, gsoSize: 0 })],
    ["a checksum field beyond the frame", told({ csumOffset: 65535 })],
    ["a checksum start beyond the frame", told({ csumStart: 65535 })],
  ];
  test.each(badHeaders)("as bad_header: %s", async (_, header) => {
    expect(await fate(tso.bytes, header)).toEqual({ arrived: 0, from: { bad_header: 1 }, to: {} });
  });

  test("and those around it arrive", async () => {
    const it = await pair(ALL, []);
    const plain = [1, 2, 3].map((k) => numbered(TO, FROM, 1, k));
    it.trySend("from", plain[0]);
    it.trySend("from", changed(34 + 13, 0x02), tso.header);
    it.trySend("from", plain[1]);
    it.trySend("from", tso.bytes, told({ gsoType: 3 }));
    it.trySend("from", plain[2]);
    await it.settled();
    expect(it.drain("to").map((received) => received.frame)).toEqual(plain);
  });
});

describe("the receiver's MTU", () => {
  test("lets a super-frame through whose segments fit, in either form", async () => {
    const it = await start({});
    await it.add("from", query(ALL));
    await it.add("able", `${query(ALL)}&mtu=1000`);
    await it.add("plain", `${query([])}&mtu=1000`);
    const to: Mac = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    const spec = spec4({ payload });
    const sent = offloaded(to, FROM, spec, 960);
    it.trySend("from", sent.bytes, sent.header);
    await it.settled();
    expectUnchanged(it.drain("able")[0], sent);
    expectPlain(it.drain("plain"), plainSegments(to, FROM, spec, 960));
  });

  test("stops one whose segments do not fit, as oversized", async () => {
    const it = await start({});
    await it.add("from", query(ALL));
    await it.add("able", `${query(ALL)}&mtu=1000`);
    await it.add("plain", `${query([])}&mtu=1000`);
    const sent = offloaded([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], FROM, spec4({ payload }), 1448);
    it.trySend("from", sent.bytes, sent.header);
    await it.settled();
    expect([it.drain("able").length, it.drain("plain").length]).toEqual([0, 0]);
    expect([it.drops("able"), it.drops("plain")]).toEqual([{ oversized: 1 }, { oversized: 1 }]);
  });

  test("is compared with datagrams of a UDP super-frame, whose header is shorter than TCP's", async () => {
    const it = await start({});
    await it.add("from", query(ALL));
    await it.add("able", `${query(ALL)}&mtu=1000`);
    await it.add("plain", `${query([])}&mtu=1000`);
    const to: Mac = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    const spec = spec4({ transport, payload });
    const fits = offloaded(to, FROM, spec, 1000 - 28);
    // The longest frame has room for two VLAN tags (8) beside the Ethernet header; this one has none, and a byte too many.
    const over = offloaded(to, FROM, spec, 1000 - 28 + 8 + 1);
    it.trySend("from", fits.bytes, fits.header);
    it.trySend("from", over.bytes, over.header);
    await it.settled();
    const able = it.drain("able");
    expect(able.length).toBe(1);
    expectUnchanged(able[0], fits);
    expectPlain(it.drain("plain"), plainSegments(to, FROM, spec, 1000 - 28));
    expect([it.drops("able"), it.drops("plain")]).toEqual([{ oversized: 1 }, { oversized: 1 }]);
  });
});

test("DATA_VALID of an untrusted sender is not passed on", async () => {
  const it = await pair(ALL, ALL);
  it.trySend("from", frame(TO, FROM), netHeader({ flags: 2 }));
  await it.settled();
  expect(it.drain("to")[0].header.subarray(0, HEADER_SIZE - 2)).toEqual(new Uint8Array(10));
  expect(NEEDS_CSUM).toBe(1);
});
