// Containers on TAP ports: namespaces with the kernel's own network stack, one switch process between them. What one sends
// arrives at the other whole, whatever either side leaves to the switch; what the switch made goes with it.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FdbInfo } from "../../src/control/api.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useNamespaces } from "../support/netns.ts";
import { run } from "../support/process.ts";
import { ringyard as command } from "../support/ringyard.ts";
import { requirePrograms } from "../support/skip.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { linkNames, links, requireTap, TAP_NAME } from "../support/tap.ts";
import { address, type Host, iperf, ping, randomFile, transfer, udp } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

const MIB = 2 ** 20;
/** A single step has limits of its own and fails with what it waited for. */
const LIMIT_MS = 120_000 * PATIENCE;
/** Streams that are sent until each queue has carried some. */
const TRIES = 5;

const scratch = mkdtempSync(join(tmpdir(), "ringyard-tap-"));
useCleanup()(() => rmSync(scratch, { recursive: true }));

/** Two containers on ports a and b of a switch of their own; `options` are the ports'. */
function useContainers() {
  const namespace = useNamespaces();
  const startSwitch = useSwitch();
  return async (optionsA = "", optionsB = optionsA, ...words: string[]) => {
    const [first, second] = [await namespace(), await namespace()];
    const uri = (name: string, options: string) => `tap:eth0?netns=${name}${options === "" ? "" : `&${options}`}`;
    const ports = { a: uri(first.name, optionsA), b: uri(second.name, optionsB) };
    const ringyard = await startSwitch(ports, ...words);
    const [a, b] = [await address(first, 1), await address(second, 2)];
    return { ringyard, a, b };
  };
}

/** The law of the switch, once no frame is in flight. */
async function untilSumsUp(ringyard: SwitchProcess): Promise<void> {
  await until("the sum of frames to add up", async () => {
    const { rxFrames, copies, txFrames, dropped } = (await ringyard.stats()).totals;
    return rxFrames > 0 && rxFrames + copies === txFrames + dropped;
  });
}

const macOf = ({ inside }: Host) => links(inside.name).find(({ ifname }) => ifname === "eth0")!.address;

const suite = (label: string, body: () => void) =>
  requireTap()(label, () => requirePrograms(["ping", "iperf3"], "apt install iputils-ping iperf3")("traffic", body));

suite("two containers", () => {
  const start = useContainers();
  let ringyard: SwitchProcess;
  let a: Host;
  let b: Host;

  beforeAll(async () => {
    ({ ringyard, a, b } = await start());
  });

  test("reach each other without loss, by IPv4 and IPv6, in fragments too", async () => {
    await ping(a, b.ip);
    await ping(b, a.ip6);
    await ping(a, b.ip, 1472, true);
    await ping(a, b.ip, 20_000);
  });

  test("are learned where they are", async () => {
    const { entries } = await ringyard.ctl<FdbInfo>("fdb", "show");
    expect(entries).toContainEqual(expect.objectContaining({ mac: macOf(a), port: "a", static: false }));
    expect(entries).toContainEqual(expect.objectContaining({ mac: macOf(b), port: "b", static: false }));
  });

  test(
    "carry TCP both ways, and every frame is accounted for",
    async () => {
      expect(await iperf(a, b, "-n", "256M")).toBeGreaterThan(128 * MIB);
      expect(await iperf(a, b, "-n", "256M", "-R")).toBeGreaterThan(128 * MIB);
      await untilSumsUp(ringyard);
    },
    LIMIT_MS,
  );

  test(
    "carry UDP whole, in fragments too",
    async () => {
      await udp(a, b);
      await udp(b, a);
    },
    LIMIT_MS,
  );

  test("leave nothing behind when the switch ends, and it comes back after a crash", async () => {
    await ringyard.kill();
    await until("the devices to go", () => linkNames(a.inside.name).length + linkNames(b.inside.name).length === 2);
    await ringyard.start();
    [a, b] = [await address(a.inside, 1), await address(b.inside, 2)];
    await ping(a, b.ip);
    expect(await ringyard.stop()).toBe(0);
    expect([linkNames(a.inside.name), linkNames(b.inside.name)]).toEqual([["lo"], ["lo"]]);
  });
});

suite("jumbo frames", () => {
  const start = useContainers();

  test(
    "pass whole between ports of MTU 9000, and stop at one of 1500",
    async () => {
      const { ringyard, a, b } = await start("mtu=9000");
      await ping(a, b.ip, 8972, true);
      await ping(b, a.ip, 8972, true);
      expect(await iperf(a, b, "-n", "64M")).toBeGreaterThan(32 * MIB);
      expect((await ringyard.port("b")).drops).toEqual({});

      await ringyard.ctl("port", "set", "b", "mtu=1500");
      expect(links(b.inside.name).find(({ ifname }) => ifname === "eth0")!.mtu).toBe(1500);
      const words = ["ping", "-c", "1", "-W", "1", "-M", "do", "-s", "8972", b.ip];
      expect((await a.inside.run(words, { allowFailure: true })).stdout).toContain("100% packet loss");
      expect((await ringyard.port("b")).drops).toEqual({ oversized: 1 });
      await untilSumsUp(ringyard);
    },
    LIMIT_MS,
  );
});

suite("files arrive whole", () => {
  const start = useContainers();
  let file: { path: string; print: string };

  beforeAll(async () => {
    file = await randomFile(scratch, 8 * MIB);
  });

  for (const [offloadA, offloadB] of [
    ["csum,ecn,tso4,tso6", "csum,ecn,tso4,tso6"],
    ["csum,ecn,tso4,tso6", "none"],
    ["none", "csum,ecn,tso4,tso6"],
    ["none", "none"],
    ["csum,tso4", "csum,tso6"],
    ["csum,tso4", "csum"],
  ]) {
    test(
      `between ports with offload=${offloadA} and offload=${offloadB}, both ways, by IPv4 and IPv6`,
      async () => {
        const { ringyard, a, b } = await start(`offload=${offloadA}`, `offload=${offloadB}`);
        expect(await transfer(a, b, file.path)).toBe(file.print);
        expect(await transfer(b, a, file.path)).toBe(file.print);
        expect(await transfer(a, b, file.path, b.ip6)).toBe(file.print);
        expect(await transfer(b, a, file.path, a.ip6)).toBe(file.print);
        await udp(a, b);
        await untilSumsUp(ringyard);
        // The switch segments where a sender may leave that to it and the receiver does not take it, and only there.
        const { copies } = (await ringyard.stats()).totals;
        if (offloadA === offloadB) expect(copies).toBe(0);
        else expect(copies).toBeGreaterThan(1000);
        await ringyard.stop();
      },
      LIMIT_MS,
    );
  }
});

suite("ports with two queues, on two workers", () => {
  const start = useContainers();

  test(
    "carry frames on each queue, both ways",
    async () => {
      const { ringyard, a, b } = await start("queues=2", "queues=2", "--cpus", "0,1");
      await ping(a, b.ip);
      // Which queue a flow takes is its hash's choice: all of eight take one in one run of 128.
      const queues = async () => [...(await ringyard.port("a")).queues, ...(await ringyard.port("b")).queues];
      const idle = async () => (await queues()).filter(({ rxFrames, txFrames }) => rxFrames === 0 || txFrames === 0);
      expect(await queues()).toHaveLength(4);
      const bytes: number[] = [];
      do bytes.push(await iperf(a, b, "-n", "64M", "-P", "8"));
      while (bytes.length < TRIES && (await idle()).length > 0);
      expect(await idle()).toEqual([]);
      expect(Math.min(...bytes)).toBeGreaterThan(32 * MIB);
      await untilSumsUp(ringyard);
      await ringyard.stop();
      expect(linkNames(a.inside.name)).toEqual(["lo"]);
    },
    LIMIT_MS,
  );
});

suite("a switch whose containers come and go", () => {
  const start = useContainers();
  const namespace = useNamespaces();
  let ringyard: SwitchProcess;
  let a: Host;
  let b: Host;

  beforeAll(async () => {
    ({ ringyard, a, b } = await start());
  });
  afterAll(async () => void (await ringyard?.stop()));

  test("takes a port that was made here and moved by hand", async () => {
    const inside = await namespace();
    const control = ["--control", ringyard.control];
    expect(await command("port", "add", "c", `tap:${TAP_NAME}`, ...control)).toMatchObject({ exitCode: 0 });
    await inside.ip("link set lo up");
    Bun.spawnSync(["ip", "link", "set", TAP_NAME, "netns", inside.name, "name", "eth0"]);
    const c = await address(inside, 3);
    await ping(c, a.ip);
    await ping(b, c.ip);
    expect((await ringyard.port("c")).details).toMatchObject({ device: "eth0", deviceMac: macOf(c) });
    expect(await command("port", "del", "c", ...control)).toMatchObject({ exitCode: 0 });
    expect(linkNames(inside.name)).toEqual(["lo"]);
  });

  test("loses one without noise: the port is down, the others go on, and the worker sleeps", async () => {
    const inside = await namespace();
    const control = ["--control", ringyard.control];
    await command("port", "add", "d", `tap:eth0?netns=${inside.name}`, ...control);
    await ping(await address(inside, 4), a.ip);
    inside.remove();
    await until("port d to be down", async () => !(await ringyard.port("d")).carrier);
    expect((await ringyard.port("d")).errors).toEqual({ device_gone: 1 });
    await ping(a, b.ip);
    const breaths = async () => (await ringyard.stats()).workers.reduce((sum, worker) => sum + worker.breaths, 0);
    // A worker that does not sleep takes millions in the time of a command.
    await until("the worker to sleep", async () => {
      const before = await breaths();
      return (await breaths()) - before < 1000;
    });
    expect(await command("port", "del", "d", ...control)).toMatchObject({ exitCode: 0 });
  });

  test("has one back whose namespace is made again, as it was, and frames go on", async () => {
    const inside = await namespace();
    const control = ["--control", ringyard.control];
    const mac = "02:00:00:00:00:77";
    await command("port", "add", "f", `tap:eth0?netns=${inside.name}&mac=${mac}&queues=2`, ...control);
    await command("port", "set", "f", "mtu=1400", ...control);
    await ping(await address(inside, 6), a.ip);
    inside.remove();
    await until("port f to be down", async () => !(await ringyard.port("f")).carrier);
    await run(["ip", "netns", "add", inside.name]);
    await until("port f to be up", async () => (await ringyard.port("f")).carrier);
    expect(links(inside.name).find(({ ifname }) => ifname === "eth0")).toMatchObject({ address: mac, mtu: 1400 });
    await ping(await address(inside, 6), a.ip);
    // Deleted inside, and there again with its link down, as it was set meanwhile.
    await command("port", "set", "f", "link=down", ...control);
    await inside.ip("link del eth0");
    await until("port f to have left", async () => (await ringyard.port("f")).errors.device_gone === 2);
    await until("port f to be back", async () => (await ringyard.port("f")).details.deviceState !== "gone");
    expect(await inside.ip("link show eth0")).toContain("NO-CARRIER");
    await command("port", "set", "f", "link=up", ...control);
    await ping(await address(inside, 6), a.ip);
    expect(await command("port", "del", "f", ...control)).toMatchObject({ exitCode: 0 });
    expect(linkNames(inside.name)).toEqual(["lo"]);
  });

  test("refuses a device that is there already, in one line that says what to do, and goes on", async () => {
    const words = ["port", "add", "e", `tap:eth0?netns=${a.inside.name}`, "--control", ringyard.control];
    const { exitCode, stderr } = await command(...words);
    expect(exitCode).not.toBe(0);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("another port or process has it: stop that, or choose another name");
    await ping(a, b.ip);
  });
});
