// DPDK's virtio driver on two vhost-user ports: its frames circle through the switch, both sides count the same, and each
// side comes back after the other was killed.

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SwitchStats } from "../../src/control/api.ts";
import { useCleanup } from "../support/cleanup.ts";
import { type ClientPort, type DpdkClient, type PortCounters, requireDpdk, useDpdk } from "../support/dpdk.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { PATIENCE, until } from "../support/until.ts";

const LIMIT_MS = 60_000 * PATIENCE;
const CIRCLING = 2 * 8 * 32;
const ENOUGH = 20_000;

requireDpdk()("DPDK virtio-user", () => {
  const defer = useCleanup();
  const startSwitch = useSwitch();
  const startClient = useDpdk();
  let serial = 0;

  /** Two sockets of their own, and the ports behind them. */
  function pair(query = ""): { sockets: [string, string]; uris: Record<string, string> } {
    const scratch = mkdtempSync(join(tmpdir(), "ringyard-dpdk-"));
    defer(() => rmSync(scratch, { recursive: true, force: true }));
    const sockets: [string, string] = [join(scratch, `${serial}a`), join(scratch, `${serial}b`)];
    serial++;
    return { sockets, uris: { p0: `vhost-user:${sockets[0]}${query}`, p1: `vhost-user:${sockets[1]}${query}` } };
  }

  async function carriers(ringyard: SwitchProcess, up: boolean): Promise<void> {
    await until(`both ports ${up ? "up" : "down"}`, async () => {
      const ports = await Promise.all(["p0", "p1"].map((name) => ringyard.port(name)));
      return ports.every((port) => port.carrier === up);
    });
  }

  /** Lets frames circle until both ports have received enough more; stops, and returns what both sides counted. */
  async function circle(client: DpdkClient, ringyard: SwitchProcess): Promise<[PortCounters[], SwitchStats]> {
    const before = await client.counters();
    client.circle();
    await until(
      "frames on both ports",
      async () => (await client.counters()).every((port, k) => port.rx > before[k].rx + ENOUGH),
      { context: () => client.output },
    );
    await client.stop();
    const counters = await client.counters();
    const stats = await until("the last frames", async () => {
      const now = await ringyard.stats();
      const { rxFrames, copies, txFrames, dropped } = now.totals;
      const sent = counters.reduce((sum, port, k) => sum + port.tx - before[k].tx, 0);
      return rxFrames >= sent && rxFrames + copies === txFrames + dropped ? now : undefined;
    });
    return [counters, stats];
  }

  /** Both sides agree: what the driver sent was fetched, what was delivered it has read, but for what lies in its rings. */
  function expectAgreement(counters: PortCounters[], stats: SwitchStats): void {
    stats.ports.forEach((port, k) => {
      expect(port.rxFrames).toBe(counters[k].tx);
      expect(port.txFrames - counters[k].rx).toBeGreaterThanOrEqual(0);
      expect(port.txFrames - counters[k].rx).toBeLessThanOrEqual(CIRCLING);
      expect(port.drops).toEqual({});
    });
  }

  const variants: [string, Partial<ClientPort>, string[]][] = [
    ["as in the bench", {}, []],
    ["with mergeable buffers", { virtio: "packed_vq=0,mrg_rxbuf=1,in_order=0" }, []],
    ["with in_order=1", { virtio: "packed_vq=0,mrg_rxbuf=0,in_order=1" }, []],
    ["with two queue pairs", { queues: 2 }, ["--rxq=2", "--txq=2"]],
    ["with two queue pairs, of which it uses one", { queues: 2 }, ["--rxq=1", "--txq=1"]],
  ];
  for (const [what, form, app] of variants) {
    test(
      `frames circle, ${what}`,
      async () => {
        const { sockets, uris } = pair();
        const ringyard = await startSwitch(uris);
        const client = await startClient(
          [
            { path: sockets[0], ...form },
            { path: sockets[1], ...form },
          ],
          ...app,
        );
        await carriers(ringyard, true);
        expectAgreement(...(await circle(client, ringyard)));
        for (const name of ["p0", "p1"]) {
          const { details, queues, errors } = await ringyard.port(name);
          expect(details.queueSizes).toEqual(new Array(2 * (form.queues ?? 1)).fill("1024"));
          expect(queues.filter((queue) => queue.state === "running").length).toBe(app.includes("--rxq=2") ? 2 : 1);
          expect(errors).toEqual({});
        }
        await client.quit();
        await carriers(ringyard, false);
        expect(await ringyard.stop()).toBe(0);
      },
      LIMIT_MS,
    );
  }

  test(
    "a client that is killed leaves the ports to the next one",
    async () => {
      const { sockets, uris } = pair();
      const ringyard = await startSwitch(uris);
      for (let life = 0; life < 2; life++) {
        const client = await startClient([{ path: sockets[0] }, { path: sockets[1] }]);
        await carriers(ringyard, true);
        client.circle();
        await until("frames", async () => (await client.counters()).every((port) => port.rx > ENOUGH));
        await client.kill();
        await carriers(ringyard, false);
      }
      const client = await startClient([{ path: sockets[0] }, { path: sockets[1] }]);
      await carriers(ringyard, true);
      await circle(client, ringyard);
      for (const name of ["p0", "p1"]) {
        const { details, drops, errors } = await ringyard.port(name);
        expect(details.connections).toBe(3);
        expect(errors).toEqual({});
        // Frames on their way to the port whose connection ended first.
        for (const reason of Object.keys(drops)) expect(["link_down", "no_destination", "no_buffer"]).toContain(reason);
      }
      await client.quit();
    },
    LIMIT_MS,
  );

  test(
    "a switch that connects to a listening client comes back after SIGKILL, and finds its place in the rings",
    async () => {
      const { sockets, uris } = pair("?mode=client");
      const ringyard = await startSwitch(uris);
      const client = await startClient([
        { path: sockets[0], server: true },
        { path: sockets[1], server: true },
      ]);
      for (let life = 0; life < 3; life++) {
        await carriers(ringyard, true);
        await circle(client, ringyard);
        // Under load: the rings are left with frames in them, at any place of a burst.
        const before = (await ringyard.stats()).totals.rxFrames;
        client.circle();
        await until("frames", async () => (await ringyard.stats()).totals.rxFrames > before + 3 * ENOUGH);
        await ringyard.kill();
        await client.stop();
        await ringyard.start();
      }
      await carriers(ringyard, true);
      const [, stats] = await circle(client, ringyard);
      for (const port of stats.ports) expect(port.txFrames).toBeGreaterThan(ENOUGH);
      await client.quit();
    },
    LIMIT_MS,
  );
});
