// VDUSE ports in numbers and in company: many at once, made and destroyed a thousand times, taken away under load, and
// beside ports of other kinds.
//
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useCleanup } from "../support/cleanup.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { sized } from "../support/scale.ts";
import { useSwitch } from "../support/switch.ts";
import { address, type Host, ping, randomFile, transfer } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { attach, container, deviceName, requireVduse, vduseDevices } from "../support/vduse.ts";

const LIMIT_MS = 480_000;
const MANY = sized(6, 16);
const CYCLES = sized(8, 1000);

const scratch = mkdtempSync(join(tmpdir(), "ringyard-vduse-"));
useCleanup()(() => rmSync(scratch, { recursive: true, force: true }));
const startSwitch = useSwitch();
const namespace = useNamespaces();
const suite = requireVduse();

suite("many VDUSE ports", () => {
  test(
    `${MANY} at once: each reaches its neighbour and the one opposite`,
    async () => {
      const ports: Record<string, string> = {};
      const names = Array.from({ length: MANY }, deviceName);
      names.forEach((name, index) => {
        ports[`p${index + 1}`] = `vduse:${name}`;
      });
      const ringyard = await startSwitch(ports);
      const hosts: Host[] = [];
      for (let index = 1; index <= MANY; index++) {
        hosts.push(await container(ringyard, `p${index}`, await namespace(), index));
      }
      // All of them at the same time, each to its neighbour and to the one opposite.
      await Promise.all(
        hosts.flatMap((host, index) => [
          ping(host, hosts[(index + 1) % MANY].ip),
          ping(host, hosts[(index + MANY / 2) % MANY].ip6),
        ]),
      );
      expect(await ringyard.stop()).toBe(0);
      await ringyard.start();
      const adopted = () => ringyard.output.match(/adopted device/g)?.length === MANY;
      await until(`${MANY} devices to be adopted`, adopted, { context: () => ringyard.output });
      await ping(hosts[0], hosts[MANY - 1].ip);
      await ringyard.ctl("down", "--remove");
      const left = await vduseDevices();
      expect(names.filter((name) => left.includes(name))).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    `made and destroyed ${CYCLES} times without a leak`,
    async () => {
      const ringyard = await startSwitch({ spare: "null:" });
      const inside = await namespace();
      const cycle = async (attached: boolean) => {
        await ringyard.request("port.add", { name: "web", uri: `vduse:${deviceName()}` });
        if (attached) await attach(ringyard, "web", inside);
        await ringyard.request("port.del", { name: "web" });
      };
      await cycle(true);
      await cycle(false);
      const devices = await vduseDevices();
      const held = holdings(ringyard.pid);
      for (let count = 0; count < CYCLES; count++) await cycle(count % 4 === 0);
      // The last connection's end is seen a moment later.
      await until("everything to be given back", () => {
        const more = heldDifference(held, holdings(ringyard.pid));
        if (more.length > 0) throw new Error(more.join("; "));
        return true;
      });
      expect((await vduseDevices()).length).toBe(devices.length);
      const { errors } = await ringyard.port("spare");
      expect(errors).toEqual({});
    },
    LIMIT_MS * (CYCLES > 100 ? 30 : 1),
  );

  test(
    "one is taken away while traffic runs: the others go on",
    async () => {
      const uris = [deviceName(), deviceName(), deviceName()].map((name) => `vduse:${name}`);
      const ringyard = await startSwitch({ a: uris[0], b: uris[1], c: uris[2] });
      const a = await container(ringyard, "a", await namespace(), 1);
      const b = await container(ringyard, "b", await namespace(), 2);
      const c = await container(ringyard, "c", await namespace(), 3);
      await ping(a, c.ip);
      const { path, print } = await randomFile(scratch, sized(8_000_000, 20_000_000));
      const arrived = transfer(a, b, path);
      for (let count = 0; count < 3; count++) {
        const flood = a.inside.spawn(["ping", "-f", "-q", c.ip]);
        const { txFrames } = await ringyard.port("c");
        await until("the flood", async () => (await ringyard.port("c")).txFrames > txFrames + 20);
        await ringyard.request("port.detach", { name: "c" });
        await flood.stop("SIGINT");
        await attach(ringyard, "c", c.inside);
        await address(c.inside, 3);
        await ping(a, c.ip);
      }
      const flood = c.inside.spawn(["ping", "-f", "-q", a.ip]);
      await ringyard.request("port.del", { name: "c" });
      await flood.stop("SIGINT");
      expect(await arrived).toBe(print);
    },
    LIMIT_MS,
  );

  test(
    "beside TAP and vhost-user ports, with what each of them offers",
    async () => {
      const [netns, other] = [await namespace(), await namespace()];
      const socket = join(scratch, "vm.sock");
      const ringyard = await startSwitch({
        web: `vduse:${deviceName()}`,
        old: `tap:eth0?netns=${other.name}`,
        vm: `vhost-user:${socket}`,
      });
      const web = await container(ringyard, "web", netns, 1);
      const old = await address(other, 2);
      await ping(web, old.ip);
      const { path, print } = await randomFile(scratch, 3_000_000);
      expect(await transfer(web, old, path)).toBe(print);
      expect(await transfer(old, web, path)).toBe(print);
      const vm = new FrontEnd(socket, { size: 256 });
      try {
        await vm.connect();
        await vm.start();
        // A broadcast of the VM's reaches both containers; an ARP request of theirs reaches the VM.
        const before = (await ringyard.port("web")).txFrames;
        vm.send(frame(BROADCAST, mac(9), 100));
        await until("the broadcast", async () => (await ringyard.port("web")).txFrames > before);
        void web.inside.run(["ping", "-c", "1", "-W", "1", "10.78.0.99"], { allowFailure: true });
        await until("the ARP request", () => {
          for (let bytes = vm.poll(); bytes !== null; bytes = vm.poll())
            if (bytes[12] === 8 && bytes[13] === 6) return true;
          return false;
        });
      } finally {
        vm.close();
      }
    },
    LIMIT_MS,
  );
});
