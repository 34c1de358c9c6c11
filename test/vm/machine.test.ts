// The virtual machine that the other files here run in: what they rely on. Outside of it nothing is to be tested.

import { dlopen, FFIType } from "bun:ffi";
import { expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requirePeer } from "../support/skip.ts";

const kernel = process.env.RINGYARD_VM;

requirePeer(
  "the virtual machine",
  kernel !== undefined,
  "npm test runs this file in one",
)("inside", () => {
  test("the kernel is the one that was asked for, and has what ringyard drives", () => {
    const release = readFileSync("/proc/sys/kernel/osrelease", "utf8");
    expect(release).toStartWith(kernel === "6.12" ? "6.12." : "7.");
    for (const device of ["/dev/vduse/control", "/dev/net/tun", "/sys/bus/vdpa/drivers/virtio_vdpa"]) {
      expect({ device, there: existsSync(device) }).toEqual({ device, there: true });
    }
    expect(existsSync("/sys/bus/vdpa/drivers/vhost_vdpa")).toBe(true);
  });

  test("the tree is read-only, temporary folders and results are not", () => {
    expect(() => writeFileSync(join(import.meta.dir, "written"), "")).toThrow("EROFS");
    for (const folder of ["/tmp", "/run", "/var/tmp", "/dev/shm", "/run/vm/results"]) {
      writeFileSync(`${folder}/written`, "x");
      expect(statSync(`${folder}/written`).size).toBe(1);
    }
  });

  test("namespaces can be made and entered", () => {
    const script = "ip netns add vm-test && ip netns exec vm-test ip -br link && ip netns del vm-test";
    const made = Bun.spawnSync(["bash", "-c", script]);
    expect(made.stderr.toString()).toBe("");
    expect(made.stdout.toString()).toStartWith("lo ");
  });

  test("workers and foreign functions run", async () => {
    const { symbols } = dlopen("libc.so.6", { getpid: { args: [], returns: FFIType.i32 } });
    expect(symbols.getpid()).toBe(process.pid);
    const worker = new Worker("data:text/javascript,postMessage(6 * 7)");
    const answer = await new Promise((resolve) => worker.addEventListener("message", ({ data }) => resolve(data)));
    worker.terminate();
    expect(answer).toBe(42);
  });
});
