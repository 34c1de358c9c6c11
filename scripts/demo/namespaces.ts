// The demo with containers: two network namespaces, each with a TAP port as its eth0, and `ringyard up` between them.
//
//   blue 10.77.0.1  eth0 ---tap---[ ringyard ]---tap--- eth0  10.77.0.2 red
//
// Needs root, TUN, iproute2 and ping; iperf3 where it is there.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fdbTable } from "../../src/cli/fdb-view.ts";
import { portTable } from "../../src/cli/port-view.ts";
import { ControlClient } from "../../src/control/client.ts";
import type { Undo } from "./undo.ts";

const MAIN = resolve(import.meta.dir, "../../src/cli/main.ts");
const TRANSFER = join(import.meta.dir, "transfer.ts");
const TRANSFER_PORT = 5201;
const TRANSFER_S = 2;
const PINGS = 5;
/** For what should take milliseconds, on a machine that is busy with other things. */
const PATIENCE_MS = 10_000;

interface End {
  name: string;
  namespace: string;
  address: string;
}

const ENDS: readonly [End, End] = [
  { name: "blue", namespace: `ringyard-blue-${process.pid}`, address: "10.77.0.1" },
  { name: "red", namespace: `ringyard-red-${process.pid}`, address: "10.77.0.2" },
];

/** Why there can be no namespaces here, or undefined. */
export function reasonAgainstNamespaces(): string | undefined {
  for (const program of ["ip", "ping"]) if (Bun.which(program) === null) return `${program} is not installed`;
  const name = `ringyard-probe-${process.pid}`;
  const made = Bun.spawnSync(["ip", "netns", "add", name]);
  if (!made.success) return made.stderr.toString().trim();
  Bun.spawnSync(["ip", "netns", "del", name]);
  return undefined;
}

export async function namespaceDemo(undo: Undo): Promise<void> {
  const [blue, red] = ENDS;
  console.log("two containers (network namespaces) with a switch between them\n");
  console.log(`  blue ${blue.address}  eth0 ---tap---[ ringyard ]---tap--- eth0  ${red.address} red\n`);
  const control = join(makeDirectory(undo), "control.sock");
  for (const { namespace } of ENDS) await addNamespace(namespace, undo);
  await startSwitch(control, undo);
  for (const end of ENDS) await configure(end);
  console.log(`latency     ${await ping(blue, red)}`);
  console.log(`throughput  ${await transfer(blue, red, undo)}`);
  const client = await ControlClient.connect(control);
  const { ports } = await client.request("port.list", {});
  const fdb = await client.request("fdb.show", {});
  client.close();
  console.log(`\n$ ringyard port list\n${portTable(ports)}`);
  console.log(`$ ringyard fdb show\n${fdbTable(fdb).trimEnd()}`);
}

function makeDirectory(undo: Undo): string {
  const directory = mkdtempSync(join(tmpdir(), "ringyard-demo-"));
  undo.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The clean-up is there before the namespace is: Ctrl-C may come in between. */
async function addNamespace(name: string, undo: Undo): Promise<void> {
  const added = run(["ip", "netns", "add", name]);
  undo.push(() =>
    added.then(
      () => run(["ip", "netns", "del", name]),
      () => {},
    ),
  );
  await added;
}

/** Starts `ringyard up` as a user would, and waits until it says that it is ready. */
async function startSwitch(control: string, undo: Undo): Promise<void> {
  const ports = ENDS.flatMap(({ name, namespace }) => ["--port", `${name}=tap:eth0?netns=${namespace}`]);
  const words = ["up", ...ports, "--control", control];
  console.log(`$ ringyard ${words.map((word) => (word.includes("?") ? `'${word}'` : word)).join(" ")}`);
  // A session of its own: Ctrl-C is ours, and the switch is told by the clean-up.
  const child = Bun.spawn([process.execPath, MAIN, ...words, "--log-level", "warn"], {
    ...{ stdin: "ignore", stdout: "pipe", stderr: "inherit", detached: true },
  });
  undo.push(async () => {
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    await child.exited;
    clearTimeout(late);
  });
  const { value } = await child.stdout.getReader().read();
  if (value === undefined) throw new Error("the switch did not start");
  console.log(new TextDecoder().decode(value));
}

async function configure({ namespace, address }: End): Promise<void> {
  await run(["ip", "-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0"]);
  await run(["ip", "-n", namespace, "link", "set", "lo", "up"]);
  await run(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
}

async function ping(from: End, to: End): Promise<string> {
  const words = ["ping", "-c", String(PINGS), "-i", "0.2", "-W", "2", to.address];
  const output = await run(inside(from, words));
  const lost = /(\d+)% packet loss/.exec(output)?.[1];
  const times = /= ([\d.]+)\/([\d.]+)\/([\d.]+)/.exec(output);
  if (times === null || lost !== "0") throw new Error(`ping lost ${lost ?? "?"} % of its packets`);
  return `${PINGS} pings from ${from.name} to ${to.name}, none lost: ${times[2]} ms on average, ${times[1]} to ${times[3]}`;
}

/** A TCP transfer, by iperf3 or, without it, by a sender and a receiver of our own. */
async function transfer(from: End, to: End, undo: Undo): Promise<string> {
  const iperf = Bun.which("iperf3") !== null;
  const port = String(TRANSFER_PORT);
  const receiver = iperf
    ? ["iperf3", "-s", "-1", "-p", port, "--forceflush"]
    : [process.execPath, TRANSFER, "receive", port];
  const sender = iperf
    ? ["iperf3", "-c", to.address, "-p", port, "-t", String(TRANSFER_S), "-J"]
    : [process.execPath, TRANSFER, "send", to.address, port, String(TRANSFER_S)];
  const listening = Bun.spawn(inside(to, receiver), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  undo.push(() => listening.kill("SIGKILL"));
  // Both say a line when they listen.
  const { value } = await listening.stdout.getReader().read();
  if (value === undefined) throw new Error("the receiver of the transfer did not start");
  const output = JSON.parse(await run(inside(from, sender)));
  const rateBps: number = iperf ? output.end.sum_received.bits_per_second : output.rateBps;
  const how = iperf ? "by iperf3" : "from Bun to Bun";
  return `${(rateBps / 1e9).toFixed(2)} Gbit/s of TCP for ${TRANSFER_S} s, ${how}`;
}

function inside({ namespace }: End, words: string[]): string[] {
  return ["ip", "netns", "exec", namespace, ...words];
}

/** Runs a program to its end; returns what it printed, or throws. */
async function run(words: string[]): Promise<string> {
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 3 * PATIENCE_MS });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) === 0) return output;
  throw new Error(`${words.join(" ")}: ${errors.trim() || output.trim() || `exit ${child.exitCode}`}`);
}
