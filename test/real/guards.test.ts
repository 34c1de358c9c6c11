// Guards against real programs: containers on TAP ports, dnsmasq as the server that should not be heard, the kernel's own network stack as
// its clients and as the thief of addresses. Each refusal is shown together with its reason being counted, and with the same traffic passing
// where it is allowed, so that nothing passes for refused that was never sent.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NamedPolicy, PortSettings } from "../../src/control/policy/named-policy.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import type { Background } from "../support/process.ts";
import { requirePrograms } from "../support/skip.ts";
import { links, requireTap } from "../support/tap.ts";
import { address, type Host, ping } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

/** Two waits of a minute, and what is around them. */
const LIMIT_MS = 150_000 * PATIENCE;
const startSwitch = useMemorySwitch();

/** A switch with a container at each of these ports. */
function useContainers(): (...names: string[]) => Promise<{ it: MemorySwitch; inside: Namespace[] }> {
  const namespace = useNamespaces();
  return async (...names) => {
    const it = await startSwitch({});
    const inside: Namespace[] = [];
    for (const name of names) {
      const own = await namespace();
      await it.api.addPort(parsePort(name, `tap:eth0?netns=${own.name}`, kinds));
      inside.push(own);
    }
    return { it, inside };
  };
}

function policy(ports: Record<string, PortSettings>, suppress = false): NamedPolicy {
  const vlans = suppress ? [{ vid: 0, learning: true, suppressArp: true, suppressNd: true }] : [];
  return { ports: new Map(Object.entries(ports)), vlans, mirrors: [] };
}

const macOf = (inside: Namespace) => links(inside.name).find(({ ifname }) => ifname === "eth0")!.address;

async function isHeard(from: Host, to: string): Promise<boolean> {
  const words = ["ping", "-c", "1", "-W", "1", to];
  return (await from.inside.run(words, { allowFailure: true })).exitCode === 0;
}

const suite = (label: string, body: () => void) =>
  requireTap()(label, () =>
    requirePrograms(
      ["ping", "dnsmasq", "busybox", "tcpdump"],
      "apt install iputils-ping dnsmasq-base busybox-static tcpdump",
    )("containers", body),
  );

suite("dnsmasq behind a guarded port", () => {
  const containers = useContainers();
  const scratch = mkdtempSync(join(tmpdir(), "ringyard-dnsmasq-"));
  const servers: Background[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  async function dnsmasq(inside: Namespace, name: string, ...words: string[]): Promise<void> {
    const files = [`--dhcp-leasefile=${join(scratch, name)}`, "--conf-file=/dev/null", "--pid-file", "--user=root"];
    const where = [
      "--keep-in-foreground",
      "--log-facility=-",
      "--port=0",
      "--no-ping",
      "--log-dhcp",
      "--interface=eth0",
      "--bind-dynamic",
    ];
    const server = inside.spawn(["dnsmasq", ...where, ...files, ...words]);
    servers.push(server);
    await server.says("started");
  }

  /** The server whose lease a client takes that asks so many times, a second apart; undefined: none. */
  async function lease(client: Namespace, tries: number): Promise<string | undefined> {
    const words = ["udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", String(tries), "-T", "1", "-s", "/bin/true"];
    const { stdout, stderr } = await client.run(["busybox", ...words], { allowFailure: true });
    return /lease of \S+ obtained from ([\d.]+)/.exec(stdout + stderr)?.[1];
  }

  test(
    "gives no leases; where it is trusted it does, also while another one behind a guarded port tries to",
    async () => {
      const { it, inside } = await containers("rogue", "server", "client");
      const [rogue, server, client] = inside;
      await it.api.policy.set(policy({ rogue: { dhcpGuard: true } }));
      await rogue.configure("eth0", "10.79.0.1/24");
      await server.configure("eth0", "10.78.0.1/24");
      await client.ip("link set eth0 up");
      await dnsmasq(rogue, "rogue", "--dhcp-range=10.79.0.100,10.79.0.150,255.255.255.0,1h");
      expect(await lease(client, 3)).toBeUndefined();
      await until("an offer to be refused", () => (it.drops("rogue").dhcp_guard ?? 0) > 0);
      await dnsmasq(server, "server", "--dhcp-range=10.78.0.100,10.78.0.150,255.255.255.0,1h");
      expect(await lease(client, 20)).toBe("10.78.0.1");
      await it.api.policy.set(policy({ server: { dhcpGuard: true } }));
      expect(await lease(client, 20)).toBe("10.79.0.1");
      await until("the other's offer to be refused", () => (it.drops("server").dhcp_guard ?? 0) > 0);
    },
    LIMIT_MS,
  );

  test(
    "advertises no prefix as a router; where it is trusted it does",
    async () => {
      const { it, inside } = await containers("router", "client");
      const [router, client] = inside;
      await it.api.policy.set(policy({ router: { raGuard: true } }));
      await router.configure("eth0", "fd79::1/64");
      await dnsmasq(router, "router", "--enable-ra", "--dhcp-range=fd79::,ra-only", "--ra-param=eth0,4,60");
      const prefixes = async () => (await client.ip("-6 addr show dev eth0")).includes("fd79:");
      await client.ip("link set eth0 up");
      await until("an advertisement to be refused", () => (it.drops("router").ra_guard ?? 0) >= 2, {
        timeoutMs: 60_000,
      });
      expect(await prefixes()).toBe(false);
      await it.api.policy.set(policy({ router: { dhcpGuard: true } }));
      await until("an address of the advertised prefix", prefixes, { timeoutMs: 60_000 });
    },
    LIMIT_MS,
  );
});

suite("containers that do not trust one another", () => {
  const containers = useContainers();
  let it: MemorySwitch;
  let a: Host;
  let b: Host;
  let c: Host;

  beforeEach(async () => {
    const { it: started, inside } = await containers("a", "b", "c");
    it = started;
    [a, b, c] = [await address(inside[0], 1), await address(inside[1], 2), await address(inside[2], 3)];
  });

  test("in isolation reach the port that all share and not one another, until they may", async () => {
    await it.api.policy.set(policy({ a: { isolated: true }, b: { isolated: true } }));
    await ping(a, c.ip);
    await ping(b, c.ip6);
    expect([await isHeard(a, b.ip), await isHeard(b, a.ip6)]).toEqual([false, false]);
    await it.api.policy.set(policy({ a: { groups: ["red"] }, b: { groups: ["blue"] } }));
    await ping(a, b.ip);
    await ping(b, a.ip6);
  });

  test(
    "use their own addresses, and nobody takes what is not his",
    async () => {
      const sources = [{ mac: macOf(a.inside).replaceAll(":", ""), ips: [`${a.ip}/32`, `${a.ip6}/128`] }];
      await it.api.policy.set(policy({ a: { sources } }));
      await ping(a, b.ip);
      await ping(a, b.ip6);
      await ping(c, b.ip);
      // With c's address, a would get what b sends to c: b takes the request's sender for its owner.
      await a.inside.ip(`addr add ${c.ip}/24 dev eth0`);
      const steal = ["ping", "-c", "1", "-W", "1", "-I", c.ip, b.ip];
      await a.inside.ip("neigh flush dev eth0");
      const before = it.drops("a").source_guard ?? 0;
      expect((await a.inside.run(steal, { allowFailure: true })).exitCode).not.toBe(0);
      await until("the theft to be refused", () => (it.drops("a").source_guard ?? 0) > before);
      expect(await b.inside.ip(`neigh show ${c.ip} dev eth0`)).toContain(macOf(c.inside));
      await ping(c, b.ip);
      // Another MAC does not help.
      await a.inside.ip("link set eth0 down");
      await a.inside.ip("link set eth0 address 02:00:00:00:00:77 up");
      expect(await isHeard(a, b.ip)).toBe(false);
      await it.api.policy.set(policy({}));
      await until("a to be heard without the guard", () => isHeard(a, b.ip));
    },
    LIMIT_MS,
  );

  test(
    "hear requests for one another's addresses only when nobody knows whose they are",
    async () => {
      await it.api.policy.set(policy({}, true));
      await ping(a, b.ip);
      const sniffer = c.inside.spawn(["tcpdump", "-l", "-n", "-i", "eth0", "arp"]);
      try {
        await sniffer.says("listening on eth0");
        await a.inside.ip("neigh flush dev eth0");
        await ping(a, b.ip);
        // What nobody has is asked of all, and c has heard all that was asked before by then.
        await isHeard(a, "10.78.0.77");
        await sniffer.says("who-has 10.78.0.77");
        expect(sniffer.output).not.toContain(`who-has ${b.ip} `);
      } finally {
        await sniffer.stop();
      }
      await it.api.policy.set(policy({}));
      const again = c.inside.spawn(["tcpdump", "-l", "-n", "-i", "eth0", "arp"]);
      try {
        await again.says("listening on eth0");
        // What b or c says meanwhile may tell a the address before it asks.
        await until("a request to be heard", async () => {
          await a.inside.ip("neigh flush dev eth0");
          await ping(a, b.ip);
          await again.says(`who-has ${b.ip} `, { timeoutMs: 1_000 });
          return true;
        });
      } finally {
        await again.stop();
      }
    },
    LIMIT_MS,
  );
});
