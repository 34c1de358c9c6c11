// A hostile driver on vhost-vdpa, seen from outside: what it does is counted on its port, its port can be used again after a
// reset, and frames between two other ports pass meanwhile, all of them and in order.
//
// The rules themselves are tested one by one in test/virtio. Not here: memory files that shrink, which end the process
// (docs/ARCHITECTURE.md, "Hostile guests").
//
// VM: processors 2
// VM: kernels 6.12
// VM: also sid

import { afterEach, expect, test } from "bun:test";
import { signal } from "../../src/sys/fd.ts";
import { PAGE_SIZE } from "../../src/sys/memory.ts";
import { fuzzSeed } from "../fuzz/random.ts";
import { brokenChains, push } from "../support/broken-chains.ts";
import { frame, mac } from "../support/frames.ts";
import { sized } from "../support/scale.ts";
import { VHOST_ACCESS_RO } from "../support/vhost-vdpa-abi.ts";
import type { VdpaGuest, VdpaGuestOptions, VdpaQueue } from "../support/vhost-vdpa-guest.ts";
import { requireVhostVdpa, useVdpaRig } from "../support/vhost-vdpa-rig.ts";
import { VdpaStream } from "../support/vhost-vdpa-stream.ts";
import { type RewriteTask, ROUNDS, STOP } from "../virtio/rewriting-task.ts";

const LIMIT_MS = 400_000;
const NOISE_ROUNDS = sized(20, 2_000);
const [EVIL, LEFT] = [mac(1), mac(2)];
const BASE = 2 ** 32;

const suite = requireVhostVdpa();
const transmits = brokenChains(EVIL, LEFT);

/** Where a chain may point that no memory is; each counts as `desc_address`. */
const holes: Record<string, (vm: VdpaGuest, it: VdpaQueue) => void> = {
  "below all memory": (_vm, it) => push(it, 0, 60, 0),
  "behind the end": (vm, it) => push(it, BASE + vm.ram.regions[0].size, 60, 0),
  "across the end": (vm, it) => push(it, BASE + vm.ram.regions[0].size - 59, 60, 0),
  "at the last address": (_vm, it) => push(it, 2n ** 64n - 60n, 60, 0),
  "an indirect table across the end": (vm, it) => push(it, BASE + vm.ram.regions[0].size - 16, 32, 4),
};

suite("a hostile driver on vhost-vdpa", () => {
  const rig = useVdpaRig({ evil: "", left: "", right: "" });
  const stops: (() => Promise<void>)[] = [];
  // Before the drivers are closed: the thread writes into their memory.
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });

  let streams: VdpaStream[] = [];

  /** A driver that misbehaves, and two that do not. */
  async function evil(options?: VdpaGuestOptions): Promise<VdpaGuest> {
    const [left, right] = [await rig.started("left"), await rig.started("right")];
    streams = [
      new VdpaStream(left, right, { source: 2, target: 3, window: 24 }),
      new VdpaStream(right, left, { source: 3, target: 2, window: 24 }),
    ];
    await othersPass();
    return options === undefined ? await rig.started("evil") : rig.guest("evil", options);
  }

  async function othersPass(frames = 50): Promise<void> {
    for (const stream of streams) await stream.pump(frames);
    for (const stream of streams) {
      await stream.finish();
      expect(stream.repeated).toBe(0);
    }
  }

  /** A frame from the hostile driver, and one to it. */
  async function passes(vm: VdpaGuest): Promise<void> {
    const [{ from: left }] = streams;
    while (left.poll() !== null) {
      // What the hostile driver has sent before.
    }
    vm.send(frame(LEFT, EVIL, 80));
    expect(await rig.receive(left)).toEqual(frame(LEFT, EVIL, 80));
    left.send(frame(EVIL, LEFT, 81));
    expect(await rig.receive(vm)).toEqual(frame(EVIL, LEFT, 81));
  }

  /** The driver starts anew, and is served as if nothing had been. */
  async function reformed(vm: VdpaGuest): Promise<void> {
    vm.stop();
    vm.start();
    const { queues } = await rig.state("evil", "running");
    expect(queues[0].state).toBe("running");
    await passes(vm);
  }

  async function counted(reason: string, act: () => void): Promise<void> {
    const { [reason]: before = 0 } = (await rig.show("evil")).drops;
    act();
    await rig.port("evil", `to count ${reason}`, ({ drops }) => (drops[reason] ?? 0) > before);
  }

  test(
    "sends chains against the rules: each is counted",
    async () => {
      const vm = await evil();
      for (const [reason, send] of Object.entries(transmits)) {
        await counted(reason, () => send(vm, vm.transmitq));
        expect((await rig.show("evil")).queues[0].state).toBe("running");
        await othersPass(10);
        vm.stop();
        vm.start();
      }
      for (const send of Object.values(holes)) {
        await counted("desc_address", () => send(vm, vm.transmitq));
        vm.stop();
        vm.start();
      }
      await reformed(vm);
      await othersPass();
    },
    LIMIT_MS,
  );

  test(
    "posts buffers against the rules: each is given back empty, and frames pass behind it",
    async () => {
      const vm = await evil();
      const { ring } = vm.receiveq;
      // Descriptors 0, 1, 2 are offered first.
      ring.desc.setUint32(0 * 16 + 8, 0xffffffff, true);
      ring.desc.setBigUint64(1 * 16, 1n, true);
      ring.desc.setUint16(2 * 16 + 12, 0, true);
      await counted("bad_buffer", () => streams[0].from.send(frame(EVIL, LEFT, 70)));
      expect(await rig.receive(vm)).toEqual(frame(EVIL, LEFT, 70));
      expect((await rig.show("evil")).drops.bad_buffer).toBe(3);
      await othersPass();
      await reformed(vm);
    },
    LIMIT_MS,
  );

  const breaks: Record<string, (it: VdpaQueue) => void> = {
    avail_index: ({ ring }) => {
      ring.avail[1] = (ring.avail[1] + 0x8000) & 0xffff;
    },
    avail_head: ({ ring }) => {
      ring.avail.fill(0xffff, 2, 66);
      ring.avail[1] = (ring.avail[1] + 1) & 0xffff;
    },
  };
  for (const [reason, corrupt] of Object.entries(breaks)) {
    test(
      `breaks a ring (${reason}): it is shown as broken, in other memory too, until a reset`,
      async () => {
        const vm = await evil();
        const { [reason]: before = 0 } = (await rig.show("evil")).drops;
        await passes(vm);
        corrupt(vm.transmitq);
        signal(vm.transmitq.kickFd);
        await rig.port("evil", "to be broken", ({ queues }) => queues[0].state === "broken");
        await othersPass();
        // The other direction goes on.
        streams[0].from.send(frame(EVIL, LEFT, 90));
        expect(await rig.receive(vm)).toEqual(frame(EVIL, LEFT, 90));
        const [region] = vm.ram.regions;
        vm.device.batch(() => {
          vm.device.unmap(region.guest, region.size);
          vm.mapRegion(region);
        });
        const { queues, drops } = await rig.show("evil");
        expect([queues[0].state, drops[reason]]).toEqual(["broken", before + 1]);
        await reformed(vm);
      },
      LIMIT_MS,
    );
  }

  test(
    "sets rings up that cannot be: the port waits for a better start",
    async () => {
      const vm = await evil({});
      const end = BASE + vm.ram.regions[0].size;
      const { transmitq: it } = vm;
      const wrongs: Record<string, () => void> = {
        "a descriptor table outside memory": () => vm.device.setVringAddress(1, { ...it, desc: 0 }),
        "a used ring across the end": () => vm.device.setVringAddress(1, { ...it, used: end - 8 }),
        "an avail ring beyond all addresses": () => vm.device.setVringAddress(1, { ...it, avail: 2 ** 60 }),
        "a misaligned table": () => vm.device.setVringAddress(1, { ...it, desc: it.desc + 8 }),
        "a ring larger than its memory": () => {
          vm.device.setVringNum(1, 1024);
          vm.device.setVringAddress(1, { desc: end - 8192, avail: end - 4096, used: end - 2048 });
        },
      };
      for (const [how, wrong] of Object.entries(wrongs)) {
        const { rings: before = 0 } = (await rig.show("evil")).errors;
        vm.negotiate();
        vm.resetRings();
        for (const queue of vm.queues) vm.setUp(queue);
        wrong();
        vm.driverOk();
        const shown = await rig.port("evil", `to refuse ${how}`, ({ errors }) => (errors.rings ?? 0) > before);
        expect({ how, carrier: shown.carrier, state: shown.details.deviceState }).toEqual({
          how,
          carrier: false,
          state: "waiting for a driver",
        });
        await othersPass(10);
        vm.stop();
      }
      await reformed(vm);
      await rig.ringyard.logged("descriptor table");
    },
    LIMIT_MS,
  );

  test(
    "says DRIVER_OK without rings, with one of them, and with rings of other sizes",
    async () => {
      const vm = await evil({});
      vm.negotiate();
      vm.driverOk();
      await othersPass(10);
      vm.stop();
      // Only the transmit queue.
      vm.negotiate();
      vm.resetRings();
      vm.setUp(vm.transmitq);
      vm.driverOk();
      vm.send(frame(LEFT, EVIL, 66));
      expect(await rig.receive(streams[0].from)).toEqual(frame(LEFT, EVIL, 66));
      rig.close(vm);
      for (const size of [1, 2, 1024]) {
        const regions = [{ guest: BASE, size: 8 << 20 }];
        const other = await rig.started("evil", { size, regions });
        await passes(other);
        await passes(other);
        rig.close(other);
      }
      await othersPass();
    },
    LIMIT_MS,
  );

  test(
    "maps its memory page by page, by thousands, and changes it without end",
    async () => {
      const pages = 2000;
      const vm = await evil({ regions: [{ guest: BASE, size: pages * PAGE_SIZE }] });
      const [{ guest, size, address }] = vm.ram.regions;
      // Pages that continue one another become one piece; beyond the first, every second is missing.
      const joined = 256;
      const mapPages = () => {
        for (let n = 0; n < pages; n += n < joined ? 1 : 2) {
          vm.device.map(guest + n * PAGE_SIZE, PAGE_SIZE, address + n * PAGE_SIZE);
        }
      };
      vm.device.unmap(guest, size);
      vm.device.batch(mapPages);
      vm.start();
      await rig.state("evil", "running");
      // Rings and first buffers lie in the first pages, which are served.
      await passes(vm);
      await rig.ringyard.logged("too many pieces");
      await counted("desc_address", () => push(vm.transmitq, guest + size - PAGE_SIZE, 60, 0));
      for (let n = 0; n < 50; n++) {
        vm.device.unmap(guest + size - PAGE_SIZE, PAGE_SIZE);
        vm.device.map(guest + size - PAGE_SIZE, PAGE_SIZE, address);
        if (n % 10 === 0) await othersPass(20);
      }
      vm.device.unmap(guest, size);
      vm.mapRegion(vm.ram.regions[0]);
      await reformed(vm);
      await othersPass();
    },
    LIMIT_MS,
  );

  test(
    "has frames put where nobody may write: the memory stays as it is",
    async () => {
      const regions = [
        { guest: BASE, size: 4 << 20 },
        { guest: 2 * BASE, size: 1 << 20 },
      ];
      const vm = await evil({ regions, receive: { region: 1 } });
      const rom = vm.ram.regions[1];
      vm.device.unmap(rom.guest, rom.size);
      vm.mapRegion(rom, VHOST_ACCESS_RO);
      rom.bytes.fill(0x90);
      vm.start();
      await rig.state("evil", "running");
      vm.send(frame(LEFT, EVIL, 80));
      expect(await rig.receive(streams[0].from)).toEqual(frame(LEFT, EVIL, 80));
      await counted("bad_buffer", () => streams[0].from.send(frame(EVIL, LEFT, 400)));
      expect(Buffer.compare(rom.bytes, new Uint8Array(rom.size).fill(0x90))).toBe(0);
      await rig.ringyard.logged("may not be written");
      await othersPass();
    },
    LIMIT_MS,
  );

  test(
    "kicks without end and with nothing behind it",
    async () => {
      const vm = await evil();
      for (let n = 0; n < 10; n++) {
        for (let k = 0; k < 500; k++) signal(vm.transmitq.kickFd);
        await othersPass(20);
      }
      await passes(vm);
    },
    LIMIT_MS,
  );

  test(
    "rewrites its rings from another thread while a worker reads them",
    async () => {
      const vm = await evil();
      const { address, guest, offset, size } = vm.ram.regions[0];
      const state = new Int32Array(new SharedArrayBuffer(8));
      const worker = new Worker(new URL("../virtio/rewriting-worker.ts", import.meta.url));
      const ended = new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = (event) => reject(new Error(event.message));
      });
      const rings = vm.queues.map(({ index, desc, avail, used }) => {
        return { desc: desc - guest, avail: avail - guest, used: used - guest, writable: index === 0 };
      });
      const seed = fuzzSeed("rewriting over vhost-vdpa");
      const task = { seed, state, address: address + offset, guest, size, ringSize: vm.size, rings };
      worker.postMessage(task satisfies RewriteTask);
      stops.push(async () => {
        Atomics.store(state, STOP, 1);
        await ended;
        worker.terminate();
      });
      await rig.until("the thread", () => Atomics.load(state, ROUNDS) > 0);
      // What its rings happen to hold are frames too, and those for nobody go to everybody: they may take the others' buffers.
      for (const stream of streams) stream.lossy = true;
      const before = streams.map(({ arrived }) => arrived);
      let resets = 0;
      for (let round = 0; round < NOISE_ROUNDS; round++) {
        for (let n = 0; n < 8; n++) streams[0].from.send(frame(EVIL, LEFT, 60 + 100 * n));
        signal(vm.transmitq.kickFd);
        for (const stream of streams) await stream.pump(10);
        if ((await rig.show("evil")).queues[0]?.state !== "broken" && round % 5 !== 4) continue;
        vm.device.setStatus(0);
        vm.negotiate();
        for (const queue of vm.queues) vm.setUp(queue);
        vm.driverOk();
        resets++;
      }
      expect(resets).toBeGreaterThan(0);
      for (const [n, { arrived }] of streams.entries()) expect(arrived).toBeGreaterThan(before[n]);
      for (const stop of stops.splice(0)) await stop();
      const { drops, rxFrames } = await rig.show("evil");
      const shown = await Promise.all(["left", "right"].map((name) => rig.show(name)));
      const dropped = shown.flatMap((port) => Object.values(port.drops)).reduce((sum, count) => sum + count, 0);
      expect(streams[0].lost + streams[1].lost).toBeLessThanOrEqual(dropped);
      expect(rxFrames).toBeGreaterThan(0);
      expect(Object.keys(drops).filter((reason) => reason.startsWith("desc_")).length).toBeGreaterThan(0);
      await reformed(vm);
      await othersPass();
      for (const stream of streams) stream.lossy = false;
      await othersPass();
    },
    LIMIT_MS,
  );
});
