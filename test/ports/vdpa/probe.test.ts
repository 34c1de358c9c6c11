// What `ringyard doctor` says about VDUSE on machines that lack one thing each.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Machine, probeVduse } from "../../../src/ports/vdpa/probe.ts";

const CONTROL = "/dev/vduse/control";
const DEP = "/lib/modules/6.12.1/modules.dep";
const CONFIG = "/boot/config-6.12.1";
/** Everything there. */
const WHOLE: Record<string, string> = {
  [CONTROL]: "",
  "/proc/self/status": "CapEff:\t000001ffffffffff\n",
  "/sys/bus/vdpa": "",
  "/sys/bus/vdpa/drivers/virtio_vdpa": "",
  "/sys/bus/vdpa/drivers/vhost_vdpa": "",
  "/sys/bus/virtio/drivers/virtio_net": "",
};

function machine(files: Record<string, string>, release = "6.12.1", readOnly: string[] = []): Machine {
  return {
    release,
    text: (path) => files[path] ?? null,
    exists: (path) => path in files,
    writable: (path) => path in files && !readOnly.includes(path),
  };
}

function without(...paths: string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(WHOLE).filter(([path]) => !paths.includes(path)));
}

test("a machine with everything", () => {
  expect(probeVduse(machine(WHOLE))).toEqual({ available: true });
});

const bare = without(CONTROL, "/sys/bus/vdpa");

test.each([
  ["no module loaded, nothing known", bare, "6.12.1", "module vduse is not loaded", "modprobe -a vduse"],
  [
    "the module is installed",
    { ...bare, [CONFIG]: "CONFIG_VDPA_USER=m\n", [DEP]: "kernel/drivers/vdpa/vdpa_user/vduse.ko.xz: a.ko\n" },
    "6.12.1",
    "the module vduse is not loaded",
    "modprobe -a vduse",
  ],
  [
    "the module is not installed",
    { ...bare, [CONFIG]: "CONFIG_VDPA_USER=m\n", [DEP]: "kernel/drivers/net/notvduse.ko:\n" },
    "6.12.1",
    "not installed",
    "linux-modules-extra-6.12.1",
  ],
  [
    "the kernel is built without",
    { ...bare, [CONFIG]: "# CONFIG_VDPA_USER is not set\n" },
    "6.12.1",
    "built without VDUSE (CONFIG_VDPA_USER)",
    "CONFIG_VDPA_USER=m",
  ],
  [
    "the running kernel says so",
    { ...bare, "/proc/config.gz": "CONFIG_VDPA=m\n" },
    "6.12.1",
    "built without VDUSE",
    "CONFIG_VDPA_USER=m",
  ],
  ["a kernel before VDUSE", bare, "5.10.0-28-amd64", "Linux 5.10.0-28-amd64 has no VDUSE", "6.9 or newer"],
  ["a kernel before VDUSE for networks", bare, "6.1.0-18-amd64", "takes no network devices", "6.9 or newer"],
  ["a container without the node", { ...bare, "/sys/module/vduse": "" }, "6.12.1", "is not here", "-v /dev:/dev"],
  ["no /sys", without("/sys/bus/vdpa"), "6.12.1", "no vDPA bus", "mount"],
  [
    "no privileges",
    { ...WHOLE, "/proc/self/status": "CapEff:\t0000000000000fff\n" },
    "6.12.1",
    "CAP_NET_ADMIN",
    "root",
  ],
])("not available: %s", (_, files, release, reason, next) => {
  const probe = probeVduse(machine(files, release));
  expect(probe).toEqual({
    available: false,
    reason: expect.stringContaining(reason),
    next: expect.stringContaining(next),
  });
});

test("not available: a control device of root's", () => {
  const probe = probeVduse(machine(WHOLE, "6.12.1", [CONTROL]));
  expect(probe).toEqual({ available: false, reason: `may not open ${CONTROL}`, next: "run as root: sudo ringyard" });
});

const VIRTIO = "/sys/bus/vdpa/drivers/virtio_vdpa";
const VHOST = "/sys/bus/vdpa/drivers/vhost_vdpa";
const NET = "/sys/bus/virtio/drivers/virtio_net";

test.each([
  [[VIRTIO], "not for containers: virtio_vdpa is not loaded", "modprobe virtio_vdpa"],
  [[NET], "not for containers: virtio_net is not loaded", "modprobe virtio_net"],
  [[VHOST], "not for VMs: vhost_vdpa is not loaded", "modprobe vhost_vdpa"],
  [
    [VIRTIO, VHOST],
    "not for containers and VMs: virtio_vdpa, vhost_vdpa are not loaded",
    "modprobe -a virtio_vdpa vhost_vdpa",
  ],
])("limited without %p", (paths, reason, next) => {
  expect(probeVduse(machine(without(...paths)))).toEqual({ available: true, reason, next });
});

test("limited on a kernel that may have it from its vendor", () => {
  const probe = probeVduse(machine(WHOLE, "5.14.0-503.el9.x86_64"));
  expect(probe).toMatchObject({ available: true, reason: expect.stringContaining("takes no network devices") });
});

test("this machine: an answer with a next step, or none is needed", () => {
  const { available, reason, next } = probeVduse();
  expect(available ? existsSync(CONTROL) : reason !== undefined && next !== undefined).toBe(true);
});
