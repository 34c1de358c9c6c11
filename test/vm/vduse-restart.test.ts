// What the kernel holds for a switch that is away: containers keep their device, link and connections through SIGKILL and a
// new start; an orderly end leaves what is attached and removes the rest; `down --remove` leaves nothing.
//
// VM: kernels 6.12
// VM: also sid

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useNamespaces } from "../support/netns.ts";
import { run } from "../support/process.ts";
import { sized } from "../support/scale.ts";
import { RINGYARD, useSwitch } from "../support/switch.ts";
import { ping, randomFile, transfer } from "../support/traffic.ts";
import { until } from "../support/until.ts";
import { container, deviceName, requireVduse, vduseDevices } from "../support/vduse.ts";

const LIMIT_MS = 480_000;
const LIVES = sized(2, 3);
const FILE_SIZE = 8_000_000;

const scratch = mkdtempSync(join(tmpdir(), "ringyard-vduse-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const startSwitch = useSwitch();
const namespace = useNamespaces();
const suite = requireVduse();

/** Those of `names` that the kernel still has. */
async function devicesOf(names: readonly string[]): Promise<string[]> {
  const all = await vduseDevices();
  return names.filter((name) => all.includes(name));
}

/** `SIZE SHA256` of so many bytes that are a file's, over and over. */
async function repeated(path: string, size: number): Promise<string> {
  const bytes = await Bun.file(path).bytes();
  const hash = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < size; at += bytes.length) hash.update(bytes);
  return `${size} ${hash.digest("hex")}`;
}

suite("a switch that is killed and started again", () => {
  test(
    "under a TCP transfer: the bytes are right, device and link stay",
    async () => {
      const names = [deviceName(), deviceName()];
      const ringyard = await startSwitch({ a: `vduse:${names[0]}`, b: `vduse:${names[1]}` });
      const a = await container(ringyard, "a", await namespace(), 1);
      const b = await container(ringyard, "b", await namespace(), 2);
      await ping(a, b.ip);
      const before = await a.inside.ip("link show eth0");
      const { path } = await randomFile(scratch, FILE_SIZE);
      const enough = join(scratch, "enough");
      // Until the last life has begun: any one file may have passed before this process sees that it moves.
      const arrived = transfer(a, b, path, b.ip, `while [ ! -e ${enough} ] && cat ${path}; do :; done`);
      try {
        for (let life = 0; life < LIVES; life++) {
          const { rxFrames } = await ringyard.port("a");
          await until("the transfer to move", async () => (await ringyard.port("a")).rxFrames > rxFrames + 20);
          await ringyard.kill();
          expect(await a.inside.ip("link show eth0")).toBe(before);
          await ringyard.start();
          await ringyard.logged(`adopted device ${names[0]}`);
          // What the kernel asks while there is no switch waits for the next one, however long that takes.
          expect(readFileSync(`/sys/class/vduse/${names[0]}/msg_timeout`, "utf8")).toBe("0\n");
          expect(await ringyard.port("a")).toMatchObject({ carrier: true, details: { adopted: true } });
        }
      } finally {
        // Else the loop sends without end, where something fails.
        writeFileSync(enough, "");
      }
      const print = await arrived;
      const size = Number.parseInt(print, 10);
      expect(size).toBeGreaterThanOrEqual(FILE_SIZE);
      expect(print).toBe(await repeated(path, size));
      await ping(b, a.ip);
    },
    LIMIT_MS,
  );
});

suite("a switch that ends", () => {
  test(
    "keeps what is attached for the next start, and removes the rest",
    async () => {
      const names = [deviceName(), deviceName(), deviceName()];
      const ports = { a: `vduse:${names[0]}`, b: `vduse:${names[1]}`, spare: `vduse:${names[2]}` };
      const ringyard = await startSwitch(ports);
      const a = await container(ringyard, "a", await namespace(), 1);
      const b = await container(ringyard, "b", await namespace(), 2);
      await ping(a, b.ip);
      expect(await ringyard.stop()).toBe(0);
      expect(await devicesOf(names)).toEqual(names.slice(0, 2));
      await ringyard.start();
      await ping(a, b.ip);
      // A port that goes for good takes its device along.
      await ringyard.request("port.del", { name: "a" });
      expect(await devicesOf(names)).toEqual(names.slice(1));
      expect(await a.inside.ip("-br link")).not.toContain("eth0");
      await run([...RINGYARD, "down", "--remove", "--control", ringyard.control], { timeoutMs: 30_000 });
      expect(await devicesOf(names)).toEqual([]);
      expect(await b.inside.ip("-br link")).not.toContain("eth0");
    },
    LIMIT_MS,
  );

  test(
    "by a crash, for good: down --remove without a switch takes away what it left",
    async () => {
      const name = deviceName();
      const ringyard = await startSwitch({ a: `vduse:${name}` });
      const a = await container(ringyard, "a", await namespace(), 1);
      await ringyard.kill();
      expect(await a.inside.ip("-br link")).toContain("eth0");
      const { stdout } = await run([...RINGYARD, "down", "--remove", "--control", ringyard.control], {
        timeoutMs: 30_000,
      });
      expect(stdout).toContain(name);
      expect(await devicesOf([name])).toEqual([]);
      expect(await a.inside.ip("-br link")).not.toContain("eth0");
    },
    LIMIT_MS,
  );
});
