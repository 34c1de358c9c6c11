// Mirrors and captures between containers on TAP ports: what tcpdump sees beside the watching port and at a container's own device is what
// mirrors and captures show, and nobody who captures holds the traffic up.

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nthFrame } from "../../src/cli/pcap.ts";
import { ControlClient } from "../../src/control/client.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useNamespaces } from "../support/netns.ts";
import { useProcesses } from "../support/process.ts";
import { requirePrograms } from "../support/skip.ts";
import { RINGYARD, useSwitch } from "../support/switch.ts";
import { requireTap } from "../support/tap.ts";
import { address, iperf, ping } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

const MIB = 2 ** 20;
const LIMIT_MS = 120_000 * PATIENCE;
const scratch = mkdtempSync(join(tmpdir(), "ringyard-capture-"));
useCleanup()(() => rmSync(scratch, { recursive: true }));

const suite = (label: string, body: () => void) =>
  requireTap()(label, () =>
    requirePrograms(["ping", "iperf3", "tcpdump"], "apt install iputils-ping iperf3 tcpdump")("containers", body),
  );

suite("mirrors and captures", () => {
  const namespace = useNamespaces();
  const startSwitch = useSwitch();
  const spawn = useProcesses();

  /** Containers at ports a, b and w. */
  async function containers() {
    const [first, second, watcher] = [await namespace(), await namespace(), await namespace()];
    const uri = ({ name }: { name: string }) => `tap:eth0?netns=${name}`;
    const ringyard = await startSwitch({ a: uri(first), b: uri(second), w: uri(watcher) });
    const [a, b, w] = [await address(first, 1), await address(second, 2), await address(watcher, 3)];
    await ping(a, b.ip, 56);
    return { ringyard, a, b, w };
  }

  test(
    "the watching container sees what passes between the others, and before the mirror nothing of it",
    async () => {
      const { ringyard, a, b, w } = await containers();
      const dump = w.inside.spawn(["tcpdump", "-i", "eth0", "-nn", "-l", "-e", "icmp"]);
      await dump.says("listening on eth0");
      const heard = (what: string) => dump.output.split("\n").filter((line) => line.includes(`ICMP ${what}`));
      await ping(a, b.ip, 200);
      // Its own, so that what came before it has arrived.
      await ping(w, b.ip, 56);
      await until("the watcher's own pings", () => heard("echo reply").length >= 5);
      expect(heard("echo re").every((line) => line.includes(w.ip))).toBe(true);
      await ringyard.ctl("mirror", "add", "m", "ports=a", "to=w", "truncate=100");
      await ping(a, b.ip, 200);
      const mirrored = () => heard("echo re").filter((line) => line.includes(a.ip));
      await until("requests and replies", () => mirrored().length >= 10);
      expect(mirrored()).toHaveLength(10);
      expect(mirrored().every((line) => line.includes("length 100"))).toBe(true);
      await ringyard.lawful();
    },
    LIMIT_MS,
  );

  test(
    "a capture of a port is what tcpdump sees at the container's device, byte for byte",
    async () => {
      const { ringyard, a, b } = await containers();
      const files = { ours: join(scratch, "ours.pcapng"), theirs: join(scratch, "theirs.pcap") };
      const words = ["capture", "a", "--filter", "icmp", "-w", files.ours, "--control", ringyard.control];
      const capture = spawn([...RINGYARD, ...words]);
      await capture.says("Ctrl-C ends it");
      const dump = a.inside.spawn(["tcpdump", "-i", "eth0", "-U", "-w", files.theirs, "icmp"]);
      await dump.says("listening on eth0");
      await ping(a, b.ip, 1400);
      await ping(b, a.ip, 33);
      await until("all of it in tcpdump's file", async () => (await framesOf(files.theirs)).length >= 20);
      await dump.stop("SIGINT");
      expect(await capture.stop("SIGINT")).toBe(0);
      expect(await framesOf(files.ours)).toEqual(await framesOf(files.theirs));
    },
    LIMIT_MS,
  );

  test(
    "one who captures and does not read loses frames, and TCP goes on",
    async () => {
      const { ringyard, a, b } = await containers();
      const client = await ControlClient.connect(ringyard.control);
      try {
        const { capture } = await client.request("capture.open", { of: "port", port: "a" });
        expect(await iperf(a, b, "-n", "256M")).toBeGreaterThan(128 * MIB);
        const { lost, records } = await client.request("capture.read", { capture });
        expect(lost).toBeGreaterThan(0);
        expect(records.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(MIB);
        await client.request("capture.close", { capture });
      } finally {
        client.close();
      }
      await ringyard.lawful();
    },
    LIMIT_MS,
  );
});

/** All frames of a capture, as hex. */
async function framesOf(path: string): Promise<string[]> {
  const bytes = await Bun.file(path).bytes();
  const frames: string[] = [];
  for (;;) {
    try {
      const frame = nthFrame((at, size) => bytes.subarray(at, at + size), frames.length + 1, path);
      frames.push(Buffer.from(frame.bytes).toString("hex"));
    } catch {
      return frames;
    }
  }
}
