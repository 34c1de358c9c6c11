// Zero copy: the device reads frames in their sender's memory, and the sender hears of it by tickets, in order, when the device
// is done. What the device does not reach is copied.

import { describe, expect, test } from "bun:test";
import { TX_COPIED, TX_FRAMES, TX_ZERO_COPY } from "../../../../src/mem/counters.ts";
import { TX_POSTED, TX_REAPED } from "../../../../src/mem/lane-state.ts";
import { openVirtioNicLane, type VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import { GSO_TCPV4, NEEDS_CSUM, netHeader } from "../../../support/frames.ts";
import { pattern } from "../../lane-bench.ts";
import { BAR } from "./fake-device.ts";
import { ARENA_SIZE, type NicRig, SELF, useNic, whole } from "./rig.ts";

const open = useNic();
const SUPER = netHeader({ flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 1448, csumStart: 34, csumOffset: 16 });

/** What was sent without a copy, and with one. */
const sent = ({ host }: NicRig) => [host.counters[TX_ZERO_COPY], host.counters[TX_COPIED]];
const tickets = ({ host }: NicRig) => [host.state[TX_POSTED], host.state[TX_REAPED]];

/** The heads that the driver made available last, and the device finishing one by hand. */
function hand(rig: NicRig) {
  const { avail, size, used } = rig.fake.queues[1];
  const ring = rig.fake.at(used, 4 + size * 8);
  return {
    heads(count: number): number[] {
      const end = rig.fake.at(avail + 2, 2).getUint16(0, true);
      return Array.from({ length: count }, (_, k) => {
        const slot = (end - count + k + 65536) % size;
        return rig.fake.at(avail + 4 + slot * 2, 2).getUint16(0, true);
      });
    },
    finish(head: number): void {
      const idx = ring.getUint16(2, true);
      ring.setUint32(4 + (idx % size) * 8, head, true);
      ring.setUint16(2, (idx + 1) & 0xffff, true);
    },
  };
}

describe("the device reads", () => {
  test("what lies at the sender's, behind a header of ours", async () => {
    const rig = await open();
    rig.reach(true);
    const pieces = [pattern(14, 1), pattern(2000, 2), pattern(999, 3)];
    expect(rig.send([{ pieces: [pattern(60)] }, { pieces, header: SUPER }])).toBe(2);
    const { batch, window, windows } = rig.host;
    expect([...batch.heldBy.subarray(0, 2), ...batch.ticket.subarray(0, 2)]).toEqual([SELF, SELF, 1, 2]);
    expect([batch.anyHeld, tickets(rig), sent(rig)]).toEqual([1, [2, 0], [2, 0]]);
    // It was not copied: what is written now goes out.
    windows.u8[window][batch.pool.offset[0] + 20] = 0xee;
    const frame = pattern(60);
    frame[20] = 0xee;
    expect(rig.toWire()).toEqual([frame, new Uint8Array(Buffer.concat(pieces))]);
    const { gsoSize, gsoType } = rig.wire.batch;
    expect([gsoType[0], gsoType[1], gsoSize[1]]).toEqual([0, 1, 1448]);
  });

  test("a frame no further than it goes, and the sender hears when that is done", async () => {
    const rig = await open();
    rig.reach(true);
    rig.send(whole(pattern(60), pattern(61)));
    rig.lane.reap();
    expect(tickets(rig)).toEqual([2, 0]);
    rig.toWire(false);
    rig.lane.reap();
    expect(tickets(rig)).toEqual([2, 0]);
    rig.device.release(rig.wire.batch);
    rig.lane.reap();
    expect(tickets(rig)).toEqual([2, 2]);
  });

  test("in any order; tickets pass in theirs", async () => {
    const rig = await open();
    rig.reach(true);
    rig.send(whole(pattern(60), pattern(61)));
    rig.reach(false);
    rig.send(whole(pattern(62)));
    rig.reach(true);
    rig.send(whole(pattern(63)));
    const { finish, heads } = hand(rig);
    const [first, second, copied, third] = heads(4);
    const order = [
      [third, 0],
      [copied, 0],
      [first, 1],
      [second, 3],
    ];
    for (const [head, reaped] of order) {
      finish(head);
      rig.lane.reap();
      expect(tickets(rig)).toEqual([3, reaped]);
    }
    expect(sent(rig)).toEqual([3, 1]);
  });

  test("and a copied frame that is done says nothing of tickets", async () => {
    const rig = await open({ queueSize: 16 });
    const { finish, heads } = hand(rig);
    const send = (direct: boolean) => {
      rig.reach(direct);
      expect(rig.send(whole(pattern(60)))).toBe(1);
      return heads(1)[0];
    };
    const done = (head: number) => {
      finish(head);
      rig.lane.reap();
    };
    // The head of ticket 1 becomes a copied frame's, while ticket 17, whose place in the books is the same, is under way.
    const first = send(true);
    done(first);
    done(send(true));
    const copied = send(false);
    expect(copied).toBe(first);
    for (let ticket = 3; ticket <= 16; ticket++) done(send(true));
    const last = send(true);
    done(copied);
    expect(tickets(rig)).toEqual([17, 16]);
    done(last);
    expect(tickets(rig)).toEqual([17, 17]);
  });

  test("and tickets run over without a trace", async () => {
    const rig = await open({ queueSize: 64 });
    rig.reach(true);
    rig.host.state[TX_POSTED] = rig.host.state[TX_REAPED] = 0x7ffffff0;
    for (let turn = 0; turn < 100; turn++) {
      expect(rig.send(whole(pattern(60, turn), pattern(61, turn)))).toBe(2);
      expect(rig.toWire()).toEqual([pattern(60, turn), pattern(61, turn)]);
      rig.lane.reap();
      expect(rig.host.state[TX_REAPED]).toBe(rig.host.state[TX_POSTED]);
    }
    expect([rig.host.state[TX_POSTED], sent(rig)]).toEqual([(0x7ffffff0 + 200) | 0, [200, 0]]);
  });

  test("through a lane that is built anew meanwhile, and another worker's", async () => {
    const rig = await open();
    rig.reach(true);
    rig.send(whole(pattern(60)));
    rig.lane.close();
    rig.openLane(true);
    const other = openVirtioNicLane(
      rig.nic.lane(0) as VirtioNicLaneConfig,
      rig.host.context({ shared: true, owner: false }),
      rig.fake.bar(BAR),
    );
    rig.send(whole(pattern(61)));
    expect(rig.toWire()).toEqual([pattern(60), pattern(61)]);
    expect(tickets(rig)).toEqual([2, 0]);
    other.reap();
    expect(tickets(rig)).toEqual([2, 2]);
    other.close();
  });
});

describe("a full ring", () => {
  test("drops what would be read in place; it does not begin to copy", async () => {
    const rig = await open({ queueSize: 64 });
    rig.reach(true);
    const frames = Array.from({ length: 40 }, (_, n) => pattern(60, n));
    expect(rig.send(whole(...frames))).toBe(32);
    expect([sent(rig), rig.host.drops]).toEqual([[32, 0], { no_buffer: 8 }]);
    expect(rig.toWire()).toEqual(frames.slice(0, 32));
    expect(rig.send(whole(...frames))).toBe(32);
    expect(sent(rig)).toEqual([64, 0]);
    rig.toWire();
  });

  test("a frame that stands still makes those far behind it copies", async () => {
    const rig = await open({ queueSize: 16 });
    rig.reach(true);
    const { finish, heads } = hand(rig);
    rig.send(whole(pattern(60)));
    const [stuck] = heads(1);
    for (let turn = 1; turn <= 20; turn++) {
      expect(rig.send(whole(pattern(60, turn)))).toBe(1);
      finish(heads(1)[0]);
      rig.lane.reap();
    }
    expect([sent(rig), tickets(rig)]).toEqual([
      [16, 5],
      [16, 0],
    ]);
    finish(stuck);
    rig.lane.reap();
    expect(tickets(rig)).toEqual([16, 16]);
    rig.send(whole(pattern(60)));
    expect(sent(rig)).toEqual([17, 5]);
  });
});

describe("a frame is copied", () => {
  const cases: [string, (rig: NicRig) => void][] = [
    ["that another NIC holds", ({ host }) => (host.batch.heldBy[0] = 3)],
    [
      "of which one piece is out of reach",
      ({ host }) => {
        const { batch, windows } = host;
        const window = windows.add(host.address, 1 << 20);
        windows.iova[window] = -1;
        batch.pool.window[1] = window;
      },
    ],
  ];
  for (const [what, change] of cases) {
    test(what, async () => {
      const rig = await open();
      rig.reach(true);
      rig.host.fill([{ pieces: [pattern(60), pattern(61)] }]);
      change(rig);
      const held = rig.host.batch.heldBy[0];
      rig.asked++;
      expect(rig.lane.deliver(rig.host.batch, Int32Array.of(0), 1)).toBe(1);
      expect([sent(rig), tickets(rig), rig.host.batch.heldBy[0]]).toEqual([[0, 1], [0, 0], held]);
      expect(rig.toWire()).toEqual([new Uint8Array([...pattern(60), ...pattern(61)])]);
    });
  }

  test("one of whose pieces has no bytes: a descriptor has some", async () => {
    const rig = await open();
    rig.reach(true);
    expect(rig.send([{ pieces: [pattern(60), new Uint8Array(0), pattern(61)] }])).toBe(1);
    expect(rig.toWire()).toEqual([new Uint8Array([...pattern(60), ...pattern(61)])]);
    expect(sent(rig)).toEqual([0, 1]);
  });

  test("in more pieces than the device should look for", async () => {
    const rig = await open();
    rig.reach(true);
    for (const count of [32, 33]) {
      const pieces = Array.from({ length: count }, (_, n) => pattern(20, n));
      expect(rig.send([{ pieces }])).toBe(1);
      expect(rig.toWire()).toEqual([new Uint8Array(Buffer.concat(pieces))]);
    }
    expect(sent(rig)).toEqual([1, 1]);
  });

  for (const [what, spoil] of [
    ["ends past its window", { offset: ARENA_SIZE - 59 }],
    ["starts before it", { offset: -4 }],
    ["has no bytes", { length: 0 }],
    ["is shorter than the frame says", { length: 59 }],
    ["lies in a window that is gone", { window: 9 }],
  ] as const) {
    test(`or rather dropped, where a piece ${what}: no such address goes to the device`, async () => {
      const rig = await open();
      rig.reach(true);
      rig.host.zeroCopy.iova[9] = 2 ** 40;
      rig.host.fill(whole(pattern(60)));
      const { batch } = rig.host;
      for (const [field, value] of Object.entries(spoil))
        batch.pool[field as "window" | "offset" | "length"][0] = value;
      rig.asked++;
      expect(rig.lane.deliver(batch, Int32Array.of(0), 1)).toBe(0);
      expect([rig.toWire(), rig.host.drops, tickets(rig)]).toEqual([[], { malformed: 1 }, [0, 0]]);
    });
  }
});

test("a device that names a frame twice frees it once", async () => {
  const rig = await open({ queueSize: 16 });
  rig.reach(true);
  rig.send(whole(pattern(60), pattern(61)));
  const { finish, heads } = hand(rig);
  const [, second] = heads(2);
  finish(second);
  finish(second);
  rig.lane.reap();
  expect([rig.host.drops, tickets(rig)]).toEqual([{ bad_completion: 1 }, [2, 0]]);
  rig.lane.reap();
  expect(rig.host.drops).toEqual({ bad_completion: 1 });
  expect(rig.host.counters[TX_FRAMES]).toBe(2);
});
