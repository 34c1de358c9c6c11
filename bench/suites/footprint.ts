// What ringyard costs when little happens: from its start to the first frame that it forwards, CPU when idle, resident
// memory. With two TAP ports (nothing but the kernel needed), and with two vhost-user ports under a driver that is attached and
// sends nothing. What each further port takes is told by ports of the kind `memory`, whose rings are in the process, with many of them
// against two.
//
//   start:  spawn -> TAP devices appear -> up, an ARP request leaves one -> it comes in on the other

import { existsSync, readFileSync } from "node:fs";
import { reserveHugepages } from "../../scripts/hugepages.ts";
import { run as runProgram } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import { DpdkClient } from "../peers/dpdk-client.ts";
import { launch, ready, startRingyard } from "../peers/ringyard.ts";
import { cpuPercent, residentMb } from "../proc.ts";
import { OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { Undo } from "../undo.ts";

const START = "start to first frame";
const IDLE_TAP = "idle, 2 TAP ports";
const IDLE_VHOST = "idle, 2 vhost-user ports";
const MEMORY_TAP = "memory, 2 TAP ports";
const MEMORY_VHOST = "memory, 2 vhost-user ports after load";

const MEMORY_MORE = "memory, each further port";
const FEW_PORTS = 2;
/** So many that what differs between two starts of the process, a megabyte or two, is little of a port. */
const MANY_PORTS = 130;

const CPU = "% of a CPU";
/** Past start-up: code that was compiled in the background, neighbour discovery on the new links. At most: a smoke run waits less. */
const SETTLE_SECONDS = 3;
/** Of the range for benchmarks between networks (RFC 2544, appendix C.2.2). Nobody answers at the second one. */
const OUR_ADDRESS = "198.18.77.1/30";
const SILENT_ADDRESS = "198.18.77.2";

async function settle(context: Context): Promise<void> {
  await Bun.sleep(Math.min(SETTLE_SECONDS, context.seconds) * 1_000);
}

/** Runs a measurement with an Undo of its own, unwound at its end. */
async function scoped(context: Context, what: string, body: (undo: Undo) => Promise<void>): Promise<void> {
  const undo = new Undo();
  const unwind = context.undo.defer(() => undo.unwind());
  try {
    await body(undo);
  } catch (error) {
    context.failed(what, error);
  } finally {
    await unwind();
  }
}

/** Makes the kernel send ARP requests out of the device with OUR_ADDRESS until `to` has received a frame. */
async function firstFrame(to: string): Promise<void> {
  const socket = await Bun.udpSocket({});
  try {
    await until(
      `a frame on ${to}`,
      () => {
        socket.send("?", 9, SILENT_ADDRESS);
        return Number(readFileSync(`/sys/class/net/${to}/statistics/rx_packets`, "utf8")) > 0;
      },
      { everyMs: 1 },
    );
  } finally {
    socket.close();
  }
}

async function measureTap(context: Context, round: number): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    context.sample({ subject, unit, system: OURS, round, value });
  await scoped(context, "two TAP ports", async (undo) => {
    const [a, b] = [`ryb${process.pid}a`, `ryb${process.pid}b`];
    const from = performance.now();
    const program = launch({ a: `tap:${a}`, b: `tap:${b}` }, "adaptive", undo);
    const exists = (device: string) => existsSync(`/sys/class/net/${device}`);
    await until("the TAP devices", () => exists(a) && exists(b), { everyMs: 1, context: () => program.output });
    const commands = [`addr add ${OUR_ADDRESS} dev ${a}`, `link set ${a} up`, `link set ${b} up`];
    await runProgram(["ip", "-batch", "-"], { stdin: commands.join("\n") });
    await firstFrame(b);
    report(START, "ms", performance.now() - from);
    await ready(program);
    await settle(context);
    report(IDLE_TAP, CPU, await cpuPercent(program.pid, context.seconds));
    report(MEMORY_TAP, "MB", residentMb(program.pid));
  });
}

async function measureVhostUser(context: Context, round: number): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    context.sample({ subject, unit, system: OURS, round, value });
  await scoped(context, "two vhost-user ports", async (undo) => {
    undo.defer(reserveHugepages());
    const running = await startRingyard("adaptive", 0, undo);
    const client = await DpdkClient.attach(running.sockets, 64, undo);
    await settle(context);
    report(IDLE_VHOST, CPU, await cpuPercent(running.pid, context.seconds));
    await client.measure(context.seconds);
    report(MEMORY_VHOST, "MB", residentMb(running.pid));
    await client.quit();
    await running.stop();
  });
}

/** Resident MB of a switch with so many memory ports, some time after its start. */
async function residentWith(count: number, context: Context, undo: Undo): Promise<number> {
  const names = Array.from({ length: count }, (_, n) => `p${n}`);
  const program = launch(Object.fromEntries(names.map((name) => [name, `memory:${name}`])), "adaptive", undo);
  await ready(program);
  await settle(context);
  const resident = residentMb(program.pid);
  await program.stop();
  return resident;
}

async function measurePorts(context: Context, round: number): Promise<void> {
  await scoped(context, "many ports", async (undo) => {
    const few = await residentWith(FEW_PORTS, context, undo);
    const many = await residentWith(MANY_PORTS, context, undo);
    const value = (1024 * (many - few)) / (MANY_PORTS - FEW_PORTS);
    context.sample({ subject: MEMORY_MORE, unit: "kB", system: OURS, round, value });
  });
}

async function run(context: Context): Promise<void> {
  for (let round = 0; round < context.rounds; round++) {
    await measureTap(context, round);
    await measureVhostUser(context, round);
    await measurePorts(context, round);
  }
}

export const footprint: Suite = {
  name: "footprint",
  about: "start, idle CPU and memory of ringyard alone",
  bars: [
    { subject: START, atMost: 1_000 },
    { subject: IDLE_TAP, atMost: 1 },
    { subject: IDLE_VHOST, atMost: 1 },
    { subject: MEMORY_TAP, atMost: 150 },
    { subject: MEMORY_VHOST, atMost: 150 },
  ],
  run,
};
