// UDP super-frames of a real kernel (UDP_SEGMENT), through TAP ports to other ports of every kind, as each of them takes
// them: whole, or cut by the switch. What a socket on the other side receives is what was sent, datagram by datagram.
//
//   kernel to kernel        a switch process, both ports TAP
//   kernel to driver        a memory port, or a vhost-user front end; each frame looked at with its header
//   driver to kernel        the same, to a socket
//
// Every form against every other without a kernel: test/dataplane/fallback*. TCP: tap.test.ts, offload.test.ts.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import * as net from "../../src/uapi/virtio_net.ts";
import { pattern, referenceSum, spec4, spec6 } from "../dataplane/offload/reference.ts";
import { GSO_UDP_L4, mac, macText, NEEDS_CSUM, offloaded, readNetHeader, verifyUdp } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { type MemorySwitch, type Received, useMemorySwitch } from "../support/memory-switch.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { useSwitch } from "../support/switch.ts";
import { KERNEL_HAS_USO, links, requireTap } from "../support/tap.ts";
import { address, ping, sendSegments, UDP_PORT, udpSegments, udpSink } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

const LIMIT_MS = 60_000 * PATIENCE;
const PEER = mac(0xee);
const ALL = "csum,ecn,tso4,tso6,uso";
const scratch = mkdtempSync(join(tmpdir(), "ringyard-uso-"));
afterAll(() => rmSync(scratch, { recursive: true }));

requireTap()("UDP super-frames between two kernels", () => {
  const namespace = useNamespaces();
  const startSwitch = useSwitch();
  /** 31 datagrams with a short last one, two exact ones, and one that is no super-frame at all. */
  const SEGMENT = 1400;
  const SIZES = [SEGMENT * 30 + 17, SEGMENT * 2, 99];

  test.each([
    [ALL, ALL],
    [ALL, "none"],
    [ALL, "csum"],
    ["csum,uso", "csum,tso4,tso6"],
    ["csum,tso4,tso6", ALL],
    ["csum", "csum,uso"],
  ])(
    "arrive with offload=%s at a port with offload=%s, by IPv4 and IPv6",
    async (offloadA, offloadB) => {
      const [first, second] = [await namespace(), await namespace()];
      const uri = (inside: Namespace, offload: string) => `tap:eth0?netns=${inside.name}&offload=${offload}`;
      const ringyard = await startSwitch({ a: uri(first, offloadA), b: uri(second, offloadB) });
      const [a, b] = [await address(first, 1), await address(second, 2)];
      await ping(a, b.ip);
      await ping(a, b.ip6);
      // What the kernels said before there was anybody to hear it is dropped, and is none of our business.
      const drops = async () => [(await ringyard.port("a")).drops, (await ringyard.port("b")).drops];
      const [before, dropsBefore] = [(await ringyard.port("a")).rxFrames, await drops()];
      let datagrams = 0;
      for (const to of [b.ip, b.ip6]) datagrams += await udpSegments(a, b, to, SEGMENT, SIZES);
      expect(datagrams).toBe(2 * 34);
      await until("the sum of frames to add up", async () => {
        const { rxFrames, copies, txFrames, dropped } = (await ringyard.stats()).totals;
        return rxFrames + copies === txFrames + dropped;
      });
      const { copies } = (await ringyard.stats()).totals;
      const handed = (await ringyard.port("a")).rxFrames - before;
      const whole = KERNEL_HAS_USO && offloadA.includes("uso");
      // Two of the three sends are super-frames: 31 and 2 datagrams, by IPv4 and IPv6.
      expect(copies).toBe(whole && !offloadB.includes("uso") ? 2 * (30 + 1) : 0);
      // The kernel says a word of its own now and then (neighbours).
      if (whole) expect(handed).toBeLessThan(datagrams / 2);
      else expect(handed).toBeGreaterThanOrEqual(datagrams);
      expect(await drops()).toEqual(dropsBefore);
      expect((await ringyard.port("a")).details).toMatchObject({
        offload: expect.arrayContaining(whole ? ["csum", "uso"] : ["csum"]),
      });
      await ringyard.stop();
    },
    LIMIT_MS,
  );
});

/** A driver on a port of some kind. */
interface Driver {
  drain(): Received[];
  send(frame: Uint8Array, header: Uint8Array): boolean;
}

const CSUM = [net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_GUEST_CSUM];
const USO = [net.VIRTIO_NET_F_HOST_USO, net.VIRTIO_NET_F_GUEST_USO4, net.VIRTIO_NET_F_GUEST_USO6];
/** A driver, how it is made (options of a memory port, features of a front end), and whether it takes super-frames. */
const DRIVERS: [string, string | number[], { csum: boolean; uso: boolean }][] = [
  ["a memory port without offloads", "offload=none", { csum: false, uso: false }],
  ["a memory port with checksums", "offload=csum", { csum: true, uso: false }],
  ["a memory port with TSO", "offload=csum,tso4,tso6", { csum: true, uso: false }],
  ["a memory port with USO", "offload=csum,uso", { csum: true, uso: true }],
  ["a front end without offloads", [], { csum: false, uso: false }],
  ["a front end with checksums", CSUM, { csum: true, uso: false }],
  ["a front end with USO for IPv4 only", [...CSUM, USO[0], USO[1]], { csum: true, uso: false }],
  ["a front end with USO", [...CSUM, ...USO], { csum: true, uso: true }],
];

requireTap()("UDP super-frames between a kernel and", () => {
  const start = useMemorySwitch();
  const namespace = useNamespaces();
  /** Together they fit a buffer of a front end, which has 2 KiB. */
  const SEGMENT = 300;
  const SIZE = SEGMENT * 5 + 7;

  /** A switch with a TAP port that leaves all to it, a driver, and what either has to know of the other. */
  async function pair(
    made: string | number[],
    use: (it: MemorySwitch, inside: Namespace, vm: Driver) => Promise<void>,
  ) {
    const [it, inside] = [await start({}), await namespace()];
    await it.api.addPort(parsePort("tap", `tap:eth0?netns=${inside.name}&offload=${ALL}`, kinds));
    await inside.configure("eth0", "10.79.0.1/24");
    await inside.ip("addr add fd79::1/64 dev eth0 nodad");
    for (const to of ["10.79.0.2", "fd79::2"]) {
      await inside.ip(`neigh add ${to} lladdr ${macText(PEER)} dev eth0 nud permanent`);
    }
    const known = () => it.api.fdbAdd(macText(PEER), "peer");
    if (typeof made === "string") {
      await it.add("peer", made);
      known();
      const send = (frame: Uint8Array, header: Uint8Array) => it.trySend("peer", frame, header);
      return await use(it, inside, { drain: () => it.drain("peer"), send });
    }
    const path = join(scratch, `${inside.name}.sock`);
    await it.api.addPort(parsePort("peer", `vhost-user:${path}`, kinds));
    known();
    const vm = new FrontEnd(path, { size: 256, features: made });
    try {
      await vm.connect();
      await vm.start();
      const drain = () => {
        const received: Received[] = [];
        for (let next = vm.pollWithHeader(); next !== null; next = vm.pollWithHeader()) received.push(next);
        return received;
      };
      await use(it, inside, { drain, send: (frame, header) => vm.send(frame, header) });
    } finally {
      vm.close();
    }
  }

  describe.each(DRIVERS)("%s", (_, made, takes) => {
    test.each(["10.79.0.2", "fd79::2"])(
      "from the kernel, to %s",
      async (to) => {
        await pair(made, async (it, inside, vm) => {
          const drops = it.drops("peer");
          const sent = await sendSegments(inside, to, SEGMENT, [SIZE]);
          const seen: string[] = [];
          const headers: ReturnType<typeof readNetHeader>[] = [];
          const arrived = () => {
            for (const { header, frame } of vm.drain()) {
              const told = readNetHeader(header);
              const datagrams = takeApart(frame, told);
              if (datagrams === null) continue;
              headers.push(told);
              seen.push(...datagrams);
            }
            return seen.length >= sent.length;
          };
          await until("the datagrams", arrived, { everyMs: 1, context: () => seen.join("\n") });
          expect(seen).toEqual(sent);
          const superFrames = headers.filter(({ gsoType }) => gsoType !== 0);
          expect(superFrames.length).toBe(takes.uso && KERNEL_HAS_USO ? 1 : 0);
          for (const { gsoType, gsoSize } of superFrames) expect([gsoType, gsoSize]).toEqual([GSO_UDP_L4, SEGMENT]);
          for (const { flags } of headers) expect(flags === NEEDS_CSUM && !takes.csum).toBe(false);
          expect(it.drops("peer")).toEqual(drops);
          expect(it.api.stats().totals.copies).toBe(takes.uso || !KERNEL_HAS_USO ? 0 : 5);
        });
      },
      LIMIT_MS,
    );

    // A driver without HOST_USO may not send any (bad_header): nothing to see here.
    if (!takes.uso) return;

    test.each([
      ["10.79.0.1", spec4({ source: [10, 79, 0, 2], target: [10, 79, 0, 1], transport: "udp" })],
      ["fd79::1", spec6({ source: ip6(2), target: ip6(1), transport: "udp" })],
    ])(
      "to the kernel, at %s",
      async (at, base) => {
        await pair(made, async (it, inside, vm) => {
          const to = links(inside.name).find(({ ifname }) => ifname === "eth0")!.address;
          const target = to.split(":").map((byte) => Number.parseInt(byte, 16));
          it.api.fdbAdd(to, "tap");
          const { sink, seen } = await udpSink(inside, at);
          try {
            const drops = it.drops("tap");
            const payload = pattern(SIZE);
            const { bytes, header } = offloaded(target, PEER, { ...base, payload }, SEGMENT);
            const l4 = readNetHeader(header).csumStart;
            setPort(bytes, l4, UDP_PORT);
            expect(vm.send(bytes, header)).toBe(true);
            const expected = cut(Uint8Array.from(payload), SEGMENT);
            await until("the datagrams", () => seen().length >= expected.length, { context: () => sink.output });
            expect(seen()).toEqual(expected);
            expect(it.drops("tap")).toEqual(drops);
            expect(it.api.stats().totals.copies).toBe(KERNEL_HAS_USO ? 0 : 5);
          } finally {
            await sink.stop();
          }
        });
      },
      LIMIT_MS,
    );
  });
});

function ip6(last: number): number[] {
  return [0xfd, 0x79, ...new Array(13).fill(0), last];
}

/** Changes the target port of a partial frame, whose checksum field counts no ports. */
function setPort(bytes: Uint8Array, l4: number, port: number): void {
  bytes[l4 + 2] = port >> 8;
  bytes[l4 + 3] = port & 255;
}

/** A payload's datagrams, as a sink prints them. */
function cut(payload: Uint8Array, segment: number): string[] {
  const count = Math.ceil(payload.length / segment);
  return Array.from({ length: count }, (_, k) => {
    const bytes = payload.subarray(k * segment, (k + 1) * segment);
    return `datagram ${bytes.length} ${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  });
}

/** The datagrams of a frame for our port, which has to be whole; null for the kernel's own chatter. */
function takeApart(frame: Uint8Array, told: ReturnType<typeof readNetHeader>): string[] | null {
  const complete = told.flags === NEEDS_CSUM ? completed(frame, told.csumStart, told.csumOffset) : frame;
  const udp = verifyUdp(complete);
  if (udp === null || udp.to !== UDP_PORT) return null;
  return cut(udp.payload, told.gsoType === GSO_UDP_L4 ? told.gsoSize : Math.max(1, udp.payload.length));
}

/** What a device does that was asked for a checksum, the slow way. */
function completed(frame: Uint8Array, start: number, offset: number): Uint8Array {
  const copy = frame.slice();
  const sum = 0xffff - referenceSum(copy.subarray(start));
  copy.set(sum === 0 ? [0xff, 0xff] : [sum >> 8, sum & 255], start + offset);
  return copy;
}
