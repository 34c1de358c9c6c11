// Zero copy from a driver on /dev/vhost-vdpa-N, whose memory the switch has by VDUSE: a NIC reads its frames where they lie. The driver is
// in this process, the wire's other end the kernel's own, with a UDP socket behind it. The driver's memory goes and comes, and the
// driver itself disappears, with frames on their way; the IOMMU reports no fault (the runner fails a file after which the
// kernel complains).
//
// VM: kernels 6.12
// VM: also sid build
// VM: nics
// VM: qemu backports

import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { type FarEnd, useFarEnd, WINDOW } from "../support/far-end.ts";
import { nics, requireNics } from "../support/nics.ts";
import { sized } from "../support/scale.ts";
import type { VdpaGuest } from "../support/vhost-vdpa-guest.ts";
import { useVdpaRig } from "../support/vhost-vdpa-rig.ts";

const LIMIT_MS = 240_000;
/** One for each driver; in the long run another device of Intel's, too. */
const MODELS = (["virtio-net-pci", "e1000e", "igb"] as const).slice(0, sized(2, 3));
const ROUNDS = sized(5, 10);
const WINDOWS = sized(10, 20);
const REGION_SIZE = 1 << 21;
/** Rings in one, and what is sent in another. */
const OPTIONS = {
  regions: [2 ** 32, 2 ** 33].map((guest) => ({ guest, size: REGION_SIZE })),
  transmit: { region: 1 },
};
/** What is in memory that was taken away: no frame looks so. */
const PATTERN = 0xa5;

const suite = requireNics(...MODELS);

/** Datagrams that the kernel has thrown away, since their bytes were not what their sender summed up. */
function spoiled(): number {
  const [names, values] = readFileSync("/proc/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Udp:"))
    .map((line) => line.split(" "));
  return Number(values[names.indexOf("InCsumErrors")]);
}

suite("frames of a driver on vhost-vdpa", () => {
  const rig = useVdpaRig({ vm: "" });
  const farEnd = useFarEnd();

  afterEach(async () => {
    // Another test has another NIC.
    await rig.request("port.del", { name: "uplink" });
  }, LIMIT_MS);

  async function bring(model: NicModel): Promise<{ vm: VdpaGuest; far: FarEnd }> {
    const [nic] = nics(model);
    const far = await farEnd(nic);
    await rig.request("port.add", { name: "uplink", uri: `vfio:${nic.address}` });
    const vm = await rig.started("vm", OPTIONS);
    await rig.port("uplink", "to have a link", ({ carrier }) => carrier);
    return { vm, far };
  }

  describe.each(MODELS)("to %s", (model) => {
    test(
      "are read where they lie, whatever becomes of the driver",
      async () => {
        const { vm, far } = await bring(model);
        await far.pass(vm, WINDOWS * WINDOW);
        const uplink = await rig.show("uplink");
        expect([uplink.txCopied, uplink.errors]).toEqual([undefined, {}]);
        expect(uplink.txZeroCopy).toBe(uplink.txFrames);
        expect(uplink.txFrames).toBeGreaterThanOrEqual(WINDOWS * WINDOW);
        expect((await rig.show("vm")).details.zeroCopy).toBe("yes, 4 MiB");
        // Its memory is mapped anew with frames on their way: none is lost, none comes twice.
        for (let round = 0; round < ROUNDS; round++) {
          const payloads = await far.send(vm, new Array(WINDOW).fill(1000));
          vm.device.batch(() => {
            for (const { guest, size } of vm.ram.regions) vm.device.unmap(guest, size);
            for (const region of vm.ram.regions) vm.mapRegion(region);
          });
          await far.arrived(payloads);
        }
        // It disappears with frames on their way, and comes back.
        let last = vm;
        for (let round = 0; round < ROUNDS; round++) {
          far.flood(last, 1400);
          rig.close(last);
          await rig.state("vm", "waiting for a driver");
          last = await rig.started("vm", OPTIONS);
        }
        await far.pass(last, 2 * WINDOW);
        const after = await rig.show("uplink");
        expect([after.txCopied, after.errors, after.details.resets]).toEqual([undefined, {}, undefined]);
        expect((await rig.show("vm")).errors).toEqual({});
        await rig.ringyard.lawful();
      },
      LIMIT_MS,
    );

    test(
      "are not read any more in memory that their driver has taken away",
      async () => {
        const { vm, far } = await bring(model);
        await far.pass(vm, WINDOW);
        const before = spoiled();
        const [, region] = vm.ram.regions;
        for (let round = 0; round < ROUNDS; round++) {
          const payloads = await far.send(vm, new Array(WINDOW).fill(1400));
          vm.device.unmap(region.guest, region.size);
          region.bytes.fill(PATTERN);
          vm.exchangeMemory(region)();
          vm.mapRegion(region);
          // Those that the switch had not looked at by then have no memory any more: they are dropped.
          await rig.until("the rest to come back", () => vm.inFlight === 0);
          await far.arrived(await far.send(vm, [100]));
          expect(far.arrivals(payloads)).toEqual(payloads.slice(0, far.arrivals(payloads).length));
        }
        expect(spoiled()).toBe(before);
        expect((await rig.show("uplink")).txCopied).toBeUndefined();
        await rig.ringyard.lawful();
      },
      LIMIT_MS,
    );
  });
});
