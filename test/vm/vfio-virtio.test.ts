// The driver of virtio NICs on a real kernel, QEMU's devices and an emulated IOMMU, without a switch: two NICs, and this process
// hands what comes in at one to the other. Their partners are devices of two network namespaces.
//
//   namespace a - partner ══ virtio0 - driver - this loop - driver - virtio1 ══ partner - namespace b
//
// VM: nics
// VM: kernels 6.12
// VM: also sid build

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batch, OFFLOAD_CSUM } from "../../src/mem/batch.ts";
import { TX_COPIED, TX_ZERO_COPY } from "../../src/mem/counters.ts";
import { TX_REAPED } from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { VIRTIO_NET_HDR_F_NEEDS_CSUM } from "../../src/uapi/virtio_net.ts";
import { build, spec4 } from "../dataplane/offload/reference.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { DOORS, NicEnd, useNicBridge } from "../support/nic-bridge.ts";
import { dmaFaults, partnerHost, requireNics, setCable } from "../support/nics.ts";
import { sized } from "../support/scale.ts";
import { asleep, drained } from "../support/sleeping-lane.ts";
import { iperf, ping, randomFile, transfer, UDP_PORT, udp, udpSink } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 400_000;
const FILE_SIZE = 3_000_000;
/** The one frame of a batch. */
const FIRST = Int32Array.of(0);

const scratch = mkdtempSync(join(tmpdir(), "ringyard-nic-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

requireNics("virtio-net-pci")("virtio NICs", () => {
  const namespace = useNamespaces();
  const { left, bridged } = useNicBridge("virtio-net-pci");

  describe.each(DOORS)("by %s", (door) => {
    test(
      "carry pings, UDP and TCP with offloads",
      () =>
        bridged({ door }, async (a, b, { a: end }) => {
          expect([end.nic.mac, end.nic.pairs, end.nic.maxFrame]).toEqual([left.mac, 1, 1522]);
          for (const name of ["CSUM", "HOST_TSO4", "GUEST_TSO6", "MRG_RXBUF", "EVENT_IDX", "ACCESS_PLATFORM"]) {
            expect(end.nic.details().features).toContain(name);
          }
          expect(end.nic.link()).toEqual({ up: true, speedMbps: 0, fullDuplex: true });
          await ping(a, b.ip);
          await ping(b, a.ip6);
          await ping(a, b.ip, 6000);
          await udp(a, b);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          expect(await transfer(b, a, path)).toBe(print);
          await iperf(a, b, "-n", `${sized(5, 20)}M`);
        }),
      LIMIT_MS,
    );
  });

  test(
    "carry jumbo frames over four pairs, without offloads",
    () =>
      bridged({ door: DOORS[0], queues: 4, mtu: 9000, offload: 0 }, async (a, b, { a: end, b: other }) => {
        expect([end.nic.pairs, end.nic.accepts, end.nic.maxFrame]).toEqual([4, 0, 9022]);
        expect(new Set(end.lanes.map(({ wakeFd }) => wakeFd)).size).toBe(4);
        await ping(a, b.ip, 8972, true);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(a, b, path)).toBe(print);
        await udp(b, a);
        await iperf(a, b, "-n", `${sized(5, 10)}M`, "-P", "8");
        expect(other.nic.link()).toMatchObject({ up: true });
      }),
    LIMIT_MS,
  );

  test.each(DOORS)(
    "read frames in their sender's memory, by %s",
    async (door) => {
      const windows = new WindowTable();
      const before = dmaFaults().length;
      const end = await NicEnd.open(left.address, windows, { door });
      const host = await partnerHost(left, await namespace(), 2);
      const { sink, seen } = await udpSink(host.inside, "0.0.0.0");
      const size = 1 << 20;
      const memory = mapAnonymous(size);
      const iova = end.device.space.map(memory, size);
      windows.mapDma({ address: memory, size, iova });
      const window = windows.add(memory, size);
      const batch = new Batch();
      const sent: string[] = [];
      let at = 0;
      for (let length = 1; length <= 1472; length += 31) {
        const payload = crypto.getRandomValues(new Uint8Array(length));
        const { bytes, l4 } = build(
          spec4({
            transport: "udp",
            source: [10, 78, 0, 99],
            target: [10, 78, 0, 2],
            payload: [...payload],
            partial: true,
          }),
        );
        bytes.splice(0, 6, ...left.partner.mac.split(":").map((byte) => Number.parseInt(byte, 16)));
        bytes.splice(l4 + 2, 2, UDP_PORT >> 8, UDP_PORT & 255);
        batch.reset();
        batch.count = 1;
        batch.length[0] = bytes.length;
        batch.needs[0] = OFFLOAD_CSUM;
        batch.flags[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        batch.gsoType[0] = 0;
        batch.csumStart[0] = l4;
        batch.csumOffset[0] = 6;
        // Headers apart from the payload, as a kernel sends them.
        const pieces = [bytes.slice(0, l4 + 8), bytes.slice(l4 + 8)];
        batch.segments[0] = pieces.length;
        pieces.forEach((piece, s) => {
          windows.u8[window].set(piece, at);
          batch.pool.window[s] = window;
          batch.pool.offset[s] = at;
          batch.pool.length[s] = piece.length;
          at += piece.length + 5;
        });
        expect(end.lanes[0].deliver(batch, FIRST, 1)).toBe(1);
        sent.push(`datagram ${length} ${new Bun.CryptoHasher("sha256").update(payload).digest("hex")}`);
        await until("the device to be done", () => {
          end.lanes[0].reap?.();
          return end.states[0][TX_REAPED] === sent.length;
        });
      }
      await until("the datagrams", () => {
        if (seen().join() === sent.join()) return true;
        throw new Error(`${seen().length} of ${sent.length}`);
      });
      expect([end.counters[TX_ZERO_COPY], end.counters[TX_COPIED]]).toEqual([sent.length, 0]);
      end.device.space.unmap(iova);
      end.close();
      windows.remove(window);
      unmap(memory, size);
      await sink.stop();
      host.inside.remove();
      expect(dmaFaults().slice(before)).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "call a driver that sleeps, tell of the cable, and change address and filter",
    () =>
      bridged({ door: DOORS[0] }, async (a, b, bridge) => {
        await ping(a, b.ip);
        await bridge.end();
        const [lane] = bridge.a.lanes;
        const device = bridge.a.nic;
        await asleep(lane);
        const asking = a.inside.run(["ping", "-c", "1", "-W", "1", b.ip], { allowFailure: true });
        await until("the interrupt", () => clearSignal(lane.wakeFd));
        lane.disarm();
        await asking;
        expect(drained(lane)).toBeGreaterThan(0);

        const fd = device.managementVector;
        expect(fd).toBe(0);
        expect(device.link().up).toBe(true);
        await setCable(left.id, false);
        await until("the link to go", () => !device.link().up);
        await setCable(left.id, true);
        await until("the link to come", () => device.link().up);

        device.setMac("52:54:00:99:99:99");
        device.setPromisc(false);
        expect(device.mac).toBe("52:54:00:99:99:99");
        device.setPromisc(true);
      }),
    LIMIT_MS,
  );

  test(
    "are opened and closed without leaving anything",
    async () => {
      const windows = new WindowTable();
      const once = async () => (await NicEnd.open(left.address, windows, { door: DOORS[0], queues: 4 })).close();
      await once();
      const before = holdings();
      for (let turn = 0; turn < sized(5, 20); turn++) await once();
      expect(heldDifference(before, holdings())).toEqual([]);
    },
    LIMIT_MS,
  );
});
