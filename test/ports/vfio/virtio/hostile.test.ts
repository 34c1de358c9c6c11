// A virtio NIC that writes what it likes into its rings: it costs its own traffic. What leaves no way on stops the queue with
// a counted fault, until the NIC is opened anew; the rest costs a frame. Nothing is ever written outside of its memory.

import { describe, expect, test } from "bun:test";
import { MAX_FRAME } from "../../../../src/mem/batch.ts";
import { RX_BYTES, RX_FRAMES } from "../../../../src/mem/counters.ts";
import { DELIVER_STATUS, FETCH_STATUS, RING_BROKEN, RING_RUNNING } from "../../../../src/mem/lane-state.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../../src/uapi/virtio_net.ts";
import { GSO_TCPV4, NEEDS_CSUM, netHeader } from "../../../support/frames.ts";
import { pattern } from "../../lane-bench.ts";
import { OFFERED } from "./fake-device.ts";
import { type NicRig, useNic, whole } from "./rig.ts";

const open = useNic();

/** The used ring of a queue, by the device's hand. */
function used(rig: NicRig, queue: number) {
  const { used: at, size, desc } = rig.fake.queues[queue];
  const view = rig.fake.at(at, 4 + size * 8);
  return {
    get idx() {
      return view.getUint16(2, true);
    },
    set idx(value: number) {
      view.setUint16(2, value & 0xffff, true);
    },
    put(slot: number, id: number, length: number) {
      view.setUint32(4 + (slot % size) * 8, id >>> 0, true);
      view.setUint32(8 + (slot % size) * 8, length >>> 0, true);
    },
    id: (slot: number) => view.getUint32(4 + (slot % size) * 8, true),
    /** The buffer that descriptor `id` names. */
    buffer(id: number, length = 12) {
      const entry = rig.fake.at(desc + id * 16, 16);
      return rig.fake.at(entry.getUint32(0, true) + entry.getUint32(4, true) * 2 ** 32, length);
    },
  };
}

/** As an honest device would: `length` bytes in buffer `id`, `buffers` of them merged. */
function complete(rig: NicRig, id: number, length: number, buffers = 1): void {
  const ring = used(rig, 0);
  ring.buffer(id).setUint16(10, buffers, true);
  ring.put(ring.idx, id, length);
  ring.idx++;
}

describe("a receive queue breaks", () => {
  const cases: [string, (rig: NicRig) => void][] = [
    ["where used.idx runs ahead of what was posted", (rig) => (used(rig, 0).idx += 300)],
    ["where used.idx runs back", (rig) => (used(rig, 0).idx -= 1)],
    ["for an id outside the ring", (rig) => complete2(rig, 256, 100)],
    ["for an id far outside", (rig) => complete2(rig, 0xffffffff, 100)],
    ["for a negative id as it were", (rig) => complete2(rig, 0x80000001, 100)],
    ["for a length beyond the buffer", (rig) => complete(rig, 7, 4161)],
    ["for a length beyond the buffer, of a frame that is merged", (rig) => complete2(rig, 7, 4161)],
    ["for a length of 4 GiB", (rig) => complete2(rig, 7, 0xffffffff)],
    [
      "for a bad id among merged buffers",
      (rig) => {
        complete(rig, 7, 4160, 2);
        complete2(rig, 999, 100);
      },
    ],
    [
      "for a merged buffer that is named twice",
      (rig) => {
        complete(rig, 7, 4160, 2);
        complete2(rig, 7, 100);
      },
    ],
  ];
  function complete2(rig: NicRig, id: number, length: number): void {
    const ring = used(rig, 0);
    ring.put(ring.idx, id, length);
    ring.idx++;
  }
  for (const [what, spoil] of cases) {
    test(what, async () => {
      const rig = await open();
      rig.fromWire(whole(pattern(60), pattern(61)));
      expect(rig.take()).toHaveLength(2);
      spoil(rig);
      expect(rig.take()).toEqual([]);
      expect(rig.host.drops).toEqual({ bad_completion: 1 });
      expect(rig.host.state[FETCH_STATUS]).toBe(RING_BROKEN);
      // It stays so, costs nothing, and lets the worker sleep; what is sent still goes.
      expect([rig.take(), rig.lane.arm(), rig.host.drops]).toEqual([[], false, { bad_completion: 1 }]);
      expect(rig.send(whole(pattern(99)))).toBe(1);
      expect(rig.toWire()).toEqual([pattern(99)]);
      rig.lane.close();
      rig.openLane();
      expect(rig.host.state[FETCH_STATUS]).toBe(RING_BROKEN);
    });
  }

  test("for a buffer that is used twice; the frames before it are good", async () => {
    const rig = await open();
    complete(rig, 5, 72);
    complete(rig, 6, 73);
    complete(rig, 5, 74);
    expect(rig.take().map(({ length }) => length)).toEqual([60, 61]);
    expect(rig.host.drops).toEqual({ bad_completion: 1 });
  });

  test("for a buffer that the switch still reads", async () => {
    const rig = await open();
    complete(rig, 5, 72);
    expect(rig.take(false)).toHaveLength(1);
    const { batch } = rig.host;
    complete(rig, 5, 72);
    batch.reset();
    // A worker releases before it fetches again; a device does not know when.
    expect(rig.lane.fetch(batch)).toBe(0);
    expect(rig.host.drops).toEqual({ bad_completion: 1 });
  });

  test("until the NIC is opened anew", async () => {
    const rig = await open();
    used(rig, 0).idx += 300;
    rig.take();
    expect(rig.host.state[FETCH_STATUS]).toBe(RING_BROKEN);
    const other = await open();
    other.lane.close();
    other.host.state[FETCH_STATUS] = RING_BROKEN;
    other.openLane();
    expect(other.host.state[FETCH_STATUS]).toBe(RING_RUNNING);
  });
});

describe("a frame is dropped", () => {
  const cases: [string, Record<string, number>, number, (rig: NicRig) => void][] = [
    ["that is shorter than addresses", { runt: 1 }, 1, (rig) => complete(rig, 7, 12 + 13)],
    ["that is not even a header", { runt: 1 }, 1, (rig) => complete(rig, 7, 3)],
    ["that is nothing", { malformed: 1 }, 1, (rig) => complete(rig, 7, 0)],
    ["of no buffers", { malformed: 1 }, 1, (rig) => complete(rig, 7, 100, 0)],
    ["of more buffers than are used", { malformed: 1 }, 1, (rig) => complete(rig, 7, 100, 2)],
    ["of more buffers than there are", { malformed: 1 }, 1, (rig) => complete(rig, 7, 100, 65535)],
    [
      "whose second piece is empty",
      { malformed: 1 },
      1,
      (rig) => {
        complete(rig, 7, 100, 2);
        complete(rig, 8, 0, 1);
      },
    ],
    [
      "whose first piece has no room for addresses",
      { malformed: 1 },
      1,
      (rig) => {
        complete(rig, 7, 25, 2);
        complete(rig, 8, 100, 1);
      },
    ],
    [
      "that is too long",
      { oversized: 1 },
      1,
      (rig) => {
        for (let k = 0; k < 17; k++) complete(rig, 7 + k, 4160, 17);
      },
    ],
    [
      "that asks for what was not negotiated",
      { bad_header: 2 },
      2,
      (rig) => {
        for (const gso of [3, 0x71]) {
          complete(rig, 7 + gso, 100);
          used(rig, 0)
            .buffer(7 + gso)
            .setUint16(0, 1 | (gso << 8), true);
        }
      },
    ],
    [
      "whose checksum lies outside",
      { bad_header: 1 },
      1,
      (rig) => {
        complete(rig, 7, 100);
        used(rig, 0).buffer(7).setUint16(0, 1, true);
        used(rig, 0).buffer(7).setUint16(6, 87, true);
      },
    ],
  ];
  for (const [what, reasons, frames, spoil] of cases) {
    test(what, async () => {
      const rig = await open();
      spoil(rig);
      expect(rig.take()).toEqual([]);
      expect([rig.host.drops, rig.host.counters[RX_FRAMES]]).toEqual([reasons, frames]);
      expect(rig.host.batch.pool.count).toBe(0);
      // Its buffers went back, and the queue works.
      const { avail, size } = rig.fake.queues[0];
      expect(rig.fake.at(avail + 2, 2).getUint16(0, true)).toBe(size + used(rig, 0).idx);
      complete(rig, 100, 72);
      expect(rig.take()).toHaveLength(1);
    });
  }

  test("and those around it are not", async () => {
    const rig = await open();
    complete(rig, 1, 72);
    complete(rig, 2, 5);
    complete(rig, 3, 4160, 2);
    complete(rig, 4, 100);
    complete(rig, 5, 73);
    expect(rig.take().map(({ length }) => length)).toEqual([60, 4148 + 100, 61]);
    expect(rig.host.drops).toEqual({ runt: 1 });
    expect([rig.host.counters[RX_FRAMES], rig.host.counters[RX_BYTES]]).toEqual([4, 60 + 4148 + 100 + 61]);
    complete(rig, 10, 4160, 2);
    complete(rig, 11, 0, 1);
    expect(rig.take()).toEqual([]);
    expect(rig.host.counters[RX_BYTES]).toBe(60 + 4148 + 100 + 61);
  });

  test("that is not whole yet behind others is looked at again, then dropped", async () => {
    const rig = await open();
    complete(rig, 1, 72);
    complete(rig, 2, 4160, 2);
    expect(rig.take()).toHaveLength(1);
    complete(rig, 3, 100);
    expect(rig.take().map(({ length }) => length)).toEqual([4148 + 100]);
    complete(rig, 4, 72);
    complete(rig, 5, 4160, 2);
    expect(rig.take()).toHaveLength(1);
    expect(rig.take()).toHaveLength(0);
    expect(rig.host.drops).toEqual({ malformed: 1 });
  });

  test("that is in more pieces than a batch has, and two that are together wait for one another", async () => {
    const rig = await open({ queueSize: 4096 }, { rxDescriptors: 4096 });
    const scattered = (from: number, pieces: number) => {
      complete(rig, from, 26, pieces);
      for (let k = 1; k < pieces; k++) complete(rig, from + k, 1);
    };
    scattered(0, 1500);
    scattered(1500, 1500);
    expect(rig.take().map(({ length }) => length)).toEqual([14 + 1499]);
    expect(rig.take().map(({ length }) => length)).toEqual([14 + 1499]);
    scattered(0, 2049);
    expect(rig.take()).toEqual([]);
    expect(rig.host.drops).toEqual({ malformed: 1 });
    scattered(0, 2048);
    expect(rig.take().map(({ length }) => length)).toEqual([14 + 2047]);
  });

  test("that fills a buffer which is longer than any frame", async () => {
    const features = OFFERED.filter((bit) => bit !== VIRTIO_NET_F_MRG_RXBUF);
    const rig = await open({ features, queueSize: 16 }, { mtu: 65535 });
    complete(rig, 1, 12 + MAX_FRAME);
    complete(rig, 2, 12 + MAX_FRAME + 1);
    expect(rig.take().map(({ length }) => length)).toEqual([MAX_FRAME]);
    expect(rig.host.drops).toEqual({ oversized: 1 });
  });

  test("num_buffers is of no meaning where buffers are not merged", async () => {
    const rig = await open({ features: OFFERED.filter((bit) => bit !== VIRTIO_NET_F_MRG_RXBUF) });
    complete(rig, 1, 72, 0);
    complete(rig, 2, 73, 1000);
    expect(rig.take().map(({ length }) => length)).toEqual([60, 61]);
  });
});

describe("a transmit queue breaks", () => {
  const SUPER = netHeader({ flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 1448, csumStart: 34, csumOffset: 16 });
  const cases: [string, (rig: NicRig) => void][] = [
    ["where used.idx runs ahead", (rig) => (used(rig, 1).idx += 200)],
    ["where used.idx runs back", (rig) => (used(rig, 1).idx -= 1)],
    ["for an id outside the ring", (rig) => finish(rig, 64)],
    ["for an id far outside", (rig) => finish(rig, 0xffffffff)],
    ["for a descriptor that it never had", (rig) => finish(rig, 63)],
    ["for one in the middle of a chain", (rig) => finish(rig, used(rig, 1).id(0) + 1)],
    [
      "for one that it gave back already",
      (rig) => {
        finish(rig, 0);
        finish(rig, 0);
      },
    ],
  ];
  function finish(rig: NicRig, id: number): void {
    const ring = used(rig, 1);
    ring.put(ring.idx, id, 0);
    ring.idx++;
  }
  for (const [what, spoil] of cases) {
    test(what, async () => {
      const rig = await open({ queueSize: 64 });
      const large = { pieces: [pattern(MAX_FRAME)], header: SUPER };
      expect(rig.send([large, large, { pieces: [pattern(60)] }])).toBe(3);
      spoil(rig);
      // Used entries are looked at when buffers run low.
      const burst = whole(...Array.from({ length: 64 }, () => pattern(60)));
      expect(rig.send(burst)).toBeLessThan(64);
      expect(rig.host.drops.bad_completion).toBe(1);
      expect(rig.host.state[DELIVER_STATUS]).toBe(RING_BROKEN);
      expect(rig.send(whole(pattern(60)))).toBe(0);
      expect(rig.host.drops.bad_completion).toBe(1);
      rig.fromWire(whole(pattern(99)));
      expect(rig.take()).toEqual([pattern(99)]);
    });
  }

  test("chains come back in any order, whole", async () => {
    const rig = await open({ queueSize: 64 });
    const ring = used(rig, 1);
    const { avail } = rig.fake.queues[1];
    const heads = (from: number, count: number) =>
      Array.from({ length: count }, (_, k) => rig.fake.at(avail + 4 + ((from + k) % 64) * 2, 2).getUint16(0, true));
    let sent = 0;
    for (let turn = 0; turn < 200; turn++) {
      const frames = [9000, 60, 4149, 4148, 30_000, 64].map((length, n) => ({
        pieces: [pattern(length, turn + n)],
        header: SUPER,
      }));
      expect(rig.send(frames)).toBe(6);
      // Backwards, and the first two the other way round.
      const order = heads(sent, 6).reverse();
      for (const head of [order[1], order[0], ...order.slice(2)]) finish(rig, head);
      sent += 6;
    }
    expect(ring.idx).toBe(1200);
    expect(rig.host.drops).toEqual({});
  });
});
