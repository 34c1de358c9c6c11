// A VDUSE port on its way into a container and out again: what an operator types, what is seen inside, and what is refused.
//
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import type { Attached } from "../../src/ports/port.ts";
import { useNamespaces } from "../support/netns.ts";
import { useSwitch } from "../support/switch.ts";
import { ping } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { attach, container, deviceName, requireVduse, vduseDevices } from "../support/vduse.ts";

const LIMIT_MS = 300_000;

const startSwitch = useSwitch();
const namespace = useNamespaces();

/** What a person reads who is refused something. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    return `not refused: ${JSON.stringify(await promise)}`;
  } catch (error) {
    return (error as Error).message;
  }
}

requireVduse()("what attach and detach do", () => {
  test(
    "names and addresses the device, and takes it away again",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ web: `vduse:${name}?mac=02:00:00:00:00:aa&mtu=1400` });
      const inside = await namespace();
      // As a person types it.
      const words = ["--ip", "10.9.0.1/24", "--ip", "fd99::1/64", "--ifname", "lan0"];
      const attached = await ringyard.ctl<Attached>("attach", "web", "--netns", inside.name, ...words);
      expect(attached.netdev).toMatchObject({ ifname: "lan0", mac: "02:00:00:00:00:aa" });
      await until("the link", async () => (await inside.ip("link show lan0")).includes("LOWER_UP"));
      const shown = await inside.ip("addr show lan0");
      for (const word of ["10.9.0.1/24", "fd99::1/64", "mtu 1400", "02:00:00:00:00:aa"]) expect(shown).toContain(word);
      expect(await refusal(attach(ringyard, "web", await namespace()))).toMatch(/a container has it already/);
      await ringyard.request("port.detach", { name: "web" });
      expect(await inside.ip("-br link")).not.toContain("lan0");
      expect(await refusal(ringyard.request("port.detach", { name: "web" }))).toContain("not attached");
      // And again, elsewhere.
      const other = await namespace();
      await attach(ringyard, "web", other);
      expect(await other.ip("-br link")).toContain("eth0");
      await until("its carrier", async () => (await ringyard.port("web")).carrier);
    },
    LIMIT_MS,
  );

  test(
    "link down and up is seen inside",
    async () => {
      const ringyard = await startSwitch({ a: `vduse:${deviceName()}`, b: `vduse:${deviceName()}` });
      const a = await container(ringyard, "a", await namespace(), 1);
      const b = await container(ringyard, "b", await namespace(), 2);
      await ping(a, b.ip);
      const state = async () => (await a.inside.ip("-br link show eth0")).split(/\s+/)[1];
      await ringyard.request("port.set", { name: "a", link: "down" });
      await until("the link to go down", async () => (await state()) === "DOWN");
      await ringyard.request("port.set", { name: "a", link: "up" });
      await until("the link to come up", async () => (await state()) === "UP");
      await ping(a, b.ip);
    },
    LIMIT_MS,
  );

  test(
    "a wrong namespace, name or address leaves nothing behind",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ web: `vduse:${name}` });
      expect(
        await refusal(ringyard.request("port.attach", { name: "web", to: "netns", netns: "no-such-namespace" })),
      ).toContain("no network namespace");
      const inside = await namespace();
      expect(await refusal(attach(ringyard, "web", inside, { ip: ["10.0.0.300/24"] }))).toContain("10.0.0.300/24");
      expect(await refusal(attach(ringyard, "web", inside, { ifname: "a/b" }))).toContain("a/b");
      expect((await ringyard.port("web")).details.attached).toBe("no");
      expect(await refusal(startSwitch({ twin: `vduse:${name}` }))).toContain("serves this device");
      await ringyard.request("port.del", { name: "web" });
      expect(await vduseDevices()).not.toContain(name);
    },
    LIMIT_MS,
  );
});
