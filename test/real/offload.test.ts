// Offloads between a memory port and a kernel's stack behind a TAP port, on the wire of both: what Linux sends when it may
// leave checksums and segments to the switch, and what it is given when it may not.
//
//   to memory   a kernel's TCP connection to a small TCP peer on the memory port (tcp-sink.ts)
//   to TAP      frames of every form, as tcpdump sees them come in
//
// Kernel to kernel, with files compared by hash: tap.test.ts. UDP super-frames of a kernel's: uso.test.ts. Memory and
// vhost-user ports: test/dataplane/fallback*.

import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type FrameSpec, pattern, spec4, spec6 } from "../dataplane/offload/reference.ts";
import { useCleanup } from "../support/cleanup.ts";
import { complete, GSO_ECN, type Mac, mac, macText, NEEDS_CSUM, offloaded, plainSegments } from "../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { useProcesses } from "../support/process.ts";
import { requirePrograms } from "../support/skip.ts";
import { KERNEL_HAS_USO, links, requireTap } from "../support/tap.ts";
import { MSS, type SinkOptions, TcpSink } from "../support/tcp-sink.ts";
import { PATIENCE, until } from "../support/until.ts";

const LIMIT_MS = 60_000 * PATIENCE;
const SIZE = 400_000;
const VLAN = 5;
const CWR = 0x80;
const PEER = mac(0xee);
/** fd79::2 */
const IP6 = [0xfd, 0x79, ...new Array(13).fill(0), 2];
const SETS = ["none", "csum", "csum,tso4", "csum,tso6", "csum,tso4,tso6", "csum,ecn,tso4,tso6"];
const ALL = "csum,ecn,tso4,tso6,uso";

const scratch = mkdtempSync(join(tmpdir(), "ringyard-offload-"));
useCleanup()(() => rmSync(scratch, { recursive: true }));

const suite = (label: string, body: () => void) =>
  requireTap()(label, () => requirePrograms(["bash", "tcpdump"], "apt install bash tcpdump")("traffic", body));

suite("TAP and memory ports", () => {
  const start = useMemorySwitch();
  const namespace = useNamespaces();
  const spawn = useProcesses();

  /** A switch with a TAP port in a namespace of its own, and `peer`, a memory port that the kernel there knows. */
  async function pair(tap: string, peer: string): Promise<{ it: MemorySwitch; inside: Namespace }> {
    const [it, inside] = [await start({}), await namespace()];
    await it.add("peer", `offload=${peer}`);
    const uri = `tap:eth0?netns=${inside.name}&offload=${tap}`;
    await it.api.addPort(parsePort("tap", uri, kinds));
    await inside.configure("eth0", "10.79.0.1/24");
    await inside.ip("addr add fd79::1/64 dev eth0 nodad");
    for (const address of ["10.79.0.2", "fd79::2"]) {
      await inside.ip(`neigh add ${address} lladdr ${macText(PEER)} dev eth0 nud permanent`);
    }
    await inside.run(["bash", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_ecn"]);
    it.api.fdbAdd(macText(PEER), "peer");
    return { it, inside };
  }

  /** Sends SIZE bytes to the sink by the kernel's TCP; returns the sink when it has all of them, and checks them. */
  async function receive(it: MemorySwitch, inside: Namespace, address: string, options: SinkOptions): Promise<TcpSink> {
    const sink = new TcpSink(it, "peer", options);
    const script = `seq 1000000 | head -c ${SIZE} | dd bs=64k iflag=fullblock status=none > /dev/tcp/${address}/7`;
    const sender = inside.spawn(["bash", "-c", script]);
    await sink.finish(`the connection to ${address}`, () => sender.output);
    await sender.stop();
    const expected = Array.from({ length: 100_000 }, (_, n) => n + 1)
      .join("\n")
      .slice(0, SIZE);
    expect(Buffer.concat(sink.data).toString() === expected).toBe(true);
    return sink;
  }

  /** Checks the forms in which segments arrived against what both sides allow. */
  function expectForms(sink: TcpSink, tap: string, peer: string, version: 4 | 6, ecn: boolean): void {
    const both = (form: string) => tap.includes(form) && peer.includes(form);
    for (const { header, flags, payloadLength } of sink.segments) {
      if (header.gsoType === 0) expect(payloadLength).toBeLessThanOrEqual(MSS);
      else {
        expect(header.gsoType & ~GSO_ECN).toBe(version === 4 ? 1 : 4);
        expect(header.gsoSize).toBeLessThanOrEqual(MSS);
        expect(both(`tso${version}`)).toBe(true);
        // RFC 3168: of a super-frame with CWR, only the first segment may have it.
        expect((flags & CWR) !== 0).toBe((header.gsoType & GSO_ECN) !== 0);
        if ((flags & CWR) !== 0) expect(both("ecn")).toBe(true);
      }
      if (header.flags === NEEDS_CSUM) expect(both("csum")).toBe(true);
    }
    const superFrames = sink.segments.filter(({ header }) => header.gsoType !== 0);
    if (both(`tso${version}`)) expect(superFrames.length).toBeGreaterThan(0);
    if (both("csum")) expect(sink.segments.some(({ header }) => header.flags === NEEDS_CSUM)).toBe(true);
    if (ecn) expect(sink.segments.some(({ flags }) => (flags & CWR) !== 0)).toBe(true);
  }

  describe.each(SETS.flatMap((tap) => ["none", "csum", SETS[5]].map((peer) => [tap, peer])))(
    "from a kernel with offload=%s to a driver with offload=%s",
    (tap, peer) => {
      test(
        "TCP arrives whole and in forms that were negotiated: IPv4 and IPv6, with and without ECN",
        async () => {
          const { it, inside } = await pair(tap, peer);
          const sinks: [string, 4 | 6, SinkOptions][] = [
            ["10.79.0.2", 4, { mac: [...PEER], address: [10, 79, 0, 2] }],
            ["fd79::2", 6, { mac: [...PEER], address: IP6 }],
            ["10.79.0.2", 4, { mac: [...PEER], address: [10, 79, 0, 2], ecn: true }],
            ["fd79::2", 6, { mac: [...PEER], address: IP6, ecn: true }],
          ];
          for (const [address, version, options] of sinks) {
            const sink = await receive(it, inside, address, options);
            expectForms(sink, tap, peer, version, options.ecn === true);
          }
          const { copies } = it.api.stats().totals;
          const cut = [4, 6].some((version) => tap.includes(`tso${version}`) && !peer.includes(`tso${version}`));
          if (cut) expect(copies).toBeGreaterThan(50);
          else if (tap.includes("ecn") === peer.includes("ecn")) expect(copies).toBe(0);
          expect(it.drops("peer")).toEqual({});
        },
        LIMIT_MS,
      );
    },
  );

  const payload = pattern(5000);
  const tags = [{ type: 0x8100, tci: VLAN }];
  const CASES: { what: string; spec: FrameSpec; mss: number; needs: string[] }[] = [
    { what: "IPv4, checksum", spec: spec4({ payload: pattern(1001) }), mss: 0, needs: ["csum"] },
    { what: "IPv6, checksum", spec: spec6({ payload: pattern(1000) }), mss: 0, needs: ["csum"] },
    { what: "VLAN, checksum", spec: spec4({ payload: pattern(1000), tags }), mss: 0, needs: ["csum"] },
    { what: "IPv4, TSO", spec: spec4({ payload, flags: 0x18 }), mss: 1400, needs: ["csum", "tso4"] },
    { what: "IPv6, TSO", spec: spec6({ payload, flags: 0x18 }), mss: 1400, needs: ["csum", "tso6"] },
    { what: "IPv4 in a VLAN, TSO", spec: spec4({ payload, tags }), mss: 1400, needs: ["csum", "tso4"] },
    { what: "IPv6 in a VLAN, TSO", spec: spec6({ payload, tags }), mss: 1400, needs: ["csum", "tso6"] },
    { what: "IPv4, TSO, CWR", spec: spec4({ payload, flags: 0x98 }), mss: 1400, needs: ["csum", "tso4", "ecn"] },
    { what: "IPv4, USO", spec: spec4({ payload, transport: "udp" }), mss: 1400, needs: ["csum", "uso"] },
    { what: "IPv6, USO", spec: spec6({ payload, transport: "udp" }), mss: 1400, needs: ["csum", "uso"] },
    {
      what: "IPv4 in a VLAN, USO",
      spec: spec4({ payload, tags, transport: "udp" }),
      mss: 1400,
      needs: ["csum", "uso"],
    },
  ];
  /** What the kernel is told to take, and knows. */
  const inForce = (tap: string, form: string) => tap.includes(form) && (form !== "uso" || KERNEL_HAS_USO);

  describe.each([...SETS, "csum,uso", ALL])("from a driver to a kernel with offload=%s", (tap) => {
    test(
      "every form arrives as that was negotiated",
      async () => {
        const { it, inside } = await pair(tap, ALL);
        const to: Mac = links(inside.name)
          .find(({ ifname }) => ifname === "eth0")!
          .address.split(":")
          .map((byte) => Number.parseInt(byte, 16));
        it.api.fdbAdd(macText(to), "tap");
        const file = join(scratch, `${inside.name}.pcap`);
        // Written as they come, by the user that we are.
        const words = ["-i", "eth0", "-Q", "in", "-s", "0", "-U", "--immediate-mode", "-Z", "root", "-w", file];
        const capture = spawn(["ip", "netns", "exec", inside.name, "tcpdump", ...words, "ether src", macText(PEER)]);
        await capture.says("listening on");
        for (const { what, spec, mss, needs } of CASES) {
          const sent = offloaded(to, PEER, spec, mss, needs.includes("ecn"));
          const known = packetsIn(file).length;
          expect(it.trySend("peer", sent.bytes, sent.header)).toBe(true);
          const plain = mss === 0 ? [complete(to, PEER, spec)] : plainSegments(to, PEER, spec, mss);
          const expected = needs.every((form) => inForce(tap, form)) ? [sent.bytes] : plain;
          await until(`${what} to arrive`, () => packetsIn(file).length >= known + expected.length, {
            context: () => capture.output,
          });
          const hex = expected.map((bytes) => Buffer.from(bytes).toString("hex"));
          expect(packetsIn(file).slice(known)).toEqual(hex);
        }
        await it.settled();
        expect(it.drops("tap")).toEqual({});
      },
      LIMIT_MS,
    );
  });
});

/** The packets in a capture file (pcap-savefile(5), little-endian), in hex; the last may still be in the making. */
function packetsIn(file: string): string[] {
  const bytes = readFileSync(file);
  const packets: string[] = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at + 8);
    at += 16 + size;
    if (at <= bytes.length) packets.push(bytes.subarray(at - size, at).toString("hex"));
  }
  return packets;
}
