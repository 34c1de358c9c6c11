// A driver on vhost-vdpa from reset to reset: what it negotiates, what it may take away while frames run, where its rings
// stand when it stops, and what it hears of the link.
//
// VM: processors 2
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import { clearSignal, closeFd, eventFd } from "../../src/sys/fd.ts";
import * as net from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from "../../src/uapi/virtio_ring.ts";
import { FEATURE_NAMES } from "../../src/virtio/features.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { sized } from "../support/scale.ts";
import type { VdpaGuest } from "../support/vhost-vdpa-guest.ts";
import { requireVhostVdpa, useVdpaRig } from "../support/vhost-vdpa-rig.ts";
import { VdpaStream } from "../support/vhost-vdpa-stream.ts";

const LIMIT_MS = 400_000;
const RESTARTS = sized(40, 1000);
const REMAPS = sized(12, 200);
const MEMORY_SIZE = 1 << 22;
const PATTERN = 0xa5;
const REGIONS = [
  { guest: 2 ** 32, size: MEMORY_SIZE },
  { guest: 2 ** 33, size: 1 << 20 },
];
const [A, B] = [mac(1), mac(2)];

const suite = requireVhostVdpa();

suite("a driver on vhost-vdpa", () => {
  const rig = useVdpaRig({ a: "?mac=02:00:00:00:00:01&mtu=1400", b: "" });

  /** A frame each way; `b` learns and is learned. */
  async function passes(a: VdpaGuest, b: VdpaGuest, size = 100): Promise<void> {
    a.send(frame(B, A, size));
    expect(await rig.receive(b)).toEqual(frame(B, A, size));
    b.send(frame(A, B, size + 1));
    expect(await rig.receive(a)).toEqual(frame(A, B, size + 1));
  }

  test(
    "may take any part of what is offered",
    async () => {
      const b = await rig.started("b");
      const offered = rig.guest("a").device.features();
      rig.closeGuests();
      const subsets = [
        [],
        [net.VIRTIO_NET_F_MAC],
        [net.VIRTIO_NET_F_MRG_RXBUF, net.VIRTIO_NET_F_STATUS],
        [net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_HOST_TSO4, VIRTIO_RING_F_EVENT_IDX],
        [net.VIRTIO_NET_F_GUEST_CSUM, net.VIRTIO_NET_F_GUEST_TSO6, VIRTIO_RING_F_INDIRECT_DESC],
        Object.keys(FEATURE_NAMES)
          .map(Number)
          .filter((bit) => (offered >> BigInt(bit)) % 2n === 1n)
          .filter((bit) => bit !== net.VIRTIO_F_VERSION_1 && bit !== net.VIRTIO_F_ACCESS_PLATFORM),
      ];
      const again = await rig.started("b");
      expect(b).not.toBe(again);
      for (const features of subsets) {
        const a = await rig.started("a", { features, size: 256 });
        const names = features.map((bit) => FEATURE_NAMES[bit]);
        expect(((await rig.show("a")).details.features as string[]).sort()).toEqual(
          ["ACCESS_PLATFORM", "VERSION_1", ...names].sort(),
        );
        await passes(a, again);
        rig.close(a);
      }
      expect(subsets.at(-1)!.length).toBeGreaterThan(10);
    },
    LIMIT_MS,
  );

  test(
    "sees its address, mtu and link, and is told when the link changes",
    async () => {
      const a = await rig.started("a", { features: [net.VIRTIO_NET_F_STATUS, net.VIRTIO_NET_F_MAC] });
      const configCall = eventFd();
      try {
        a.device.setConfigCall(configCall);
        const { fields } = net.struct_virtio_net_config;
        const link = () => a.device.config(fields.status[0], 1)[0] & net.VIRTIO_NET_S_LINK_UP;
        expect([...a.device.config(fields.mac[0], 6)]).toEqual([...A]);
        expect(new DataView(a.device.config(fields.mtu[0], 2).buffer).getUint16(0, true)).toBe(1400);
        expect(link()).toBe(1);
        for (const [word, bit] of [
          ["down", 0],
          ["up", 1],
        ] as const) {
          clearSignal(configCall);
          await rig.request("port.set", { name: "a", link: word });
          await rig.until(`the interrupt for link ${word}`, () => clearSignal(configCall));
          expect(link()).toBe(bit);
        }
        await passes(a, await rig.started("b"));
      } finally {
        closeFd(configCall);
      }
    },
    LIMIT_MS,
  );

  test(
    `stops and starts ${RESTARTS} times`,
    async () => {
      const b = await rig.started("b");
      const a = await rig.started("a");
      for (let life = 0; life < RESTARTS; life++) {
        a.stop();
        expect(a.device.status()).toBe(0);
        a.start();
        a.send(frame(B, A, 60 + life));
        expect(await rig.receive(b)).toEqual(frame(B, A, 60 + life));
      }
      await rig.state("a", "running");
      await passes(a, b);
      expect((await rig.show("a")).errors).toEqual({});
    },
    LIMIT_MS,
  );

  test(
    "is told where its rings stand, before a reset and after",
    async () => {
      const a = await rig.started("a");
      const b = await rig.started("b");
      const stream = new VdpaStream(a, b, { source: 1, target: 2 });
      for (const frames of [1, 100, 333]) {
        await stream.pump(frames);
        await stream.finish();
        await rig.until("the last buffers", () => a.inFlight === 0);
        const [received, sent] = [b.device.vringBase(0), a.device.vringBase(1)];
        expect([received, sent]).toEqual([stream.received, stream.sent]);
      }
      const { sent } = stream;
      a.stop();
      expect(a.device.vringBase(1)).toBe(sent);
    },
    LIMIT_MS,
  );

  test(
    "goes on in the same rings after a stop",
    async () => {
      const b = await rig.started("b");
      const a = await rig.started("a");
      const stream = new VdpaStream(a, b, { source: 1, target: 2 });
      for (let life = 0; life < 5; life++) {
        await stream.pump(100);
        stream.fill();
        const bases = a.queues.map(({ index }) => a.device.vringBase(index));
        a.stop();
        // The driver goes on: its ring fills.
        stream.drain();
        stream.fill();
        const resting = stream.acknowledged;
        expect(stream.sent).toBeGreaterThan(resting);
        a.negotiate();
        for (const it of a.queues) {
          a.setUp(it);
          a.device.setVringBase(it.index, bases[it.index]);
        }
        a.driverOk();
        await rig.until("the ring to move on", () => stream.acknowledged > resting);
      }
      await stream.finish();
      expect(stream.repeated).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "is given other memory under traffic: what it took away is touched no more",
    async () => {
      const a = await rig.started("a", { size: 256 });
      const b = await rig.started("b", { size: 256, regions: REGIONS, receive: { region: 1 } });
      const region = b.ram.regions[1];
      const untouched = new Uint8Array(region.size).fill(PATTERN);
      const fill = (count: number) => {
        for (let n = 0; n < count && a.send(frame(B, A, 1000)); n++) {
          // Until the ring is full.
        }
      };
      for (let round = 0; round < REMAPS; round++) {
        const old = region.bytes;
        fill(200);
        // Frames are on their way now.
        b.device.unmap(region.guest, region.size);
        old.fill(PATTERN);
        fill(200);
        await rig.until("the switch to go on", () => a.inFlight === 0);
        const giveBack = b.exchangeMemory(region);
        b.mapRegion(region);
        fill(200);
        await rig.until("the switch to go on", () => a.inFlight === 0);
        await rig.until("the last frames", () => {
          while (b.poll() !== null) {
            // Frames of before and after.
          }
          a.send(frame(B, A, 500, round + 1));
          return b.poll()?.length === 500;
        });
        expect(Buffer.compare(old, untouched)).toBe(0);
        giveBack();
      }
      expect((await rig.show("b")).drops.bad_buffer).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  test(
    "is given more memory under traffic, and loses no frame that it sent",
    async () => {
      const a = await rig.started("a", { regions: REGIONS });
      const b = await rig.started("b");
      const more = a.ram.regions[1];
      const stream = new VdpaStream(a, b, { source: 1, target: 2 });
      for (let round = 0; round < REMAPS; round++) {
        await stream.pump(40);
        stream.fill();
        a.device.unmap(more.guest, more.size);
        stream.fill();
        a.mapRegion(more);
      }
      await stream.finish();
      expect(stream.repeated).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "may take all its memory away and give it back",
    async () => {
      const a = await rig.started("a");
      const b = await rig.started("b");
      await passes(a, b);
      const region = a.ram.regions[0];
      expect(region.size).toBe(MEMORY_SIZE);
      a.device.unmap(region.guest, region.size);
      b.send(frame(BROADCAST, B));
      await rig.until("the other to go on", () => b.inFlight === 0);
      a.mapRegion(region);
      await rig.state("a", "running");
      await passes(a, b);
    },
    LIMIT_MS,
  );
});
