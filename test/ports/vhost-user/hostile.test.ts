// A hostile guest seen from outside: what an operator reads in `port show`, how the port is used again, and that other
// ports go on. The rules themselves are tested one by one in test/virtio.

import { describe, expect, test } from "bun:test";
import { signal } from "../../../src/sys/fd.ts";
import * as vu from "../../../src/uapi/vhost_user.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../src/uapi/virtio_net.ts";
import { brokenChains } from "../../support/broken-chains.ts";
import { frame, mac } from "../../support/frames.ts";
import type { FrontEnd, FrontEndRing } from "../../support/frontend.ts";
import { until } from "../../support/until.ts";
import { LEFT, useVhostRig, VM } from "./rig.ts";

const rig = useVhostRig({ vm: "" });
const show = () => rig.api.port("vm");

const transmits: Record<string, (vm: FrontEnd, it: FrontEndRing) => void> = {
  ...brokenChains(VM, LEFT),
  own_port: (vm) => {
    vm.send(frame(LEFT, mac(0xb2)));
    vm.send(frame(mac(0xb2), VM));
  },
};

describe("what a guest sends against the rules is counted on its port", () => {
  for (const [reason, send] of Object.entries(transmits)) {
    test(reason, async () => {
      const vm = await rig.started("vm");
      const before = show().drops[reason] ?? 0;
      send(vm, vm.transmitRing());
      await until(`a frame dropped as ${reason}`, () => (show().drops[reason] ?? 0) === before + 1, { everyMs: 1 });
      expect(show().queues[0].state).toBe("running");
      rig.memory.drain("left");
      await rig.othersPass();
      // The same connection goes on where descriptors allow it; the driver starts its rings anew.
      vm.wire.send(vu.VHOST_USER_RESET_DEVICE);
      await vm.settled();
      vm.resetRings();
      for (const it of vm.rings) vm.startRing(it);
      await vm.settled();
      await rig.passes(vm);
    });
  }
});

/** Makes every receive buffer this short. */
function shorten(vm: FrontEnd, size: number): void {
  for (let n = 0; n < vm.size; n++) vm.receiveRing().ring.desc.setUint32(n * 16 + 8, size, true);
}

describe("what a guest posts against the rules is counted on its port, and frames pass behind it", () => {
  test("bad_buffer", async () => {
    const vm = await rig.started("vm");
    const before = show().drops.bad_buffer ?? 0;
    vm.receiveRing().ring.desc.setUint32((vm.size - 1) * 16 + 8, 0xffffffff, true);
    vm.send(frame(LEFT, VM));
    await rig.memory.receive("left", 1);
    for (let n = 0; n < vm.size; n++) rig.memory.send("left", frame(VM, LEFT, 80));
    await until("the bad buffer to be met", () => (show().drops.bad_buffer ?? 0) > before, { everyMs: 1 });
    await rig.othersPass();
  });

  test("buffer_too_small", async () => {
    const vm = await rig.started("vm");
    const before = show().drops.buffer_too_small ?? 0;
    shorten(vm, 100);
    rig.memory.send("left", frame(VM, LEFT, 89));
    await until("a frame dropped", () => (show().drops.buffer_too_small ?? 0) === before + 1, { everyMs: 1 });
    rig.memory.send("left", frame(VM, LEFT, 88));
    expect(await vm.receive()).toEqual(frame(VM, LEFT, 88));
    await rig.othersPass();
  });

  test("no_buffer", async () => {
    const vm = await rig.started("vm", { size: 4, features: [VIRTIO_NET_F_MRG_RXBUF] });
    shorten(vm, 100);
    const before = show().drops.no_buffer ?? 0;
    const { txFrames } = show();
    // Each takes two of the four buffers.
    for (let n = 0; n < 20; n++) rig.memory.send("left", frame(VM, LEFT, 150));
    await until("all to be delivered or dropped", () => {
      const { txFrames: now, drops } = show();
      return now - txFrames + (drops.no_buffer ?? 0) - before === 20;
    });
    expect(show().drops.no_buffer - before).toBe(18);
    await rig.othersPass();
  });
});

describe("a ring that is broken", () => {
  const breaks: Record<string, (it: FrontEndRing) => void> = {
    "avail_index by a jump": ({ ring }) => {
      ring.avail[1] = (ring.avail[1] + 0x8000) & 0xffff;
    },
    "avail_head by a head outside": ({ ring }) => {
      for (let n = 0; n < 64; n++) ring.avail[2 + n] = 0xffff;
      ring.avail[1] = (ring.avail[1] + 1) & 0xffff;
    },
  };
  const revivals: Record<string, (vm: FrontEnd) => Promise<void>> = {
    "a reset": async (vm) => {
      vm.wire.send(vu.VHOST_USER_RESET_DEVICE);
      await vm.settled();
    },
    "stopping its rings": async (vm) => {
      for (const it of vm.rings) await vm.stopRing(it);
    },
    "a new connection": async (vm) => {
      vm.disconnect();
      await rig.idle("vm");
      await vm.connect();
      await vm.negotiate();
      vm.setMemory();
    },
  };
  for (const [how, corrupt] of Object.entries(breaks)) {
    for (const [revival, revive] of Object.entries(revivals)) {
      test(`${how} is shown as broken, and runs again after ${revival}`, async () => {
        const reason = how.split(" ")[0];
        const vm = await rig.started("vm");
        await rig.passes(vm);
        const before = show().drops[reason] ?? 0;
        corrupt(vm.transmitRing());
        signal(vm.transmitRing().kickFd);
        await until("the ring to be broken", () => show().queues[0].state === "broken", { everyMs: 1 });
        expect(show().drops[reason]).toBe(before + 1);
        // The other direction and other ports go on.
        rig.memory.send("left", frame(VM, LEFT, 90));
        expect(await vm.receive()).toEqual(frame(VM, LEFT, 90));
        await rig.othersPass();
        // New memory is no way out.
        vm.setMemory();
        await vm.settled();
        expect(show().queues[0].state).toBe("broken");
        expect(show().drops[reason]).toBe(before + 1);

        await revive(vm);
        vm.resetRings();
        for (const it of vm.rings) vm.startRing(it);
        await vm.settled();
        expect(show().queues[0].state).toBe("running");
        await rig.passes(vm);
      });
    }
  }
});

test("a storm of kicks with nothing behind them stops nobody", async () => {
  const vm = await rig.started("vm");
  for (let n = 0; n < 20; n++) {
    for (let k = 0; k < 1000; k++) signal(vm.transmitRing().kickFd);
    await rig.othersPass();
  }
  await rig.passes(vm);
});
