// Connections: one front end at a time, both modes, and what a cut leaves: frames published before it arrive exactly once
// when the front end is back, in order, and the rings go on at used.idx. And the socket file.

import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { closeFd } from "../../../src/sys/fd.ts";
import { connectUnix, listenUnix } from "../../../src/sys/unix.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../src/uapi/virtio_ring.ts";
import { frame, numbered, readNumbered } from "../../support/frames.ts";
import type { FrontEnd } from "../../support/frontend.ts";
import { Wire } from "../../support/frontend-wire.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { until } from "../../support/until.ts";
import { LEFT, useVhostRig, VM } from "./rig.ts";

const rig = useVhostRig({ vm: "", client: "mode=client" });

/** Sends numbered frames as far as the ring has room; returns the next number. */
function sendSome(vm: FrontEnd, number: number, count: number): number {
  for (let n = 0; n < count; n++) if (vm.send(numbered(LEFT, VM, 7, number))) number++;
  return number;
}

describe("a cut connection", () => {
  for (const features of [[], [VIRTIO_RING_F_EVENT_IDX]]) {
    test(`loses no frame and repeats none, EVENT_IDX ${features.length > 0}`, async () => {
      const vm = await rig.started("vm", { features });
      const arrived: number[] = [];
      // Counters follow the frames that they count.
      await rig.memory.settled();
      const { rxFrames } = rig.api.port("vm");
      let sent = 0;
      for (let cut = 0; cut < 8; cut++) {
        sent = sendSome(vm, sent, 20);
        // Cut at once, in the middle of the forwarding, or with everything forwarded.
        if (cut % 3 === 1) await Bun.sleep(0);
        if (cut % 3 === 2) await until("all forwarded", () => rig.api.port("vm").rxFrames - rxFrames >= sent);
        vm.disconnect();
        sent = sendSome(vm, sent, 5);
        await vm.connect();
        await vm.start();
        sent = sendSome(vm, sent, 5);
        await until("all frames so far", () => {
          arrived.push(...rig.memory.drain("left").map(({ frame }) => readNumbered(frame)?.number ?? -1));
          return arrived.length >= sent;
        });
      }
      expect(arrived).toEqual(Array.from({ length: sent }, (_, n) => n));
      await rig.memory.settled();
      expect(rig.api.port("vm").rxFrames - rxFrames).toBe(sent);
      await rig.passes(vm);
    });
  }

  test("gives the receive ring back as it was: frames to the guest go on in its buffers, in order", async () => {
    const vm = await rig.started("vm");
    let number = 0;
    const arrived: number[] = [];
    const take = () => {
      for (let got = vm.poll(); got !== null; got = vm.poll()) arrived.push(readNumbered(got)?.number ?? -1);
    };
    await rig.passes(vm);
    await rig.memory.settled();
    const { txFrames } = rig.api.port("vm");
    for (let cut = 0; cut < 5; cut++) {
      for (let n = 0; n < 10; n++) rig.memory.send("left", numbered(VM, LEFT, 7, number++));
      await until("all forwarded", () => rig.api.port("vm").txFrames - txFrames >= number, { everyMs: 0 });
      vm.disconnect();
      await rig.idle("vm");
      // The guest may look only now.
      await vm.connect();
      take();
      await vm.start();
    }
    expect(arrived).toEqual(Array.from({ length: number }, (_, n) => n));
    await rig.memory.settled();
    expect(rig.api.port("vm").txFrames - txFrames).toBe(number);
    await rig.passes(vm);
  });
});

test("a second front end is refused while there is one, and counted", async () => {
  const vm = await rig.started("vm");
  const counted = rig.error("vm", "second_connection");
  const second = new Wire(connectUnix(rig.path("vm")));
  await second.ended();
  second.close();
  expect(rig.error("vm", "second_connection")).toBe(counted + 1);
  await rig.passes(vm);
});

test("a front end that is back at once is not taken for a second one", async () => {
  const counted = rig.error("vm", "second_connection");
  const vm = await rig.started("vm");
  for (let n = 0; n < 10; n++) {
    vm.disconnect();
    await vm.connect();
    await vm.start();
    await rig.passes(vm);
  }
  expect(rig.error("vm", "second_connection")).toBe(counted);
});

test("a front end that comes and goes without end has so many turns a second: each is two lines in the log", async () => {
  await rig.idle("vm");
  const { connections } = rig.api.port("vm").details as { connections: number };
  const startMs = performance.now();
  while (performance.now() - startMs < 500) {
    const socket = connectUnix(rig.path("vm"));
    if (socket >= 0) closeFd(socket);
    await Bun.sleep(0);
  }
  const made = (rig.api.port("vm").details.connections as number) - connections;
  const most = Math.ceil((performance.now() - startMs) / 10) + 1;
  expect(made).toBeGreaterThan(0);
  expect(made).toBeLessThanOrEqual(most);
  await rig.idle("vm");
  await rig.expectUsable("vm");
});

describe("client mode", () => {
  test("connects when somebody listens, and again after each end", async () => {
    for (let round = 0; round < 3; round++) {
      const listener = listenUnix(rig.path("client"), 1);
      const vm = rig.frontEnd("client");
      await vm.accept(listener);
      await vm.start();
      await rig.passes(vm);
      expect(rig.api.port("client").details).toMatchObject({ mode: "client", connected: true });
      vm.disconnect();
      await rig.idle("client");
      // The same guest once more.
      await vm.accept(listener);
      await vm.start();
      await rig.passes(vm);
      closeFd(listener);
      unlinkSync(rig.path("client"));
      await rig.drop(vm, "client");
    }
  });

  test("a path that cannot be connected to is counted, said once, and tried again", async () => {
    writeFileSync(rig.path("odd"), "");
    await rig.add("odd", "mode=client");
    // Nobody listens on a plain file (ECONNREFUSED), as on a stale socket.
    unlinkSync(rig.path("odd"));
    symlinkSync(rig.path("odd"), rig.path("odd"));
    await until("failed attempts", () => rig.error("odd", "connect") > 1);
    // Said once, however long it lasts.
    expect(rig.warnings.filter((line) => line.includes("connect")).length).toBe(1);
    unlinkSync(rig.path("odd"));
    const listener = listenUnix(rig.path("odd"), 1);
    const vm = rig.frontEnd("odd");
    await vm.accept(listener);
    await vm.start();
    await rig.passes(vm);
    closeFd(listener);
    await rig.drop(vm, "odd");
    await rig.api.removePort("odd");
    unlinkSync(rig.path("odd"));
  });
});

describe("the socket file", () => {
  const failure = async (adding: Promise<void>) =>
    adding.then(
      () => "added",
      ({ code }) => code as string,
    );

  test("appears with the port and goes with it", async () => {
    await rig.add("file");
    expect(statSync(rig.path("file")).isSocket()).toBe(true);
    await rig.expectUsable("file");
    await rig.api.removePort("file");
    expect(existsSync(rig.path("file"))).toBe(false);
  });

  test("a stale one is replaced", async () => {
    closeFd(listenUnix(rig.path("stale"), 1));
    expect(statSync(rig.path("stale")).isSocket()).toBe(true);
    await rig.add("stale");
    await rig.expectUsable("stale");
    await rig.api.removePort("stale");
  });

  test("a live one is refused, and goes on", async () => {
    const before = holdings();
    const listener = listenUnix(rig.path("live"), 1);
    expect(await failure(rig.add("live"))).toBe("BUSY");
    const still = connectUnix(rig.path("live"));
    expect(still).toBeGreaterThan(0);
    expect(rig.api.ports().map(({ name }) => name)).not.toContain("live");
    closeFd(still);
    closeFd(listener);
    expect(heldDifference(before, holdings())).toEqual([]);
    unlinkSync(rig.path("live"));
  });

  test("one that this switch serves already is refused, and goes on", async () => {
    expect(await failure(rig.add("again").then(() => rig.add("vm")))).toBe("EXISTS");
    const other = rig.api.addPort({
      name: "other",
      kind: "vhost-user",
      uri: `vhost-user:${rig.path("vm")}`,
      target: rig.path("vm"),
      options: {},
    });
    expect(await other.catch(({ code }) => code)).toBe("BUSY");
    await rig.api.removePort("again");
    await rig.expectUsable("vm");
  });

  test("what is not a socket is refused, and left alone", async () => {
    writeFileSync(rig.path("plain"), "precious");
    expect(await failure(rig.add("plain"))).toBe("EXISTS");
    expect(await Bun.file(rig.path("plain")).text()).toBe("precious");
    unlinkSync(rig.path("plain"));
  });

  test("a folder that is not there, and a path too long, are refused", async () => {
    expect(await failure(rig.add("no/such/folder"))).not.toBe("added");
    const spec = { name: "long", kind: "vhost-user", uri: "", options: {} };
    for (const target of [join(rig.scratch, "missing", "x.sock"), join(rig.scratch, "x".repeat(100))]) {
      expect(await rig.api.addPort({ ...spec, target }).catch(({ code }) => code)).toMatch(/^(SYSTEM|BAD_URI)$/);
    }
  });

  test("one that somebody else put in its place is left alone", async () => {
    await rig.add("swapped");
    unlinkSync(rig.path("swapped"));
    const listener = listenUnix(rig.path("swapped"), 1);
    await rig.api.removePort("swapped");
    expect(existsSync(rig.path("swapped"))).toBe(true);
    closeFd(listener);
    unlinkSync(rig.path("swapped"));
  });

  test("one that cannot be looked at any more keeps no port from going, nor its front end connected", async () => {
    const folder = join(rig.scratch, "folder");
    mkdirSync(folder);
    const target = join(folder, "away.sock");
    await rig.api.addPort({ name: "away", kind: "vhost-user", uri: `vhost-user:${target}`, target, options: {} });
    const wire = new Wire(connectUnix(target));
    await until("the connection", () => rig.api.port("away").details.connected === true);
    renameSync(folder, `${folder}.old`);
    // Every path through it fails (ELOOP), for root, too.
    symlinkSync("folder", folder);
    await rig.api.removePort("away");
    await wire.ended();
    wire.close();
    expect(rig.api.ports().map(({ name }) => name)).not.toContain("away");
    expect(rig.warnings.at(-1)).toContain("the socket file stays: ELOOP");
    for (const path of [folder, `${folder}.old`]) rmSync(path, { recursive: true });
  });

  test("none is left over", () => expect(readdirSync(rig.scratch).sort()).toEqual(["vm.sock"]));
});

test("a port is removed while frames are on their way", async () => {
  for (let round = 0; round < 5; round++) {
    await rig.add("gone");
    const vm = await rig.started("gone");
    const due = rig.api.port("left").rxFrames + 3;
    for (let n = 0; n < 30; n++) {
      vm.send(frame(LEFT, VM, 100));
      if (n % 10 === 0) rig.memory.send("left", frame(VM, LEFT, 100));
    }
    await rig.api.removePort("gone");
    await vm.wire.ended();
    rig.frontEnds.delete(vm);
    vm.close();
    // An address that is gone is flooded to; what `left` sent has to be on its way before what it caused is taken away.
    await until("all that `left` sent to be fetched", () => rig.api.port("left").rxFrames === due);
    await rig.memory.settled();
    for (const name of ["left", "right"]) rig.memory.drain(name);
    await rig.othersPass();
  }
});
