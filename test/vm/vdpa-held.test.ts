// A port whose device a VM holds, when the port goes: the kernel would wait for the VM, with the whole bus locked. Then the
// device stays, nobody waits, and it can be taken away when the VM has ended. A shell that has the device open is the VM.
//
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import { run, useProcesses } from "../support/process.ts";
import { RINGYARD, useSwitch } from "../support/switch.ts";
import { deviceName, requireVduse, vduseDevices } from "../support/vduse.ts";

const LIMIT_MS = 300_000;

const startSwitch = useSwitch();
const spawn = useProcesses();

requireVduse()("a device that a VM holds", () => {
  test(
    "outlives its port, and goes when the VM has gone",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ vm1: `vduse:${name}` });
      const { path } = (await ringyard.request("port.attach", { name: "vm1", to: "vm" })).vm!;
      const holder = spawn(["sh", "-c", `exec 3<>${path} && echo open && exec cat`]);
      await holder.says("open", { timeoutMs: 60_000 });

      await expect(ringyard.request("port.detach", { name: "vm1" })).rejects.toThrow(`has ${path} open`);
      expect((await ringyard.port("vm1")).details).toMatchObject({ attached: "vhost-vdpa", vhostPath: path });
      await ringyard.request("port.del", { name: "vm1" });
      await ringyard.logged("cannot be removed");
      expect(await vduseDevices()).toContain(name);

      const down = () =>
        run([...RINGYARD, "down", "--remove", "--control", ringyard.control], {
          timeoutMs: 60_000,
          allowFailure: true,
        });
      const held = await down();
      expect(held.exitCode).not.toBe(0);
      expect(held.stdout + held.stderr).toContain(`${path} open`);

      // Its end waits for an answer to a reset, and so for somebody who serves the device.
      const ended = holder.stop("SIGKILL");
      expect(await down()).toMatchObject({ exitCode: 0 });
      await ended;
      expect(await vduseDevices()).not.toContain(name);
    },
    LIMIT_MS,
  );
});
