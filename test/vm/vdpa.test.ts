// The vDPA bus as a clerk manages it, on a kernel that has one. The devices agree to everything and move no frame.

import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { enter, openNetns } from "../../src/ports/link/netns.ts";
import { vdpaConfig, vdpaFind, vdpaList } from "../../src/ports/vdpa/bus.ts";
import { Clerk } from "../../src/ports/vdpa/clerk.ts";
import { netdevOf } from "../../src/ports/vdpa/driver.ts";
import { probeVduse } from "../../src/ports/vdpa/probe.ts";
import { VENDOR_ID } from "../../src/ports/vduse/control.ts";
import { closeFd } from "../../src/sys/fd.ts";
import { VIRTIO_ID_NET } from "../../src/uapi/virtio_net.ts";
import { featureNames } from "../../src/virtio/features.ts";
import { useCleanup } from "../support/cleanup.ts";
import { failure } from "../support/failure.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { run, useProcesses } from "../support/process.ts";
import { until } from "../support/until.ts";
import { deviceName, requireVduse } from "../support/vduse.ts";
import { DUMMY_MAC, DummyDevice } from "../support/vduse-dummy.ts";

const LIMIT_MS = 300_000;

const suite = requireVduse();
const namespace = useNamespaces();
const defer = useCleanup();
const clerk = Clerk.acquire();
// First in, last out: the devices' clean-up needs it.
defer(() => clerk.release());

/** A device, on the bus unless asked otherwise; it goes with the file. */
async function device({ onBus = true, setUp = true, suffix = "" } = {}): Promise<string> {
  const dummy = DummyDevice.make(deviceName() + suffix, setUp);
  defer(() => dummy.destroy());
  defer(() => clerk.remove(dummy.name));
  if (onBus) await clerk.add(dummy.name);
  return dummy.name;
}

suite("the vDPA bus", () => {
  test(
    "takes a device and gives it back",
    async () => {
      const name = await device({ onBus: false });
      expect(await clerk.inspect(name)).toEqual({ onBus: false });
      await clerk.add(name);
      expect(await clerk.inspect(name)).toMatchObject({ onBus: true, vendorId: VENDOR_ID });
      expect((await clerk.list()).find((each) => each.name === name)).toMatchObject({ name, vendorId: VENDOR_ID });
      expect(vdpaFind(name)).toMatchObject({ deviceId: VIRTIO_ID_NET, maxQueues: 2, maxQueueSize: 256 });
      expect(await failure(clerk.add(name))).toMatchObject({ code: "EXISTS" });
      await clerk.remove(name);
      await clerk.remove(name);
      expect(await clerk.inspect(name)).toEqual({ onBus: false });
      expect(vdpaConfig(name)).toBeUndefined();
    },
    LIMIT_MS,
  );

  test(
    "takes no device that is not there, or not ready",
    async () => {
      expect(await failure(clerk.add(deviceName()))).toMatchObject({ code: "NOT_FOUND" });
      const name = await device({ onBus: false, setUp: false });
      expect(await failure(clerk.add(name))).toMatchObject({ code: "NOT_FOUND" });
      const ours = { netns: String(process.pid), ifname: "eth0", ip: [] };
      expect(await failure(clerk.attachNetns(name, ours))).toMatchObject({ code: "NOT_FOUND" });
      expect(await failure(clerk.attachVm(name))).toMatchObject({ code: "NOT_FOUND" });
    },
    LIMIT_MS,
  );

  test(
    "lists more devices than fit into one piece of an answer",
    async () => {
      // A piece is less than a page, and a name may have 255 bytes.
      const names: string[] = [];
      while (names.length < 16) names.push(await device({ suffix: "-".repeat(230) }));
      const listed = (await clerk.list()).map(({ name }) => name);
      for (const name of names) expect(listed).toContain(name);
      for (const name of names) await clerk.remove(name);
    },
    LIMIT_MS,
  );

  test(
    "is the first network namespace's alone",
    async () => {
      const inside = await namespace();
      const fd = openNetns(inside.path);
      try {
        expect(() => enter(fd, vdpaList)).toThrow("cannot be managed from this network namespace");
      } finally {
        closeFd(fd);
      }
    },
    LIMIT_MS,
  );

  test("is ready, says doctor", () => expect(probeVduse()).toEqual({ available: true }));
});

suite("a container", () => {
  async function both(...ip: string[]) {
    const [name, inside] = [await device(), await namespace()];
    const place = { netns: inside.name, ifname: "eth0", ip };
    return { name, inside, attach: (other = {}) => clerk.attachNetns(name, { ...place, ...other }) };
  }

  test(
    "gets the network device, named, addressed and up, once",
    async () => {
      const { name, inside, attach } = await both("10.5.0.1/24", "fd05::1/64");
      expect(await attach()).toEqual({ netns: inside.name, ifname: "eth0", mac: DUMMY_MAC });
      await until("the link", async () => (await inside.ip("link show eth0")).includes("LOWER_UP"));
      const shown = await inside.ip("addr show eth0");
      for (const word of ["10.5.0.1/24", "fd05::1/64", DUMMY_MAC]) expect(shown).toContain(word);
      const seen = await clerk.inspect(name);
      expect(seen).toMatchObject({ onBus: true, driver: "virtio_vdpa" });
      expect(seen.netdev).toBeUndefined();
      const config = vdpaConfig(name);
      expect(config?.mac).toBe(DUMMY_MAC);
      expect(featureNames(config!.features)).toEqual(expect.arrayContaining(["VERSION_1", "MAC", "STATUS"]));
      expect(await failure(attach())).toMatchObject({ code: "EXISTS" });
      expect(await failure(clerk.attachVm(name))).toMatchObject({ code: "EXISTS" });
      expect(await inside.ip("-br link")).toContain("eth0");
      await clerk.remove(name);
      expect(await inside.ip("-br link")).not.toContain("eth0");
    },
    LIMIT_MS,
  );

  test(
    "that cannot have it leaves it as it was",
    async () => {
      const { name, inside, attach } = await both();
      await inside.ip("link add eth0 type veth peer name eth1");
      const before = await clerk.inspect(name);
      const held = holdings();
      for (const [wrong, code] of [
        [{}, "EXISTS"],
        [{ ifname: "a b" }, "BAD_OPTION"],
        [{ netns: "no-such" }, "NOT_FOUND"],
        [{ ifname: "eth2", ip: ["10.5.0.300/24"] }, "BAD_OPTION"],
        // The kernel refuses a multicast address: by then the device has moved.
        [{ ifname: "eth2", ip: ["10.5.0.1/24", "ff02::5/64"] }, "BAD_OPTION"],
      ] as const) {
        expect(await failure(attach(wrong))).toMatchObject({ code });
        const { driver, netdev } = await clerk.inspect(name);
        expect({ driver, hasNetdev: netdev !== undefined }).toEqual({
          driver: before.driver,
          hasNetdev: before.netdev !== undefined,
        });
        expect(await inside.ip("-br link")).not.toContain("eth2");
      }
      // The last child's pipes are closed a moment later.
      await until("everything to be given back", () => {
        const more = heldDifference(held, holdings());
        if (more.length > 0) throw new Error(more.join("; "));
        return true;
      });
      expect(await attach({ ifname: "eth2" })).toMatchObject({ ifname: "eth2", mac: DUMMY_MAC });
    },
    LIMIT_MS,
  );

  test(
    "gets a device that had no driver, or another one",
    async () => {
      const { name, inside, attach } = await both();
      await clerk.attachVm(name);
      await run(["sh", "-c", `echo ${name} > /sys/bus/vdpa/drivers/vhost_vdpa/unbind`]);
      expect((await clerk.inspect(name)).driver).toBeUndefined();
      expect(await failure(attach({ ip: ["ff02::5/64"] }))).toMatchObject({ code: "BAD_OPTION" });
      expect((await clerk.inspect(name)).driver).toBeUndefined();
      await clerk.attachVm(name);
      await attach();
      expect(await inside.ip("-br link")).toContain("eth0");
    },
    LIMIT_MS,
  );
});

suite("a VM", () => {
  const spawn = useProcesses();

  test(
    "gets a character device, and nobody takes it away while it is open",
    async () => {
      const [name, inside] = [await device(), await namespace()];
      const { path } = await clerk.attachVm(name);
      expect(path).toMatch(/^\/dev\/vhost-vdpa-\d+$/);
      expect(existsSync(path)).toBe(true);
      expect(await clerk.inspect(name)).toMatchObject({ driver: "vhost_vdpa", vhostPath: path });
      expect(netdevOf(name)).toBeUndefined();
      expect(await clerk.attachVm(name)).toEqual({ path });
      // Not from here: the kernel resets a device that is opened, which this thread has to answer.
      const holder = spawn(["sh", "-c", `exec 3<>${path} && echo open && exec cat`]);
      await holder.says("open", { timeoutMs: 60_000 });
      expect(await failure(clerk.remove(name))).toMatchObject({
        code: "BUSY",
        message: expect.stringContaining(path),
      });
      const place = { netns: inside.name, ifname: "eth0", ip: [] };
      expect(await failure(clerk.attachNetns(name, place))).toMatchObject({ code: "BUSY" });
      expect(await clerk.inspect(name)).toMatchObject({ driver: "vhost_vdpa", vhostPath: path });
      await holder.stop();
      await clerk.remove(name);
      expect(readdirSync("/dev")).not.toContain(path.slice("/dev/".length));
    },
    LIMIT_MS,
  );
});
