// A guest that rewrites its rings from another thread while a worker of a running switch reads them, super-frames and
// partial checksums among what it sends: other ports lose nothing, all frames are accounted for, and the port can be reset.

import { afterEach, test } from "bun:test";
import * as vu from "../../../src/uapi/vhost_user.ts";
import * as net from "../../../src/uapi/virtio_net.ts";
import { fuzzSeed } from "../../fuzz/random.ts";
import { mac, numbered, readNumbered } from "../../support/frames.ts";
import type { FrontEnd } from "../../support/frontend.ts";
import { sized } from "../../support/scale.ts";
import { until } from "../../support/until.ts";
import { type RewriteTask, STOP } from "../../virtio/rewriting-task.ts";
import { LEFT, RIGHT, useVhostRig } from "./rig.ts";

const stops: (() => Promise<void>)[] = [];
// Before the front ends are closed: the thread writes into their memory.
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
const rig = useVhostRig({ vm: "" });
const show = () => rig.api.port("vm");

function startRewriter(vm: FrontEnd, seed: number): () => Promise<void> {
  const { address, guest, offset, size } = vm.ram.regions[0];
  const state = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL("../../virtio/rewriting-worker.ts", import.meta.url));
  const ended = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(new Error(event.message));
  });
  const rings = vm.rings.map(({ desc, avail, used }, index) => ({
    desc: desc - guest,
    avail: avail - guest,
    used: used - guest,
    writable: index % 2 === 0,
  }));
  const task: RewriteTask = { seed, state, address: address + offset, guest, size, ringSize: vm.size, rings };
  worker.postMessage(task);
  const stop = async () => {
    Atomics.store(state, STOP, 1);
    await ended;
    worker.terminate();
  };
  stops.push(stop);
  return stop;
}

let number = 0;

/** A frame from left to right, among whatever else arrives. */
async function othersPass(): Promise<void> {
  const sent = ++number;
  rig.memory.send("left", numbered(RIGHT, LEFT, 0x5afe, sent));
  await until("a frame between other ports", () =>
    rig.memory.drain("right").some(({ frame }) => {
      const got = readNumbered(frame);
      return got?.sender === 0x5afe && got.number === sent;
    }),
  );
  rig.memory.drain("left");
}

test("a guest that rewrites its rings while a worker reads them harms nobody else", async () => {
  const features = [net.VIRTIO_NET_F_MRG_RXBUF, net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_HOST_TSO4];
  const vm = await rig.started("vm", { features });
  await rig.passes(vm);
  const stop = startRewriter(vm, fuzzSeed("rewriting over vhost-user"));
  const wanted = sized(300, 100_000);
  const deadline = performance.now() + 100_000;
  let resets = 0;
  for (;;) {
    for (let n = 0; n < 10; n++) {
      // To the guest, known or not.
      rig.memory.trySend("left", numbered(mac(0x7000 + n), LEFT, 1, n, 60 + 100 * n));
      await othersPass();
    }
    if (show().queues[0]?.state === "broken") {
      vm.wire.send(vu.VHOST_USER_RESET_DEVICE);
      for (const it of vm.rings) vm.startRing(it);
      await vm.settled();
      resets++;
    }
    if (show().rxFrames > wanted && resets > 2 && Object.keys(show().drops).length > 6) break;
    if (performance.now() > deadline) throw new Error(`after ${resets} resets: ${JSON.stringify(show())}`);
  }
  await stop();
  vm.wire.send(vu.VHOST_USER_RESET_DEVICE);
  await vm.settled();
  vm.resetRings();
  for (const it of vm.rings) vm.startRing(it);
  await vm.settled();
  await rig.memory.settled();
  for (const name of ["left", "right"]) rig.memory.drain(name);
  await rig.passes(vm);
}, 120_000);
