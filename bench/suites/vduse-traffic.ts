// What is measured between two hosts of a VDUSE switch, inside the virtual machine: TCP by iperf3, round trips by ping, and small
// frames by the kernel's own generator (pktgen), which needs no system call for a frame.

import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findKernel } from "../../scripts/vm/kernels.ts";
import { readModules } from "../../scripts/vm/modules.ts";
import { run } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Host } from "../peers/vduse-system.ts";
import { median } from "../stats.ts";
import type { Undo } from "../undo.ts";

const PINGS = 200;
const SMALL_SIZE = 64;
/** Of the checksum that pktgen's size does not count. */
const FCS_SIZE = 4;
/** From the start of generators until their frames are steady. */
const WARM_UP_MS = 1_000;

export interface RoundTrips {
  readonly min: number;
  readonly median: number;
  readonly mean: number;
}

/** Waits until `to` answers: link up, addresses resolved. */
export async function reach(from: Host, to: Host): Promise<void> {
  await until(`${to.ip} to answer`, async () => {
    const { exitCode } = await from.inside.run(["ping", "-c", "1", "-W", "1", to.ip], { allowFailure: true });
    return exitCode === 0;
  });
}

/** Mbit/s of payload that TCP streams brought together. */
export async function tcp(from: Host, to: Host, seconds: number, undo: Undo, streams = 1): Promise<number> {
  const serve = ["iperf3", "-s", "-1", "--forceflush", "-B", to.ip];
  const server = undo.spawn(["ip", "netns", "exec", to.inside.name, ...serve]);
  await server.says("Server listening");
  const { stdout } = await from.inside.run(["iperf3", "-J", "-c", to.ip, "-t", `${seconds}`, "-P", `${streams}`]);
  await server.stop();
  return JSON.parse(stdout).end.sum_received.bits_per_second / 1e6;
}

/**
 * The times in ms that ping(8) printed for `count` pings, which busybox numbers from 0 and iputils from 1; with -w there may be later
 * ones. Throws where one was lost, came twice or with other bytes.
 */
export function pingTimes(output: string, count: number): number[] {
  const wrong = /^.*(?:wrong data byte|DUP!|truncated).*$/m.exec(output);
  if (wrong !== null) throw new Error(`ping: ${wrong[0]}`);
  const answers = [...output.matchAll(/seq=(\d+) .*time=([\d.]+) ms/g)];
  const times = answers.filter(([, number]) => Number(number) <= count).map(([, , time]) => Number(time));
  if (times.length !== count) throw new Error(`${times.length} of ${count} pings were answered`);
  return times;
}

/** Times in ms of pings 10 ms apart. Throws as pingTimes does. Without -w, a late last answer would be a lost one to iputils. */
export async function roundTrips(from: Host, to: Host): Promise<RoundTrips> {
  const { stdout } = await from.inside.run(["ping", "-c", `${PINGS}`, "-i", "0.01", "-w", "15", to.ip]);
  const times = pingTimes(stdout, PINGS);
  const mean = times.reduce((sum, time) => sum + time, 0) / PINGS;
  return { min: Math.min(...times), median: median(times), mean };
}

/** pktgen comes with the kernel; it serves every namespace, those of later too. */
async function loadGenerator(): Promise<void> {
  if (existsSync("/proc/net/pktgen")) return;
  const { folder } = await findKernel(process.env.RINGYARD_VM as string, () => {});
  const scratch = mkdtempSync(join(tmpdir(), "ringyard-modules-"));
  for (const [name, bytes] of await readModules(join(folder, "modules"), ["pktgen"])) {
    writeFileSync(join(scratch, name), bytes);
    await run(["busybox", "insmod", join(scratch, name)]);
  }
}

/** Starts a generator of frames (64 bytes with FCS, or `size`) from `from` to `to`'s device, on processor `cpu`; returns what ends it. */
export async function generate(
  from: Host,
  to: Host,
  cpu: number,
  undo: Undo,
  size = SMALL_SIZE,
): Promise<() => Promise<void>> {
  await loadGenerator();
  const [{ address }] = JSON.parse(await to.inside.ip("-j link show eth0"));
  const lines = (file: string, ...texts: string[]) => texts.map((text) => `echo "${text}" >/proc/net/pktgen/${file}`);
  const script = [
    ...lines(`kpktgend_${cpu}`, "rem_device_all", "add_device eth0"),
    // To an address that nobody has: the receiver's kernel counts the frame and forgets it, without an answer.
    ...lines("eth0", "count 0", "delay 0", `pkt_size ${size - FCS_SIZE}`, "dst 198.18.0.250", `dst_mac ${address}`),
  ];
  await from.inside.run(["bash", "-c", script.join(" && ")]);
  const shell = (text: string) => ["ip", "netns", "exec", from.inside.name, "bash", "-c", text];
  // It returns when the generator has ended.
  const generator = undo.spawn(shell("echo start >/proc/net/pktgen/pgctrl"));
  return undo.defer(async () => {
    await run(shell("echo stop >/proc/net/pktgen/pgctrl"));
    await generator.child.exited;
  });
}

async function received({ inside }: Host): Promise<{ frames: number; atMs: number }> {
  const [link] = JSON.parse(await inside.ip("-s -j link show eth0"));
  return { frames: link.stats64.rx.packets, atMs: performance.now() };
}

/** Thousands of frames per second that arrive, of 64 bytes or `size`. */
export async function frames(from: Host, to: Host, seconds: number, undo: Undo, size?: number): Promise<number> {
  const stop = await generate(from, to, 1, undo, size);
  await Bun.sleep(WARM_UP_MS);
  const before = await received(to);
  await Bun.sleep(seconds * 1000);
  const after = await received(to);
  await stop();
  return (after.frames - before.frames) / (after.atMs - before.atMs);
}
