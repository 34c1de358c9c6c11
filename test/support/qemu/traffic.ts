// What guests send to one another in tests: pings, TCP by iperf3, and files whose hash tells whether they arrived whole.
// Each function fails with the guest's console when the traffic does not come through.

import { expect } from "bun:test";
import { InVain, until } from "../until.ts";
import { type Guest, TWICE_EMULATED } from "./guest.ts";

/** Where traffic goes: a guest, or a container. */
type Target = Pick<Guest, "ip">;

/** Where `transfer` expects who answers a stream with its hash: `nc -ll -p HASH_PORT -e sha256sum`. */
export const HASH_PORT = 9000;

/** Between two chunks of a slow transfer: long enough that one can see it under way, and do something then. */
const CHUNK_PAUSE_US = TWICE_EMULATED ? 3_000_000 : 100_000;

/** Starts what `measureTcp` and `transfer` talk to: an iperf3 server, and one that answers a stream with its hash. */
export async function serve(guest: Guest): Promise<void> {
  await guest.check(`iperf3 -s -D && (nc -ll -p ${HASH_PORT} -e sha256sum >/dev/null 2>&1 &)`);
  await guest.check(`until netstat -ltn | grep -q :${HASH_PORT}; do usleep 20000; done`);
  await guest.check("until netstat -ltn | grep -q :5201; do usleep 20000; done");
}

/** Five pings, or `count`, and no loss. */
export async function ping(from: Guest, to: Guest, count = 5): Promise<void> {
  const output = await from.check(`ping -c ${count} -i 0.2 ${to.ip}`, count * 200 + 15_000);
  expect(output).toContain(`${count} packets transmitted, ${count} packets received, 0% packet loss`);
}

/** Waits until a ping is answered: for the time after something was taken away. */
export async function untilReachable(from: Guest, to: Guest, timeoutMs = 20_000): Promise<void> {
  const answered = async () => (await from.run(`ping -c 1 -W 1 ${to.ip}`)).code === 0;
  await until(`${to.name} to answer ${from.name}`, answered, { timeoutMs, context: () => from.shown() });
}

/** TCP for two seconds, or as many bytes as `-n` says, the other way with `-R`; returns the bytes that arrived. */
export async function measureTcp(from: Guest, to: Target, options = ""): Promise<number> {
  const length = /(^| )-n /.test(options) ? "" : "-t 2";
  const report = await from.check(`iperf3 -c ${to.ip} ${length} -J ${options}`, 20_000);
  return JSON.parse(report).end.sum_received.bytes;
}

/** Makes a file of random bytes in the guest; returns its hash. */
export async function randomFile(guest: Guest, path: string, sizeMb: number): Promise<string> {
  await guest.check(`head -c ${sizeMb}m /dev/urandom >${path}`, 30_000);
  return hashOf(await guest.check(`sha256sum <${path}`, 30_000));
}

/** Sends a file by TCP; returns the hash of what the other side received. */
export async function transfer(from: Guest, to: Target, path: string): Promise<string> {
  return hashOf(await from.check(`nc ${to.ip} ${HASH_PORT} <${path}`, 30_000));
}

/** A transfer that goes on in the background, in chunks with pauses, and what is known of it. */
export interface SlowTransfer {
  /** Chunks of 256 KiB handed to TCP. */
  sent(): Promise<number>;
  /** Whether the other side's answer is still to come. */
  underWay(): Promise<boolean>;
  /** The hash of what the other side received, once all is there. */
  received(timeoutMs: number): Promise<string>;
}

export async function slowTransfer(from: Guest, to: Target, path: string, sizeMb: number): Promise<SlowTransfer> {
  const chunks = sizeMb * 4;
  await from.check(`rm -f answer progress
    (for i in $(seq 0 ${chunks - 1}); do
      dd if=${path} bs=256k skip=$i count=1 2>/dev/null; echo $i >progress; usleep ${CHUNK_PAUSE_US}
    done | nc ${to.ip} ${HASH_PORT} >answer) >/dev/null 2>&1 &`);
  return {
    sent: async () => Number((await from.run("cat progress")).output),
    underWay: async () => hashOf(await from.check("cat answer")) === "",
    received: async (timeoutMs) => {
      const answered = async () => hashOf((await from.run("cat answer")).output) || false;
      try {
        return await until("the answer to the transfer", answered, { timeoutMs, everyMs: 200 });
      } catch (error) {
        if (error instanceof InVain) throw error;
        // What fails while one looks is not what failed.
        const seen = await seenInside(from, to).catch(() => "and the guest says nothing more");
        throw new Error(`${(error as Error).message}\n${seen}\n${from.shown()}`);
      }
    },
  };
}

/** For the error of a transfer that stands still: where, as its sender sees it, and whether anything else still moves. */
async function seenInside(from: Guest, to: Target): Promise<string> {
  const looks = ["cat progress", "cat /proc/net/tcp", "grep virtio /proc/interrupts", "ip -s link show eth0"];
  looks.push("ip neigh", `ping -c 3 -W 2 ${to.ip}`, "grep virtio /proc/interrupts", "cat /proc/net/tcp");
  return (await from.run(looks.map((look) => `echo "+ ${look}"; ${look}`).join("\n"), 20_000)).output;
}

/** The first word of what sha256sum prints. */
function hashOf(output: string): string {
  return /^[0-9a-f]{64}/.exec(output)?.[0] ?? "";
}
