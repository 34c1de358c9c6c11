// VLANs between containers, with the kernel's own network stack and all of its offloads: two switches with a trunk between them, which goes
// through Linux's bridge, and containers on access ports of both.
//
//   a10 - [access 10]              [access 10] - b10
//   a20 - [access 20] one - trunk - br0 - trunk - two
//
// What crosses the trunk are super-frames with tags and unfinished checksums: where one of us said wrongly where those begin, a file
// would not arrive whole.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SwitchApi } from "../../src/control/api.ts";
import type { PortSettings } from "../../src/control/policy/named-policy.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { useCleanup } from "../support/cleanup.ts";
import { requireKernelBridge } from "../support/kernel-bridge.ts";
import { quiet } from "../support/memory-switch.ts";
import { useNamespaces } from "../support/netns.ts";
import { requirePrograms } from "../support/skip.ts";
import { requireTap } from "../support/tap.ts";
import { address, type Host, ping, randomFile, transfer, udp } from "../support/traffic.ts";
import { PATIENCE } from "../support/until.ts";

const LIMIT_MS = 120_000 * PATIENCE;
const MIB = 2 ** 20;
const access = (vid: number): PortSettings => ({ vlan: { mode: "access", vid } });

const scratch = mkdtempSync(join(tmpdir(), "ringyard-vlans-"));
useCleanup()(() => rmSync(scratch, { recursive: true }));

const suite = (label: string, body: () => void) =>
  requireTap()(label, () =>
    requireKernelBridge(false)("Linux's bridge", () =>
      requirePrograms(["ping"], "apt install iputils-ping")("traffic", body),
    ),
  );

for (const [tag, tpid] of [
  ["802.1Q", 0x8100],
  ["802.1ad", 0x88a8],
] as const) {
  suite(`two switches with a trunk of ${tag} between them`, () => {
    const namespace = useNamespaces();
    const switches: SwitchApi[] = [];
    let hosts: Record<"a10" | "a20" | "b10", Host>;

    async function startSwitch(ports: Record<string, [uri: string, settings: PortSettings]>): Promise<void> {
      const started = await createSwitch({}, quiet);
      switches.push(started);
      const settings = new Map(Object.entries(ports).map(([name, [, it]]) => [name, it]));
      await started.policy.set({ ports: settings, vlans: [], mirrors: [] });
      for (const [name, [uri]] of Object.entries(ports)) await started.addPort(parsePort(name, uri, kinds));
    }

    beforeAll(async () => {
      const [middle, a10, a20, b10] = [await namespace(), await namespace(), await namespace(), await namespace()];
      // It forwards what it is given, and says nothing by itself.
      await middle.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]);
      await middle.ip("link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
      await middle.ip("link set br0 up");
      const trunk: PortSettings = {
        vlan: { mode: "trunk", allowed: [[10, 20]], native: 0, nativeTagged: false, tpid, map: [] },
      };
      const at = (inside: { name: string }, device = "eth0") => `tap:${device}?netns=${inside.name}`;
      await startSwitch({ a10: [at(a10), access(10)], a20: [at(a20), access(20)], up: [at(middle, "one"), trunk] });
      await startSwitch({ b10: [at(b10), access(10)], up: [at(middle, "two"), trunk] });
      await middle.ip("link set one master br0");
      await middle.ip("link set two master br0");
      hosts = { a10: await address(a10, 1), a20: await address(a20, 2), b10: await address(b10, 3) };
    }, LIMIT_MS);
    afterAll(async () => {
      for (const it of switches) await it.close();
    });

    test("hosts of one VLAN reach each other across it", async () => {
      await ping(hosts.a10, hosts.b10.ip);
      await ping(hosts.b10, hosts.a10.ip6);
      // Whole, with a tag more on the way.
      await ping(hosts.a10, hosts.b10.ip, 1472, true);
    });

    test("hosts of different ones do not, on one switch or two", async () => {
      for (const to of [hosts.a10, hosts.b10]) {
        const words = ["ping", "-c", "1", "-W", "1", to.ip];
        expect((await hosts.a20.inside.run(words, { allowFailure: true })).stdout).toContain("100% packet loss");
      }
    });

    test(
      "a file and datagrams arrive whole",
      async () => {
        const file = await randomFile(scratch, 8 * MIB);
        expect(await transfer(hosts.a10, hosts.b10, file.path)).toBe(file.print);
        expect(await transfer(hosts.b10, hosts.a10, file.path, hosts.a10.ip6)).toBe(file.print);
        await udp(hosts.a10, hosts.b10);
        // Super-frames crossed the trunk as such, with their tags.
        const { frames, bytes } = sentBy(switches[0], "up");
        expect(bytes / frames).toBeGreaterThan(2000);
      },
      LIMIT_MS,
    );
  });
}

function sentBy(it: SwitchApi, name: string): { frames: number; bytes: number } {
  const { txFrames, txBytes } = it.port(name);
  return { frames: txFrames, bytes: txBytes };
}
