// Zero copy on a real kernel and IOMMU: a NIC reads a VM's frames in the VM's memory. The VM is a vhost-user front end in this
// process, the wire's other end the kernel's own driver, with a UDP socket behind it. The copied-frames counter stays 0 and the
// bytes are right; the VM changes its memory and disappears with frames on their way, and the IOMMU reports no fault (the
// runner fails a file after which the kernel complains).
//
// VM: kernels 6.12 build
// VM: nics
// VM: qemu backports

import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { udp } from "bun";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { build, spec4 } from "../dataplane/offload/reference.ts";
import { useCleanup } from "../support/cleanup.ts";
import { mac } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { type Nic, nics, requireNics } from "../support/nics.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 240_000;
const MODELS = ["virtio-net-pci", "e1000e", "igb"] as const;
const VM_MAC = mac(0xb1);
const VM_IP = [10, 77, 0, 1];
const FAR_IP = [10, 77, 0, 2];
/** The port that frames of reference.ts go to. */
const UDP_PORT = 0x1451;
/** Sent at once: what the far end's socket surely holds. */
const WINDOW = 32;
/** Payloads; four bytes say which one it is. */
const SIZES = [4, 17, 18, 63, 100, 512, 1000, 1471, 1472];

const start = useSwitch();
const defer = useCleanup();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-zero-copy-"));
defer(() => rmSync(scratch, { recursive: true, force: true }));
const suite = requireNics(...MODELS);

let undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
}, LIMIT_MS);

interface Far {
  /** Payloads that arrived, as text in hexadecimal. */
  got: string[];
  mac: number[];
}

/** The kernel's end of the wire, with an address and a socket. */
async function farEnd(nic: Nic): Promise<Far> {
  const { netdev } = nic.partner;
  await Bun.$`ip address replace ${FAR_IP.join(".")}/24 dev ${netdev}`.quiet();
  await Bun.$`ip link set ${netdev} up`.quiet();
  undo.push(() => Bun.$`ip address flush dev ${netdev}`.quiet());
  const got: string[] = [];
  const socket: udp.Socket<"buffer"> = await Bun.udpSocket({
    hostname: FAR_IP.join("."),
    port: UDP_PORT,
    socket: { data: (_socket, data) => void got.push(data.toString("hex")) },
  });
  undo.push(() => socket.close());
  return { got, mac: nic.partner.mac.split(":").map((byte) => Number.parseInt(byte, 16)) };
}

let sequence = 0;

/** A UDP frame of the VM's whose payload nobody else has; and that payload. */
function nextFrame(far: Far, size: number): { bytes: Uint8Array; payload: string } {
  sequence++;
  const payload = Array.from({ length: size }, (_, i) => (i < 4 ? sequence >> (i * 8) : sequence * 31 + i * 7) & 0xff);
  const bytes = Uint8Array.from(
    build(spec4({ transport: "udp", source: VM_IP, target: FAR_IP, payload, partial: false })).bytes,
  );
  bytes.set(far.mac, 0);
  bytes.set(VM_MAC, 6);
  return { bytes, payload: Buffer.from(payload).toString("hex") };
}

async function send(vm: FrontEnd, bytes: Uint8Array): Promise<void> {
  await until("room in the VM's ring", () => vm.send(bytes), { everyMs: 0 });
}

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
): Promise<{ ringyard: SwitchProcess; vm: FrontEnd; far: Far; path: string }> {
  const path = join(scratch, `${name}.sock`);
  const far = await farEnd(nic);
  const ringyard = await start({ uplink: `vfio:${nic.address}`, vm: `vhost-user:${path}` });
  undo.push(() => ringyard.stop());
  const vm = await connect(path);
  await until("the link", async () => (await ringyard.port("uplink")).carrier, { context: () => ringyard.output });
  return { ringyard, vm, far, path };
}

/** Sends frames of every size, and waits until each has arrived as it was sent, in order. */
async function pass(vm: FrontEnd, far: Far, count: number): Promise<void> {
  const wanted: string[] = [];
  for (let sent = 0; sent < count; ) {
    for (let n = 0; n < WINDOW && sent < count; n++, sent++) {
      const { bytes, payload } = nextFrame(far, SIZES[sent % SIZES.length]);
      wanted.push(payload);
      await send(vm, bytes);
    }
    await arrived(far, wanted);
  }
}

/** Waits for these payloads, and looks that they came in order, each once. Others may come between. */
async function arrived(far: Far, payloads: readonly string[]): Promise<void> {
  const wanted = new Set(payloads);
  const came = () => far.got.filter((payload) => wanted.has(payload));
  const all = () => came().length >= payloads.length;
  await until(`${payloads.length} frames`, all, { context: () => `${came().length} came` });
  expect(came()).toEqual([...payloads]);
}

async function lawful(ringyard: SwitchProcess): Promise<void> {
  await until("rx + copies = tx + drops", async () => {
    const { rxFrames, copies, txFrames, dropped } = (await ringyard.stats()).totals;
    return rxFrames + copies === txFrames + dropped;
  });
}

suite("frames of a VM", () => {
  describe.each(MODELS)("to %s", (model: NicModel) => {
    test(
      "are read where they lie, whatever becomes of the VM",
      async () => {
        const { ringyard, vm, far, path } = await bring(nics(model)[0], model);
        await pass(vm, far, 20 * WINDOW);
        const uplink = await ringyard.port("uplink");
        expect([uplink.txCopied, uplink.errors]).toEqual([undefined, {}]);
        expect(uplink.txZeroCopy).toBe(uplink.txFrames);
        expect(uplink.txFrames).toBeGreaterThanOrEqual(20 * WINDOW);
        expect((await ringyard.port("vm")).details.zeroCopy).toBe("yes, 2 MiB");
        // Its memory is mapped anew with frames on their way: none is lost, none comes twice.
        for (let round = 0; round < 10; round++) {
          const frames = Array.from({ length: WINDOW }, () => nextFrame(far, 1000));
          for (const { bytes } of frames) await send(vm, bytes);
          vm.setMemory();
          await vm.settled();
          const payloads = frames.map(({ payload }) => payload);
          await arrived(far, payloads);
        }
        // It disappears with frames on their way, and comes back.
        let last = vm;
        for (let round = 0; round < 10; round++) {
          for (let n = 0; n < WINDOW; n++) last.send(nextFrame(far, 1400).bytes);
          last.close();
          const gone = async () => (await ringyard.port("vm")).details.connected === false;
          await until("the port to be idle", gone, { context: () => ringyard.output });
          last = await connect(path);
        }
        await pass(last, far, 2 * WINDOW);
        const after = await ringyard.port("uplink");
        expect([after.txCopied, after.errors, after.details.resets]).toEqual([undefined, {}, undefined]);
        await lawful(ringyard);
      },
      LIMIT_MS,
    );

    test(
      "come back to it where the NIC goes, and pass again when there is one",
      async () => {
        const { ringyard, vm, far } = await bring(nics(model)[0], `${model}-again`);
        await pass(vm, far, WINDOW);
        await ringyard.request("port.del", { name: "uplink" });
        // Without a NIC the VM's buffers come back all the same.
        for (let n = 0; n < 4 * WINDOW; n++) await send(vm, nextFrame(far, 100).bytes);
        await ringyard.request("port.add", { name: "uplink", uri: `vfio:${nics(model)[0].address}` });
        await until("the link", async () => (await ringyard.port("uplink")).carrier);
        await lawful(ringyard);
        await pass(vm, far, WINDOW);
        expect((await ringyard.port("uplink")).txCopied).toBeUndefined();
      },
      LIMIT_MS,
    );
  });
});
