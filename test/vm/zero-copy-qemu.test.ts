// Zero copy from a Linux guest under QEMU, by vhost-user and by /dev/vhost-vdpa: NICs read its frames, with whatever offloads its driver
// asks for, in its memory. What it sends by TCP arrives as it was at the wire's other end, the copied-frames counter stays 0, and
// QEMU is killed with frames on their way; the IOMMU reports no fault (the runner fails a file after which the kernel complains).
//
//   guest -- QEMU -- port -- switch -- NIC ══ wire ══ kernel's driver -- namespace
//
// Two processors: why, vduse-qemu.test.ts says.
//
// VM: processors 2
// VM: nics
// VM: nested
// VM: prepare test/support/qemu/image.ts
// VM: kernels 6.12
// VM: also sid build

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { removeLeftovers } from "../../src/ports/vduse/leftovers.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useNamespaces } from "../support/netns.ts";
import { nics, partnerHost, requireNics } from "../support/nics.ts";
import { type Guest, type GuestOptions, TWICE_EMULATED, useGuests } from "../support/qemu/guest.ts";
import { guestImage } from "../support/qemu/image.ts";
import { HASH_PORT, randomFile, slowTransfer, transfer } from "../support/qemu/traffic.ts";
import { sized } from "../support/scale.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { type Host, ping } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { deviceName } from "../support/vduse.ts";

const LIMIT_MS = 800_000;
const MODELS = ["virtio-net-pci", "e1000e"] as const;
const MEMORY_MB = 128;
const FILE_MB = TWICE_EMULATED ? 2 : 4;
const GUEST_IP = "10.78.0.2/24";

// First, so that they end first, whatever happened: the kernel waits for the switch with a guest's last word, and cannot be stopped.
const bootGuest = useGuests();
const startSwitch = useSwitch();
const namespace = useNamespaces();
const defer = useCleanup();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-zero-copy-qemu-"));
defer(() => rmSync(scratch, { recursive: true, force: true }));

/** Boots take time: in the small scale by one of them (and by vhost-user without QEMU: zero-copy.test.ts). */
const TRANSPORTS = (["vhost-vdpa", "vhost-user"] as const).slice(0, sized(1, 2));
/** NICs under which QEMU is killed: in the long run every one (and a front end that dies: zero-copy.test.ts). */
const THOROUGH = MODELS.slice(0, sized(1, MODELS.length));

requireNics(...MODELS)("frames of a QEMU guest", () => {
  describe.each(TRANSPORTS)("by %s", (transport) => {
    let ringyard: SwitchProcess;
    let options: GuestOptions;
    let guest: Guest;

    beforeAll(async () => {
      const socket = join(scratch, "vm.sock");
      ringyard = await startSwitch({
        vm: transport === "vhost-user" ? `vhost-user:${socket}` : `vduse:${deviceName()}`,
      });
      const common = { name: "vm", ip: GUEST_IP, memoryMb: MEMORY_MB, evidence: () => ringyard.output };
      if (transport === "vhost-user") options = { ...common, socket, mac: "02:00:00:00:78:02" };
      else {
        const { vm } = await ringyard.request("port.attach", { name: "vm", to: "vm" });
        options = { ...common, attached: vm!.qemu };
      }
      await boot();
    }, LIMIT_MS);

    async function boot(): Promise<void> {
      guest = await bootGuest(await guestImage(), options);
      await carrier("vm", true);
    }

    async function carrier(port: string, up: boolean): Promise<void> {
      const there = async () => (await ringyard.port(port)).carrier === up;
      await until(`${port}'s carrier to be ${up ? "up" : "down"}`, there, { context: () => ringyard.output });
    }

    // Before the switch ends: the kernel would wait for it with the guest's last word.
    afterAll(async () => {
      await guest?.kill();
      await ringyard?.stop();
      await removeLeftovers();
    }, LIMIT_MS);

    /** At the end of the wire in the test that runs. */
    let reached: Host | undefined;
    afterEach(async () => {
      await ringyard.request("port.del", { name: "uplink" });
      reached?.inside.remove();
    }, LIMIT_MS);

    /** A NIC as port "uplink", and who is at the end of its wire and answers a stream with its hash. */
    async function uplink(model: NicModel): Promise<Host> {
      const [nic] = nics(model);
      const far = await partnerHost(nic, await namespace(), 1);
      reached = far;
      far.inside.spawn(["busybox", "nc", "-ll", "-p", `${HASH_PORT}`, "-e", "sha256sum"]);
      await ringyard.request("port.add", { name: "uplink", uri: `vfio:${nic.address}` });
      await carrier("uplink", true);
      await ping(far, guest.ip);
      return far;
    }

    test.each(MODELS)(
      "are read by %s where they lie, and arrive as they were",
      async (model) => {
        const far = await uplink(model);
        const print = await randomFile(guest, "file", FILE_MB);
        expect(await transfer(guest, far, "file")).toBe(print);
        // The guest lives, and a frame may be in one counter and not yet in the other.
        const alike = async () => {
          const { txZeroCopy, txFrames } = await ringyard.port("uplink");
          if (txZeroCopy === txFrames) return true;
          throw new Error(`${txZeroCopy} of ${txFrames}`);
        };
        await until("every frame to be one without a copy", alike);
        const { txCopied, txFrames, errors, details } = await ringyard.port("uplink");
        expect([txCopied, errors, details.resets]).toEqual([undefined, {}, undefined]);
        expect(txFrames).toBeGreaterThan((FILE_MB * 2 ** 20) / 2 ** 16);
        expect((await ringyard.port("vm")).details.zeroCopy).toMatch(/^yes, 1\d\d MiB$/);
      },
      LIMIT_MS,
    );

    test.each(THOROUGH)(
      "may be on their way to %s when QEMU is killed: the switch goes on, and so does its next life",
      async (model) => {
        const far = await uplink(model);
        await randomFile(guest, "file", FILE_MB);
        const going = await slowTransfer(guest, far, "file", FILE_MB);
        await until("chunks to be sent", async () => (await going.sent()) > 1);
        const answering = far.inside.spawn(["ping", "-f", "-q", guest.ip]);
        const { txFrames } = await ringyard.port("uplink");
        await until("answers on their way", async () => (await ringyard.port("uplink")).txFrames > txFrames + 50);
        expect(await going.underWay()).toBe(true);
        await guest.kill();
        await carrier("vm", false);
        await answering.stop("SIGINT");
        await boot();
        await ping(far, guest.ip);
        const { txCopied, errors, details } = await ringyard.port("uplink");
        expect([txCopied, errors, details.resets]).toEqual([undefined, {}, undefined]);
        await ringyard.lawful();
      },
      LIMIT_MS,
    );
  });
});
