// The lane of a virtio NIC: bytes in are bytes out, each way, whatever their form; buffers go round; the device is kicked and
// the driver called as the two wish.

import { describe, expect, test } from "bun:test";
import { BURST, MAX_FRAME, OFFLOAD_ALL } from "../../../../src/mem/batch.ts";
import { CALLS, RX_BYTES, RX_FRAMES, TX_BYTES, TX_FRAMES } from "../../../../src/mem/counters.ts";
import { openVirtioNicLane, type VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import { clearSignal } from "../../../../src/sys/fd.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../../src/uapi/virtio_ring.ts";
import { GSO_TCPV4, NEEDS_CSUM, netHeader } from "../../../support/frames.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { pattern } from "../../lane-bench.ts";
import { OFFERED } from "./fake-device.ts";
import { ARENA_SIZE, useNic, whole } from "./rig.ts";

const open = useNic();
const SUPER = netHeader({ flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 1448, csumStart: 34, csumOffset: 16 });
const WITHOUT_MERGING = OFFERED.filter((bit) => bit !== VIRTIO_NET_F_MRG_RXBUF);
const WITHOUT_EVENT_IDX = OFFERED.filter((bit) => bit !== VIRTIO_RING_F_EVENT_IDX);

const lengths = [14, 59, 60, 61, 63, 64, 128, 129, 1500, 1514, 1522];

describe("from the wire", () => {
  test("frames of every length come in as they were, in order", async () => {
    const rig = await open();
    const frames = lengths.map((length, n) => pattern(length, n));
    expect(rig.fromWire(whole(...frames))).toBe(frames.length);
    expect(rig.take()).toEqual(frames);
    const { counters } = rig.host;
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    expect([counters[RX_FRAMES], counters[RX_BYTES]]).toEqual([frames.length, bytes]);
  });

  test("a super-frame lies in several buffers, and its form is known", async () => {
    const rig = await open();
    const frame = pattern(MAX_FRAME);
    const small = pattern(60, 9);
    rig.fromWire([{ pieces: [frame], header: SUPER }, { pieces: [small] }]);
    expect(rig.take()).toEqual([frame, small]);
    const { batch } = rig.host;
    expect(batch.segments[0]).toBe(Math.ceil((12 + MAX_FRAME) / 4160));
    expect([batch.gsoType[0], batch.gsoSize[0], batch.csumStart[0], batch.csumOffset[0]]).toEqual([1, 1448, 34, 16]);
    expect(batch.needs[1]).toBe(0);
  });

  test("a device without merged buffers gets whole ones, jumbo frames included", async () => {
    const rig = await open({ features: WITHOUT_MERGING }, { mtu: 9000 });
    const frames = [pattern(60), pattern(9022, 2), pattern(1514, 3)];
    expect(rig.fromWire(whole(...frames))).toBe(3);
    expect(rig.take()).toEqual(frames);
    expect(rig.host.batch.segments[1]).toBe(1);
  });

  test("jumbo frames are merged where they can be", async () => {
    const rig = await open({}, { mtu: 9000, offload: 0 });
    const frames = [pattern(9022), pattern(4148, 2), pattern(4149, 3)];
    rig.fromWire(whole(...frames));
    expect(rig.take()).toEqual(frames);
    expect(Array.from(rig.host.batch.segments.subarray(0, 3))).toEqual([3, 1, 2]);
  });

  test("buffers are the device's again after release, and not before", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    const burst = Array.from({ length: 64 }, (_, n) => pattern(60, n));
    expect(rig.fromWire(whole(...burst))).toBe(64);
    expect(rig.take(false)).toHaveLength(64);
    expect(rig.fromWire(whole(pattern(60)))).toBe(0);
    rig.lane.release(rig.host.batch);
    expect(rig.fromWire(whole(pattern(60)))).toBe(1);
    expect(rig.take()).toEqual([pattern(60)]);
  });

  test("a verified checksum is passed on only where GUEST_CSUM was negotiated", async () => {
    for (const offload of [OFFLOAD_ALL, 0]) {
      const rig = await open({}, { offload });
      rig.fromWire(whole(pattern(60)));
      // The device marks the frame: its header is at the start of the first buffer that was used.
      const { used, desc } = rig.fake.queues[0];
      const head = rig.fake.at(used + 4, 4).getUint32(0, true);
      const entry = rig.fake.at(desc + head * 16, 16);
      rig.fake.at(entry.getUint32(0, true) + entry.getUint32(4, true) * 2 ** 32, 12).setUint8(0, 2);
      expect(rig.take()).toHaveLength(1);
      expect(rig.host.batch.flags[0]).toBe(offload === 0 ? 0 : 2);
    }
  });

  test("several hundred thousand frames go round: indices wrap, nothing is lost", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    let number = 0;
    while (number < 200_000) {
      const burst = Array.from({ length: 37 }, () =>
        Uint8Array.from({ length: 14 }, (_, i) => (number >> (i % 3)) & 255),
      );
      number += burst.length;
      expect(rig.fromWire(whole(...burst))).toBe(burst.length);
      const taken = rig.take();
      if (taken.length !== burst.length || Buffer.compare(taken[36], burst[36]) !== 0) throw new Error(`at ${number}`);
    }
    expect(rig.host.counters[RX_FRAMES]).toBe(number);
  });
});

describe("to the wire", () => {
  test("frames of every length go out as they are, in the order of the list", async () => {
    const rig = await open();
    const frames = lengths.map((length, n) => pattern(length, n));
    rig.host.fill(whole(...frames));
    rig.asked += frames.length;
    const backwards = Int32Array.from(frames.keys()).reverse();
    expect(rig.lane.deliver(rig.host.batch, backwards, frames.length)).toBe(frames.length);
    expect(rig.toWire()).toEqual(frames.toReversed());
    const { counters } = rig.host;
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    expect([counters[TX_FRAMES], counters[TX_BYTES]]).toEqual([frames.length, bytes]);
  });

  test("a frame in pieces, a super-frame in several buffers", async () => {
    const rig = await open();
    const pieces = [pattern(14, 1), pattern(1, 2), pattern(4133, 3), pattern(9000, 4), pattern(3, 5)];
    const frame = new Uint8Array(Buffer.concat(pieces));
    expect(rig.send([{ pieces, header: SUPER }, { pieces: [pattern(7), pattern(7, 2)] }])).toBe(2);
    expect(rig.toWire()).toEqual([frame, new Uint8Array([...pattern(7), ...pattern(7, 2)])]);
    const { batch } = rig.wire;
    expect([batch.gsoType[0], batch.gsoSize[0], batch.csumStart[0], batch.csumOffset[0]]).toEqual([1, 1448, 34, 16]);
  });

  test("the longest super-frame fits a small ring, and a frame that ends with a buffer is whole", async () => {
    const rig = await open({ queueSize: 16 });
    const frame = pattern(MAX_FRAME);
    const four = Array.from({ length: 4 }, () => ({ pieces: [frame], header: SUPER }));
    for (let turn = 0; turn < 20; turn++) {
      expect(rig.send(four)).toBe(4);
      for (const out of rig.toWire()) expect(Buffer.compare(out, frame)).toBe(0);
      expect(rig.fromWire(four)).toBe(4);
      for (const taken of rig.take()) expect(Buffer.compare(taken, frame)).toBe(0);
    }
    expect([rig.host.counters[TX_FRAMES], rig.host.counters[RX_FRAMES]]).toEqual([80, 80]);
    const chunk = (rig.nic.lane(0) as VirtioNicLaneConfig).transmit.chunk;
    const exact = pattern(2 * chunk - 12, 3);
    rig.send([{ pieces: [exact], header: SUPER }]);
    expect(rig.toWire()).toEqual([exact]);
  });

  test("the header says what a driver may say: no DATA_VALID, no buffers", async () => {
    const rig = await open();
    rig.host.fill(whole(pattern(60)));
    rig.host.batch.flags[0] = 2;
    rig.asked++;
    rig.lane.deliver(rig.host.batch, Int32Array.of(0), 1);
    const { desc, avail } = rig.fake.queues[1];
    const head = rig.fake.at(avail + 4, 2).getUint16(0, true);
    const entry = rig.fake.at(desc + head * 16, 16);
    const iova = entry.getUint32(0, true) + entry.getUint32(4, true) * 2 ** 32;
    expect(Array.from({ length: 12 }, (_, k) => rig.fake.at(iova, 12).getUint8(k))).toEqual(new Array(12).fill(0));
    expect([entry.getUint32(8, true), entry.getUint16(12, true)]).toEqual([72, 0]);
    rig.toWire();
  });

  test("a full ring drops, and goes on when the device has sent", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    const frames = Array.from({ length: BURST }, (_, n) => pattern(60, n));
    expect(rig.send(whole(...frames))).toBe(64);
    expect(rig.send(whole(pattern(60), pattern(61)))).toBe(0);
    expect(rig.host.drops).toEqual({ no_buffer: 2 });
    expect(rig.toWire()).toEqual(frames);
    expect(rig.send(whole(...frames))).toBe(64);
    expect(rig.toWire()).toEqual(frames);
  });

  test("frames beyond the MTU are not sent, super-frames are", async () => {
    const rig = await open({}, { mtu: 1400 });
    const frames = [
      { pieces: [pattern(1422)] },
      { pieces: [pattern(1423)] },
      { pieces: [pattern(3000)], header: SUPER },
    ];
    expect(rig.send(frames)).toBe(2);
    expect(rig.toWire()).toEqual([pattern(1422), pattern(3000)]);
    expect(rig.host.drops).toEqual({ oversized: 1 });
  });

  test("a frame whose pieces are longer than it says takes no buffer of another's", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    const frames = Array.from({ length: 63 }, (_, n) => pattern(60, n));
    expect(rig.send(whole(...frames))).toBe(63);
    rig.host.fill([{ pieces: [pattern(1000), pattern(5000)] }]);
    rig.host.batch.length[0] = 60;
    rig.asked++;
    expect(rig.lane.deliver(rig.host.batch, Int32Array.of(0), 1)).toBe(0);
    expect(rig.toWire()).toEqual(frames);
    expect(rig.host.drops).toEqual({ malformed: 1 });
  });

  for (const [what, spoil] of [
    ["lies in a window that is gone", { window: 100 }],
    ["ends past its window", { offset: ARENA_SIZE - 59 }],
    ["is shorter than the frame says", { length: 30 }],
  ] as const) {
    for (const pieces of [1, 2]) {
      test(`nothing goes out of a frame of ${pieces} whose last piece ${what}`, async () => {
        const rig = await open();
        rig.host.fill([{ pieces: Array.from({ length: pieces }, () => pattern(60)) }, { pieces: [pattern(99)] }]);
        const { pool } = rig.host.batch;
        for (const [field, value] of Object.entries(spoil))
          pool[field as "window" | "offset" | "length"][pieces - 1] = value;
        rig.asked += 2;
        expect(rig.lane.deliver(rig.host.batch, Int32Array.of(0, 1), 2)).toBe(1);
        expect(rig.toWire()).toEqual([pattern(99)]);
        expect(rig.host.drops).toEqual({ malformed: 1 });
      });
    }
  }

  test("several hundred thousand frames go round, finished whenever the device likes", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    let sent = 0;
    for (let turn = 0; sent < 200_000; turn++) {
      const frames = Array.from({ length: (turn % 40) + 1 }, (_, n) => pattern(14 + (n % 50), turn + n));
      sent += rig.send(whole(...frames));
      const out: Uint8Array[] = rig.toWire();
      if (Buffer.compare(out[0], frames[0]) !== 0 || out.length !== frames.length) throw new Error(`at ${sent}`);
    }
    expect(rig.host.counters[TX_FRAMES]).toBe(sent);
    expect(rig.host.drops).toEqual({});
  });
});

describe("kicks and calls", () => {
  for (const [name, features] of [
    ["with EVENT_IDX", OFFERED],
    ["without", WITHOUT_EVENT_IDX],
  ] as const) {
    test(`one kick for a burst, none while the device polls, ${name}`, async () => {
      const rig = await open({ features });
      rig.device.arm();
      rig.fake.kicks.length = 0;
      rig.send(whole(pattern(60), pattern(61), pattern(62)));
      expect(rig.fake.kicks).toEqual([1]);
      rig.device.disarm();
      rig.toWire();
      rig.send(whole(pattern(60)));
      rig.send(whole(pattern(60)));
      expect(rig.fake.kicks).toEqual([1]);
    });

    test(`the lane is called when it sleeps, and only then, ${name}`, async () => {
      const rig = await open({ features });
      const fd = rig.lane.wakeFd;
      expect(fd).toBe(rig.fake.eventFds[1]);
      if (name === "with EVENT_IDX") {
        // used_event begins at 0: the first frame calls, whatever the driver wants.
        rig.fromWire(whole(pattern(60)));
        rig.take();
        clearSignal(fd);
      }
      rig.fromWire(whole(pattern(60)));
      expect(clearSignal(fd)).toBe(false);
      expect(rig.lane.arm()).toBe(true);
      rig.lane.disarm();
      expect(rig.take()).toHaveLength(1);
      clearSignal(fd);
      expect(rig.lane.arm()).toBe(false);
      rig.fromWire(whole(pattern(60)));
      expect(clearSignal(fd)).toBe(true);
      rig.lane.disarm();
      expect(rig.take()).toHaveLength(1);
      rig.fromWire(whole(pattern(60)));
      expect(clearSignal(fd)).toBe(false);
      expect(rig.take()).toHaveLength(1);
    });

    test(`nothing that is sent calls, ${name}`, async () => {
      const rig = await open({ features });
      for (let turn = 0; turn < 100; turn++) {
        rig.send(whole(pattern(60), pattern(60)));
        rig.toWire();
      }
      expect(rig.wire.counters[CALLS]).toBe(0);
    });
  }

  test("refilling kicks a device that ran out of buffers and asked for it", async () => {
    const rig = await open({ features: WITHOUT_EVENT_IDX });
    rig.fromWire(whole(pattern(60)));
    rig.fake.kicks.length = 0;
    rig.take();
    expect(rig.fake.kicks).toEqual([0]);
  });

  test("a worker's own registers write the queue's number to its doorbell", async () => {
    const rig = await open();
    const own = openVirtioNicLane(
      rig.nic.lane(0) as VirtioNicLaneConfig,
      rig.host.context({ shared: true, owner: false }),
    );
    rig.device.arm();
    rig.host.fill(whole(pattern(60)));
    rig.asked++;
    expect(rig.fake.doorbell(1)).toBe(0);
    expect(own.deliver(rig.host.batch, Int32Array.of(0), 1)).toBe(1);
    expect(rig.fake.doorbell(1)).toBe(1);
    expect([own.wakeFd, own.fetch(rig.host.batch)]).toEqual([-1, 0]);
    own.close();
    expect(rig.toWire()).toEqual([pattern(60)]);
  });

  test("without a vector the lane never sleeps", async () => {
    const rig = await open({ interruptKind: "none", vectors: 0 });
    expect([rig.lane.wakeFd, rig.lane.arm()]).toEqual([-1, true]);
  });
});

describe("a lane that is built anew", () => {
  test("goes on where the one before ended, both ways", async () => {
    const rig = await open({ queueSize: 64 });
    for (let turn = 0; turn < 5; turn++) {
      rig.send(whole(pattern(60, turn), pattern(61, turn)));
      rig.fromWire(whole(pattern(70, turn)));
      rig.lane.close();
      rig.openLane();
      expect(rig.take()).toEqual([pattern(70, turn)]);
      expect(rig.toWire()).toEqual([pattern(60, turn), pattern(61, turn)]);
    }
    expect(rig.host.drops).toEqual({});
  });

  test("two workers that send share the ring", async () => {
    const rig = await open({ queueSize: 64 }, { offload: 0 });
    rig.lane.close();
    rig.openLane(true);
    const other = openVirtioNicLane(
      rig.nic.lane(0) as VirtioNicLaneConfig,
      rig.host.context({ shared: true, owner: false }),
      rig.fake.bar(4),
    );
    for (let turn = 0; turn < 100; turn++) {
      rig.host.fill(whole(pattern(60, turn), pattern(61, turn)));
      rig.asked += 2;
      expect(rig.lane.deliver(rig.host.batch, Int32Array.of(0), 1)).toBe(1);
      expect(other.deliver(rig.host.batch, Int32Array.of(1), 1)).toBe(1);
      expect(rig.toWire()).toEqual([pattern(60, turn), pattern(61, turn)]);
    }
    other.close();
  });

  test("closing gives windows back and leaves the queues", async () => {
    const rig = await open();
    const config = rig.nic.lane(0) as VirtioNicLaneConfig;
    const windows = () => rig.host.windows.size.filter((size) => size > 0).length;
    const before = [windows(), holdings()] as const;
    for (let turn = 0; turn < 20; turn++) openVirtioNicLane(config, rig.host.context()).close();
    expect(windows()).toBe(before[0]);
    expect(heldDifference(before[1], holdings())).toEqual([]);
  });
});
