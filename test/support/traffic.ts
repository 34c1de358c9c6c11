// Traffic between two network namespaces: pings, TCP and UDP by iperf3, and files whose bytes are compared by hash. Each
// fails with what the program said. The device is called eth0 on both sides. Main thread of a test process.

import { join } from "node:path";
import type { Namespace } from "./netns.ts";
import { until } from "./until.ts";

const LIMIT_MS = 60_000;

/** A namespace with its addresses on the network between the ports. */
export interface Host {
  readonly inside: Namespace;
  readonly ip: string;
  readonly ip6: string;
}

/** Gives host `number` its addresses: 10.78.0.NUMBER and fd78::NUMBER. */
export async function address(inside: Namespace, number: number): Promise<Host> {
  const host = { inside, ip: `10.78.0.${number}`, ip6: `fd78::${number}` };
  await inside.configure("eth0", `${host.ip}/24`);
  await inside.ip(`addr add ${host.ip6}/64 dev eth0 nodad`);
  return host;
}

/** Pings, and fails where one is lost. `size` is the payload's; with `whole` no fragment is allowed. */
export async function ping(from: Host, to: string, size = 56, whole = false): Promise<void> {
  const words = ["-c", "5", "-i", "0.05", "-W", "5", "-s", String(size), ...(whole ? ["-M", "do"] : [])];
  const { stdout } = await from.inside.run(["ping", ...words, to]);
  if (!stdout.includes(" 0% packet loss")) throw new Error(`lost pings:\n${stdout}`);
}

interface IperfResult {
  /** Received when the sender had sent all; what was on its way then is not counted. */
  bytes: number;
  /** Of UDP: datagrams that did not arrive. */
  lost: number;
  retransmits: number;
}

/** Runs iperf3 from one host to the other; `words` are its client's. */
export async function iperf(from: Host, to: Host, ...words: string[]): Promise<IperfResult> {
  const server = to.inside.spawn(["iperf3", "-s", "-1", "--forceflush", "-B", to.ip]);
  try {
    await server.says("Server listening");
    const argv = ["iperf3", "-J", "-c", to.ip, ...words];
    const { stdout } = await from.inside.run(argv, { timeoutMs: LIMIT_MS });
    const { end } = JSON.parse(stdout);
    const received = end.sum_received ?? end.sum;
    return { bytes: received.bytes, lost: end.sum?.lost_packets ?? 0, retransmits: end.sum_sent?.retransmits ?? 0 };
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

/** Sends a file by TCP; returns `SIZE SHA256` of what arrived. */
export async function transfer(from: Host, to: Host, path: string, address = to.ip): Promise<string> {
  const sink = to.inside.spawn([process.execPath, "-e", SINK]);
  try {
    await sink.says("listening");
    await from.inside.run(["bash", "-c", `cat ${path} > /dev/tcp/${address}/7000`], { timeoutMs: LIMIT_MS });
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
