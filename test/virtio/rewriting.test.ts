// A guest that rewrites its rings from another thread while they are read. Nothing may be assumed about what passes; what
// must hold is that nothing throws, that every frame taken is accounted for, that no byte outside the guests' buffers is
// written, and that another pair's frames arrive untouched.

import { afterEach, expect, test } from "bun:test";
import { RX_FRAMES, TX_FRAMES } from "../../src/mem/counters.ts";
import {
  DELIVER_NEXT,
  DELIVER_STATUS,
  FETCH_AVAIL,
  FETCH_STATUS,
  FETCH_USED,
  RING_BROKEN,
  RING_RUNNING,
} from "../../src/mem/lane-state.ts";
import { VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_MRG_RXBUF } from "../../src/uapi/virtio_net.ts";
import { driverRingLayout } from "../../src/virtio/driver-ring.ts";
import { fuzzSeed } from "../fuzz/random.ts";
import { mac, numbered } from "../support/frames.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";
import { type RewriteTask, ROUNDS, STOP } from "./rewriting-task.ts";
import { type Rig, type TestGuest, useRig } from "./rig.ts";

const RING = 64;
const STRIDE = 2048;
const GAP = 0x77;
const stops: (() => Promise<void>)[] = [];

// For a test that failed before it stopped its thread; the memory goes away with the rig, whose hook runs after this one.
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
const newRig = useRig();

function startRewriter(guest: TestGuest, seed: number): { state: Int32Array; stop: () => Promise<void> } {
  const state = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL("./rewriting-worker.ts", import.meta.url));
  const ended = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(new Error(event.message));
  });
  const stop = async () => {
    Atomics.store(state, STOP, 1);
    await ended;
    worker.terminate();
  };
  stops.push(stop);
  const receive = driverRingLayout(RING, 0);
  const transmit = driverRingLayout(RING, receive.bytes);
  const { address, guest: base, size } = guest.regions[0];
  const rings = [
    { ...receive, writable: true },
    { ...transmit, writable: false },
  ].map(({ desc, avail, used, writable }) => ({ desc, avail, used, writable }));
  const task: RewriteTask = { seed, state, address, guest: base, size, ringSize: RING, rings };
  worker.postMessage(task);
  return { state, stop };
}

/** What a transport does when the driver resets a broken ring: it goes on from used.idx. */
function revive(guest: TestGuest): number {
  const broken = [FETCH_STATUS, DELIVER_STATUS].filter((status) => guest.state[status] === RING_BROKEN);
  if (broken.includes(FETCH_STATUS)) guest.state[FETCH_AVAIL] = guest.state[FETCH_USED] = guest.transmitq.used[1];
  if (broken.includes(DELIVER_STATUS)) guest.state[DELIVER_NEXT] = guest.receiveq.used[1];
  for (const status of broken) guest.state[status] = RING_RUNNING;
  return broken.length;
}

/** An honest guest whose receive buffers lie between bytes that nobody may touch. */
class Honest {
  readonly guest: TestGuest;
  private readonly buffers = new Map<number, number>();

  constructor(rig: Rig) {
    this.guest = rig.guest({ features: [VIRTIO_NET_F_MRG_RXBUF] });
    const start = this.guest.alloc(RING * STRIDE * 2);
    this.guest.put(start, new Uint8Array(RING * STRIDE * 2).fill(GAP));
    for (let n = 0; n < RING; n++) {
      const address = start + n * STRIDE * 2 + STRIDE / 2;
      const [head] = this.guest.post([[address, STRIDE]]);
      this.buffers.set(head, address);
    }
  }

  /** Takes everything that came, checks what lies around it, and posts the buffers again. */
  take(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let head = this.guest.receiveq.takeUsed(); head >= 0; head = this.guest.receiveq.takeUsed()) {
      const address = this.buffers.get(head) as number;
      const length = this.guest.receiveq.usedLength;
      frames.push(this.guest.get(address, length));
      const around = Buffer.concat([
        this.guest.get(address - STRIDE / 2, STRIDE / 2),
        this.guest.get(address + STRIDE, STRIDE / 2),
      ]);
      if (around.some((byte) => byte !== GAP)) throw new Error(`bytes around the buffer of head ${head} were written`);
      this.buffers.set(this.guest.post([[address, STRIDE]])[0], address);
    }
    return frames;
  }
}

test("a guest that rewrites its rings while they are read harms nobody else", async () => {
  const rig = newRig();
  const hostile = rig.guest({
    size: RING,
    features: [VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4],
  });
  const [honest, peer] = [new Honest(rig), new Honest(rig)];
  const rewriter = startRewriter(hostile, fuzzSeed("rewriting"));
  const wanted = sized(2_000, 2_000_000);
  const data = honest.guest.alloc(12 + 1514);
  let revived = 0;
  let number = 0;
  const turn = () => {
    rig.move(hostile, honest.guest);
    honest.take();
    const frame = numbered(mac(2), mac(1), 7, ++number, 60 + (number % 1400));
    honest.guest.put(data + 12, frame);
    honest.guest.transmitq.add(data, 12 + frame.length, false);
    honest.guest.transmitq.publish();
    rig.move(honest.guest, number % 2 === 0 ? peer.guest : hostile);
    honest.guest.transmitq.takeUsed();
    const got = peer.take();
    if (number % 2 === 0 && Buffer.compare(got[0].subarray(12), frame) !== 0) throw new Error("a frame was changed");
    rig.move(hostile, hostile);
    revived += revive(hostile);
  };
  let failure: unknown;
  await until(
    "frames to pass in every way, and rings to break, while the other thread writes",
    () => {
      try {
        for (let n = 0; n < 1000; n++) turn();
      } catch (error) {
        failure = error;
        return true;
      }
      const passed = [honest.guest, hostile].every((guest) => guest.counters[TX_FRAMES] > 100);
      return (
        passed &&
        revived > 10 &&
        hostile.counters[RX_FRAMES] > wanted &&
        Object.keys(hostile.reasons).length > 8 &&
        Atomics.load(rewriter.state, ROUNDS) > wanted
      );
    },
    { timeoutMs: 550_000, everyMs: 0, context: () => JSON.stringify([...hostile.counters, revived, number]) },
  );
  await rewriter.stop();
  expect(failure).toBeUndefined();
  expect(peer.guest.counters[TX_FRAMES]).toBe(Math.floor(number / 2));
}, 600_000);
