// Traffic between two network namespaces: pings, TCP and UDP by iperf3, UDP super-frames, and files whose bytes are compared by hash. Each
// fails with what the program said. The device is called eth0 on both sides. Main thread of a test process.

import { join } from "node:path";
import type { Namespace } from "./netns.ts";
import type { Background } from "./process.ts";
import { sized } from "./scale.ts";
import { until } from "./until.ts";

const LIMIT_MS = 60_000;
/** Each is two processes, which take a second to start where processors are emulated. */
const PINGS = process.env.RINGYARD_VM === undefined ? 5 : sized(2, 5);
const PING_WAIT_S = 10;
export const UDP_PORT = 7001;

/** A program that starts has to be read from the disk, too. */
const START = { timeoutMs: 30_000 };

/** A namespace with its addresses on the network between the ports. */
export interface Host {
  readonly inside: Namespace;
  readonly ip: string;
  readonly ip6: string;
}

/**
 * A neighbour is asked for once a second: for as long as a ping waits. The kernel's three are too few on a busy machine, and where they began
 * before neighbours could hear one another, there may be none left when they can.
 */
export async function askNeighbours(inside: Namespace, device: string, seconds: number): Promise<void> {
  const settings = ["ipv4", "ipv6"].map((ip) => `/proc/sys/net/${ip}/neigh/${device}/mcast_solicit`);
  await inside.run(["sh", "-c", settings.map((file) => `echo ${seconds} >${file}`).join(" && ")]);
}

/** Gives host `number` its addresses: 10.78.0.NUMBER and fd78::NUMBER. */
export async function address(inside: Namespace, number: number): Promise<Host> {
  const host = { inside, ip: `10.78.0.${number}`, ip6: `fd78::${number}` };
  await inside.configure("eth0", `${host.ip}/24`);
  await inside.ip(`addr add ${host.ip6}/64 dev eth0 nodad`);
  await askNeighbours(inside, "eth0", PING_WAIT_S);
  return host;
}

/**
 * Pings a few times, and fails where one is lost. `size` is the payload's; with `whole` no fragment is allowed. One ping to a
 * process: after the first answer, ping(8) waits for further ones only twice as long as that took.
 */
export async function ping(from: Host, to: string, size = 56, whole = false): Promise<void> {
  const words = ["-c", "1", "-W", `${PING_WAIT_S}`, "-s", String(size), ...(whole ? ["-M", "do"] : [])];
  for (let count = 0; count < PINGS; count++) await from.inside.run(["ping", ...words, to]);
}

/** Prints the size and hash of each datagram that comes to an address of the host's. */
const UDP_SINK = (address: string) => `
  const hash = (bytes) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  await Bun.udpSocket({ hostname: "${address}", port: ${UDP_PORT}, socket: {
    data(_, bytes) { console.log("datagram " + bytes.length + " " + hash(bytes)); },
  } });
  console.log("listening");`;

/**
 * Sends datagrams of 1 to 1472 bytes and some that go in fragments, and prints the same of each; some at each line that it reads, so that
 * a busy receiver's socket is never full.
 */
const UDP_SOURCE = (ip: string) => `
  const sizes = [];
  for (let size = 1; size < 6000; size += size < 1472 ? 30 + (size % 2) : 1500) sizes.push(size);
  const hash = (bytes) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const socket = await Bun.udpSocket({ connect: { hostname: "${ip}", port: ${UDP_PORT} } });
  console.log("ready");
  for await (const _ of console) {
    for (const size of sizes.splice(0, 8)) {
      const bytes = crypto.getRandomValues(new Uint8Array(size));
      if (!socket.send(bytes)) throw new Error("send");
      console.log("datagram " + size + " " + hash(bytes));
    }
    if (sizes.length === 0) console.log("sent all");
  }`;

const datagrams = (output: string) => output.match(/^datagram \d+ [0-9a-f]{64}$/gm) ?? [];

/** A socket on a host, which keeps what it prints of datagrams. */
export async function udpSink(inside: Namespace, address: string): Promise<{ sink: Background; seen(): string[] }> {
  const sink = inside.spawn([process.execPath, "-e", UDP_SINK(address)]);
  await sink.says("listening", START);
  return { sink, seen: () => datagrams(sink.output) };
}

/** Sends some 50 datagrams, and fails unless each arrives as it was. */
export async function udp(from: Host, to: Host): Promise<void> {
  const { sink, seen } = await udpSink(to.inside, "0.0.0.0");
  const source = from.inside.spawn([process.execPath, "-e", UDP_SOURCE(to.ip)]);
  try {
    await source.says("ready", START);
    for (let sent: string[] = []; !source.output.includes("sent all"); ) {
      const before = sent.length;
      source.write("\n");
      await until("the next datagrams to arrive", () => {
        sent = datagrams(source.output).sort();
        const arrived = seen().sort();
        if (sent.length > before && arrived.join() === sent.join()) return true;
        throw new Error(`${arrived.length} of ${sent.length} ${source.output.slice(-200)}`);
      });
    }
  } finally {
    await source.stop();
    await sink.stop();
  }
}

/** Sends one UDP super-frame of each size, in datagrams of `segment` bytes; returns what a sink has to print, in order. */
export async function sendSegments(
  from: Namespace,
  address: string,
  segment: number,
  sizes: readonly number[],
): Promise<string[]> {
  const program = join(import.meta.dir, "udp-segment.ts");
  const words = [program, address, UDP_PORT, segment, ...sizes].map(String);
  return datagrams((await from.run([process.execPath, ...words])).stdout);
}

/** The same to a sink on another host; fails unless every datagram arrives as it was, in order. Returns how many. */
export async function udpSegments(
  from: Host,
  to: Host,
  address: string,
  segment: number,
  sizes: readonly number[],
): Promise<number> {
  const { sink, seen } = await udpSink(to.inside, address);
  try {
    const sent = await sendSegments(from.inside, address, segment, sizes);
    await until("all datagrams to arrive in order", () => {
      if (sent.length > 0 && seen().join() === sent.join()) return true;
      throw new Error(`${seen().length} of ${sent.length}`);
    });
    return sent.length;
  } finally {
    await sink.stop();
  }
}

/**
 * Runs iperf3 from one host to the other; `words` are its client's. Returns the bytes received by the time the sender had
 * sent all: what was on its way then is not in it.
 */
export async function iperf(from: Host, to: Host, ...words: string[]): Promise<number> {
  const server = to.inside.spawn(["iperf3", "-s", "-1", "--forceflush", "-B", to.ip]);
  try {
    await server.says("Server listening");
    const argv = ["iperf3", "-J", "-c", to.ip, ...words];
    const { stdout } = await from.inside.run(argv, { timeoutMs: LIMIT_MS });
    const { end } = JSON.parse(stdout);
    return (end.sum_received ?? end.sum).bytes;
  } finally {
    await server.stop();
  }
}

/** Receives one TCP connection and prints what came as `SIZE SHA256`. */
const SINK = `
  const hash = new Bun.CryptoHasher("sha256");
  let size = 0;
  const listener = Bun.listen({ hostname: "::", port: 7000, socket: {
    data(_, bytes) { hash.update(bytes); size += bytes.length; },
    close() { console.log(size + " " + hash.digest("hex")); listener.stop(); },
  } });
  console.log("listening");`;

/** Sends a file by TCP, or what the shell's `source` prints; returns `SIZE SHA256` of what arrived. */
export async function transfer(
  from: Host,
  to: Host,
  path: string,
  address = to.ip,
  source = `cat ${path}`,
): Promise<string> {
  const sink = to.inside.spawn([process.execPath, "-e", SINK]);
  try {
    await sink.says("listening", START);
    await from.inside.run(["bash", "-c", `${source} > /dev/tcp/${address}/7000`], { timeoutMs: LIMIT_MS });
    return await until("the file to arrive", () => /^\d+ [0-9a-f]{64}$/m.exec(sink.output)?.[0], {
      timeoutMs: LIMIT_MS,
      context: () => sink.output,
    });
  } finally {
    await sink.stop();
  }
}

/** A file of `size` random bytes in `folder`, and the `SIZE SHA256` of it. */
export async function randomFile(folder: string, size: number): Promise<{ path: string; print: string }> {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  const path = join(folder, "random");
  await Bun.write(path, bytes);
  return { path, print: `${size} ${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}` };
}
