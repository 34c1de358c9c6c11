// A virtual machine on a VDUSE port: a Linux guest under QEMU, started with the arguments that `ringyard attach --vm` gives, beside a
// container. Its memory grows while frames move, and the switch is killed and started again under it.
//
// The machine that this runs in emulates a processor with virtualisation, and the guest runs on the KVM of its kernel.
//
// Two processors: with one, the emulated machine stood still for good once, while the guest inside was given memory.
//
// VM: processors 2
// VM: memory 3072
// VM: nested
// VM: prepare test/support/qemu/image.ts
// VM: kernels 6.12
// VM: also sid

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Attached } from "../../src/ports/port.ts";
import { useNamespaces } from "../support/netns.ts";
import { type Guest, TWICE_EMULATED, useGuests } from "../support/qemu/guest.ts";
import { guestImage } from "../support/qemu/image.ts";
import { HASH_PORT, measureTcp, randomFile, slowTransfer, transfer } from "../support/qemu/traffic.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { type Host, ping } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { container, deviceName, requireVduse } from "../support/vduse.ts";

const LIMIT_MS = 800_000;
/** Of an idle machine; what it waits for fails before the test does. */
const TRANSFER_LIMIT_MS = 50_000;
/** Linux takes added memory in blocks of 128 MiB. */
const MEMORY_MB = 256;
const FILE_MB = TWICE_EMULATED ? 2 : 8;
/** TCP, however long it takes a busy host's guest in a guest, and of it what has surely arrived when all is sent. */
const STREAM = "-n 2M -w 128K";
const ARRIVED = 500_000;

// First, so that they end first, whatever happened: the kernel waits for the switch with a guest's last word, and cannot be stopped.
const bootGuest = useGuests();
const startSwitch = useSwitch();
const namespace = useNamespaces();

requireVduse()("a QEMU guest on /dev/vhost-vdpa", () => {
  let ringyard: SwitchProcess;
  let web: Host;
  let guest: Guest;
  let attached: readonly string[];

  beforeAll(async () => {
    ringyard = await startSwitch({ vm1: `vduse:${deviceName()}`, web: `vduse:${deviceName()}` });
    web = await container(ringyard, "web", await namespace(), 1);
    await web.inside.spawn(["iperf3", "-s", "--forceflush"]).says("Server listening");
    web.inside.spawn(["busybox", "nc", "-ll", "-p", `${HASH_PORT}`, "-e", "sha256sum"]);
    const { vm }: Attached = await ringyard.request("port.attach", { name: "vm1", to: "vm" });
    attached = vm!.qemu;
    guest = await boot();
  }, LIMIT_MS);

  // Before the switch ends: the kernel would wait for it with the guest's last word.
  afterAll(() => guest?.kill(), LIMIT_MS);

  async function boot(): Promise<Guest> {
    const options = { name: "vm1", attached, ip: "10.78.0.2/24", memoryMb: MEMORY_MB, slots: 1 };
    return bootGuest(await guestImage(), { ...options, evidence: () => ringyard.output });
  }

  test(
    "answers pings",
    async () => {
      await ping(web, guest.ip);
      await ping(web, guest.ip, 1472, true);
      const { details, carrier } = await ringyard.port("vm1");
      expect(carrier).toBe(true);
      expect(details).toMatchObject({ attached: "vhost-vdpa", deviceState: "running" });
    },
    LIMIT_MS,
  );

  test(
    "moves TCP both ways, and bytes arrive as they were",
    async () => {
      for (const words of [STREAM, `${STREAM} -R`]) {
        expect(await measureTcp(guest, web, words)).toBeGreaterThan(ARRIVED);
      }
      const print = await randomFile(guest, "file", FILE_MB);
      expect(await transfer(guest, web, "file")).toBe(print);
      expect((await ringyard.port("vm1")).errors).toEqual({});
    },
    LIMIT_MS,
  );

  test(
    "is given more memory while frames move: they go on, and come from there",
    async () => {
      const before = (await ringyard.port("vm1")).details.memoryMiB as number;
      const print = await randomFile(guest, "file", FILE_MB);
      const going = await slowTransfer(guest, web, "file", FILE_MB);
      await guest.addMemory();
      const grown = async () => ((await ringyard.port("vm1")).details.memoryMiB as number) >= before + MEMORY_MB;
      await until("the port to see the new memory", grown, { context: () => ringyard.output });
      expect(await going.received(TRANSFER_LIMIT_MS)).toBe(print);
      // More than the guest began with is in use now: what comes next lies in what was added.
      await guest.check("mount -o remount,size=95% /tmp");
      await guest.check(`dd if=/dev/zero of=filler bs=1M count=${MEMORY_MB}`, 60_000);
      const later = await randomFile(guest, "later", FILE_MB);
      expect(await transfer(guest, web, "later")).toBe(later);
      await guest.check("rm filler later");
      expect((await ringyard.port("vm1")).errors).toEqual({});
    },
    LIMIT_MS,
  );

  test(
    "outlives the switch: killed and started again under a transfer",
    async () => {
      const print = await randomFile(guest, "file", FILE_MB);
      const going = await slowTransfer(guest, web, "file", FILE_MB);
      await until("chunks to be sent", async () => (await going.sent()) > 1);
      await ringyard.kill();
      expect(await going.underWay()).toBe(true);
      await ringyard.start();
      expect(await going.received(TRANSFER_LIMIT_MS)).toBe(print);
      expect(await ringyard.port("vm1")).toMatchObject({ carrier: true, details: { adopted: true } });
    },
    LIMIT_MS,
  );

  test(
    "that ends leaves the port to the next one",
    async () => {
      await guest.kill();
      await until("the port to wait", async () => !(await ringyard.port("vm1")).carrier);
      guest = await boot();
      await ping(web, guest.ip);
    },
    LIMIT_MS,
  );
});
