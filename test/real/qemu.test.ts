// Virtual machines on vhost-user ports: real Linux guests under QEMU, one switch process, traffic between them that has
// to arrive whole. The guests outlive what is done to the switch, and the switch what is done to the guests.

import { beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as vn from "../../src/uapi/virtio_net.ts";
import { useCleanup } from "../support/cleanup.ts";
import { type Guest, type GuestOptions, useGuests } from "../support/qemu/guest.ts";
import { type GuestImage, guestImage } from "../support/qemu/image.ts";
import {
  measureTcp,
  ping,
  randomFile,
  serve,
  slowTransfer,
  transfer,
  untilReachable,
} from "../support/qemu/traffic.ts";
import { sized } from "../support/scale.ts";
import { requirePeer } from "../support/skip.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { PATIENCE, until } from "../support/until.ts";

const MIB = 2 ** 20;
/** Boots included; a single step has limits of its own and fails with what it waited for. */
const LIMIT_MS = 120_000 * PATIENCE;
/** Streams that are sent until each queue pair has carried some. */
const TRIES = 5;
const NO_OFFLOADS = "csum=off,guest_csum=off,gso=off,host_tso4=off,host_tso6=off,guest_tso4=off,guest_tso6=off";

const image = await guestImage().catch((error: Error) => error);
const missing = image instanceof Error ? image.message : "";
const suite = requirePeer("a Linux guest under QEMU", missing === "", missing);

const scratch = mkdtempSync(join(tmpdir(), "ringyard-qemu-"));
useCleanup()(() => rmSync(scratch, { recursive: true }));

const socketOf = (name: string) => join(scratch, `${name}.sock`);
const uriOf = (name: string, query = "") => `vhost-user:${socketOf(name)}${query}`;

/** Guests by number: `boot(1, "a")` is a at 10.0.0.1, on the socket of port a. A failure shows the log of `ringyard()`. */
function useNumberedGuests(ringyard: () => SwitchProcess) {
  const bootGuest = useGuests();
  return (number: number, name: string, more: Partial<GuestOptions> = {}): Promise<Guest> => {
    const address = { mac: `02:00:00:00:00:0${number}`, ip: `10.0.0.${number}/24` };
    const evidence = () => ringyard().output;
    return bootGuest(image as GuestImage, { name, socket: socketOf(name), ...address, evidence, ...more });
  };
}

/** Whether the guest's driver took all of the offload features (true), none (false), or some (undefined). */
async function hasOffloads(guest: Guest): Promise<boolean | undefined> {
  const features = await guest.check("cat /sys/bus/virtio/devices/virtio0/features");
  const bits = [
    vn.VIRTIO_NET_F_CSUM,
    vn.VIRTIO_NET_F_GUEST_CSUM,
    vn.VIRTIO_NET_F_GUEST_TSO4,
    vn.VIRTIO_NET_F_HOST_TSO4,
  ];
  const taken = bits.filter((bit) => features[bit] === "1").length;
  return taken === 0 ? false : taken === bits.length || undefined;
}

suite("guests that connect to the switch", () => {
  const startSwitch = useSwitch();
  let ringyard: SwitchProcess;
  const boot = useNumberedGuests(() => ringyard);
  let a: Guest;
  let b: Guest;
  let plain: Guest;

  beforeAll(async () => {
    ringyard = await startSwitch({ a: uriOf("a"), b: uriOf("b"), plain: uriOf("plain") });
    [a, b, plain] = await Promise.all([boot(1, "a"), boot(2, "b"), boot(3, "plain", { device: NO_OFFLOADS })]);
    await Promise.all([a, b, plain].map(serve));
  }, LIMIT_MS);

  test(
    "reach each other without loss",
    async () => {
      await Promise.all([ping(a, b), ping(b, plain), ping(plain, a)]);
    },
    LIMIT_MS,
  );

  test(
    "carry TCP both ways, and every frame is accounted for",
    async () => {
      expect(await measureTcp(a, b)).toBeGreaterThan(MIB);
      expect(await measureTcp(a, b, "-R")).toBeGreaterThan(MIB);
      await until("the sum of frames to add up", async () => {
        const { rxFrames, copies, txFrames, dropped } = (await ringyard.stats()).totals;
        return rxFrames > 0 && rxFrames + copies === txFrames + dropped;
      });
    },
    LIMIT_MS,
  );

  test(
    "exchange files whole, with offloads and without",
    async () => {
      expect(await Promise.all([a, b, plain].map(hasOffloads))).toEqual([true, true, false]);
      const [fromA, fromPlain] = await Promise.all([randomFile(a, "file", 8), randomFile(plain, "file", 8)]);
      expect(await transfer(a, b, "file")).toBe(fromA);
      expect(await transfer(a, plain, "file")).toBe(fromA);
      expect(await transfer(plain, a, "file")).toBe(fromPlain);
    },
    LIMIT_MS,
  );

  test(
    "may be rebooted, and the others do not notice",
    async () => {
      const before = await ringyard.port("a");
      await Promise.all([b.reboot(), ping(a, plain, 25)]);
      await untilReachable(a, b);
      await ping(a, b);
      const after = await ringyard.port("a");
      expect(after.errors).toEqual(before.errors);
      expect(after.carrier).toBe(true);
      await serve(b);
    },
    LIMIT_MS,
  );

  test(
    "outlive a switch that is killed and started again, and so does a TCP transfer",
    async () => {
      const sizeMb = sized(12, 24);
      const file = await randomFile(a, "file", sizeMb);
      const running = await slowTransfer(a, plain, "file", sizeMb);
      await until("the transfer to be under way", async () => (await running.sent()) >= 10);
      await ringyard.kill();
      await ringyard.start();
      expect(await running.sent()).toBeLessThan(4 * sizeMb - 1);
      await untilReachable(a, b);
      await untilReachable(b, plain);
      await Promise.all([ping(a, b), ping(b, plain)]);
      expect(await running.received(40_000)).toBe(file);
    },
    LIMIT_MS,
  );

  test(
    "are not taken for what they were once they boot unasked",
    async () => {
      // The emulator may make a boot panic; that is told first.
      const anew = /guest b (started again by itself|is gone: kernel panic) before/;
      await expect(b.run("reboot -f", 60_000)).rejects.toThrow(anew);
      await expect(b.run("true")).rejects.toThrow(anew);
    },
    LIMIT_MS,
  );
});

suite("guests that the switch connects to", () => {
  const startSwitch = useSwitch();
  let ringyard: SwitchProcess;
  const boot = useNumberedGuests(() => ringyard);

  test(
    "are found when they come, and found again when they come back",
    async () => {
      ringyard = await startSwitch({ a: uriOf("a", "?mode=client"), b: uriOf("b", "?mode=client") });
      const [a, b] = await Promise.all([boot(1, "a", { mode: "server" }), boot(2, "b", { mode: "server" })]);
      await untilReachable(a, b);
      await ping(a, b);

      await b.kill();
      expect((await a.run(`ping -c 1 -W 1 ${b.ip}`)).code).not.toBe(0);
      const again = await boot(2, "b", { mode: "server" });
      await untilReachable(a, again);
      await ping(a, again);
    },
    LIMIT_MS,
  );
});

suite("a guest of another shape", () => {
  const startSwitch = useSwitch();
  let ringyard: SwitchProcess;
  const boot = useNumberedGuests(() => ringyard);
  let small: Guest;
  let big: Guest;
  let wide: Guest;

  beforeAll(async () => {
    ringyard = await startSwitch({ small: uriOf("small"), big: uriOf("big"), wide: uriOf("wide", "?queues=2") });
    [small, big, wide] = await Promise.all([
      boot(1, "small"),
      boot(2, "big", { memoryMb: 5120 }),
      boot(3, "wide", { queues: 2 }),
    ]);
    await Promise.all([small, big, wide].map(serve));
  }, LIMIT_MS);

  test(
    "may have memory above 4 GiB, in several regions",
    async () => {
      expect(await big.check("grep 'System RAM' /proc/iomem")).toMatch(/^1[0-9a-f]{8}-/m);
      const { memoryMiB, memoryRegions } = (await ringyard.port("big")).details;
      expect(memoryMiB).toBe(5120);
      expect(memoryRegions).toBeGreaterThan(1);
      await ping(big, small);
      const [fromBig, fromSmall] = await Promise.all([randomFile(big, "file", 8), randomFile(small, "file", 8)]);
      expect(await transfer(big, small, "file")).toBe(fromBig);
      expect(await transfer(small, big, "file")).toBe(fromSmall);
    },
    LIMIT_MS,
  );

  test(
    "may have two queue pairs, and both carry frames each way",
    async () => {
      expect(await wide.check("ls /sys/class/net/eth0/queues")).toMatch(/rx-1.*tx-1/s);
      await ping(wide, small);
      expect((await ringyard.port("wide")).queues).toHaveLength(2);
      // The driver sends on the pair of the processor that the sender runs on; the switch spreads flows over both.
      for (const processor of [1, 2]) await wide.check(`taskset ${processor} ping -c 3 -i 0.2 ${small.ip}`);
      // Which pair a flow takes is its hash's choice: now and then all of them take one.
      const idle = async () =>
        (await ringyard.port("wide")).queues.filter(({ rxFrames, txFrames }) => rxFrames === 0 || txFrames === 0);
      const bytes: number[] = [];
      do bytes.push(await measureTcp(small, wide, "-P 8"));
      while (bytes.length < TRIES && (await idle()).length > 0);
      expect(await idle()).toEqual([]);
      expect(Math.min(...bytes)).toBeGreaterThan(MIB);
      const file = await randomFile(wide, "file", 8);
      expect(await transfer(wide, small, "file")).toBe(file);
    },
    LIMIT_MS,
  );
});
