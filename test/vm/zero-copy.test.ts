// Zero copy on a real kernel and IOMMU: a NIC reads a VM's frames in the VM's memory. The VM is a vhost-user front end in this
// process, the wire's other end the kernel's own driver, with a UDP socket behind it. The copied-frames counter stays 0 and the
// bytes are right; the VM changes its memory and disappears with frames on their way, and the IOMMU reports no fault (the
// runner fails a file after which the kernel complains).
//
// VM: kernels 6.12 build
// VM: also sid
// VM: nics
// VM: qemu backports

import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { useCleanup } from "../support/cleanup.ts";
import { type FarEnd, useFarEnd, WINDOW } from "../support/far-end.ts";
import { FrontEnd } from "../support/frontend.ts";
import { type Nic, nics, requireNics } from "../support/nics.ts";
import { sized } from "../support/scale.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 240_000;
/** One for each driver, and by iommufd one alone; in the long run every device. */
const FEW = process.env.RINGYARD_VM === "build" ? 1 : 2;
const MODELS = (["virtio-net-pci", "e1000e", "igb"] as const).slice(0, sized(FEW, 3));
const ROUNDS = sized(5, 10);
const WINDOWS = sized(10, 20);

const start = useSwitch();
const farEnd = useFarEnd();
const defer = useCleanup();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-zero-copy-"));
defer(() => rmSync(scratch, { recursive: true, force: true }));
const suite = requireNics(...MODELS);

let undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
}, LIMIT_MS);

async function connect(path: string): Promise<FrontEnd> {
  const vm = new FrontEnd(path, { regions: [{ guest: 2 ** 32, size: 1 << 21 }] });
  undo.push(() => vm.close());
  await vm.connect();
  await vm.start();
  return vm;
}

async function bring(
  nic: Nic,
  name: string,
): Promise<{ ringyard: SwitchProcess; vm: FrontEnd; far: FarEnd; path: string }> {
  const path = join(scratch, `${name}.sock`);
  const far = await farEnd(nic);
  const ringyard = await start({ uplink: `vfio:${nic.address}`, vm: `vhost-user:${path}` });
  undo.push(() => ringyard.stop());
  const vm = await connect(path);
  await until("the link", async () => (await ringyard.port("uplink")).carrier, { context: () => ringyard.output });
  return { ringyard, vm, far, path };
}

suite("frames of a VM", () => {
  describe.each(MODELS)("to %s", (model: NicModel) => {
    test(
      "are read where they lie, whatever becomes of the VM",
      async () => {
        const { ringyard, vm, far, path } = await bring(nics(model)[0], model);
        await far.pass(vm, WINDOWS * WINDOW);
        const uplink = await ringyard.port("uplink");
        expect([uplink.txCopied, uplink.errors]).toEqual([undefined, {}]);
        expect(uplink.txZeroCopy).toBe(uplink.txFrames);
        expect(uplink.txFrames).toBeGreaterThanOrEqual(WINDOWS * WINDOW);
        expect((await ringyard.port("vm")).details.zeroCopy).toBe("yes, 2 MiB");
        // Its memory is mapped anew with frames on their way: none is lost, none comes twice.
        for (let round = 0; round < ROUNDS; round++) {
          const payloads = await far.send(vm, new Array(WINDOW).fill(1000));
          vm.setMemory();
          await vm.settled();
          await far.arrived(payloads);
        }
        // It disappears with frames on their way, and comes back.
        let last = vm;
        for (let round = 0; round < ROUNDS; round++) {
          far.flood(last, 1400);
          last.close();
          const gone = async () => (await ringyard.port("vm")).details.connected === false;
          await until("the port to be idle", gone, { context: () => ringyard.output });
          last = await connect(path);
        }
        await far.pass(last, 2 * WINDOW);
        const after = await ringyard.port("uplink");
        expect([after.txCopied, after.errors, after.details.resets]).toEqual([undefined, {}, undefined]);
        await ringyard.lawful();
      },
      LIMIT_MS,
    );

    test(
      "come back to it where the NIC goes, and pass again when there is one",
      async () => {
        const { ringyard, vm, far } = await bring(nics(model)[0], `${model}-again`);
        await far.pass(vm, WINDOW);
        await ringyard.request("port.del", { name: "uplink" });
        // Without a NIC the VM's buffers come back all the same.
        await far.send(vm, new Array(4 * WINDOW).fill(100));
        await ringyard.request("port.add", { name: "uplink", uri: `vfio:${nics(model)[0].address}` });
        await until("the link", async () => (await ringyard.port("uplink")).carrier);
        await ringyard.lawful();
        await far.pass(vm, WINDOW);
        expect((await ringyard.port("uplink")).txCopied).toBeUndefined();
      },
      LIMIT_MS,
    );
  });
});
