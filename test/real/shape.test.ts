// Shaping between kernels: containers on TAP ports, one of which gets less than the others send. Rates are what the receiving kernel's
// device counted, or, of flows beside one another, its sockets. A slow rate: neither a busy machine nor the buffer of a socket, which
// is the same for every test, takes part then.

import { beforeAll, expect, test } from "bun:test";
import { useNamespaces } from "../support/netns.ts";
import { requirePrograms } from "../support/skip.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { requireTap } from "../support/tap.ts";
import { address, type Host } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

/** A single step has limits of its own and fails with what it waited for. */
const LIMIT_MS = 120_000 * PATIENCE;
const MBIT = 1_000_000;
const RATE = 10 * MBIT;
const SECONDS = 4;
const PINGS = 50;
const EXPEDITED = "0xb8";
/** Half a second of the rate: a worker that gets no processor for so long catches up. */
const LARGE_BURST = "5 Mbit";
/** Less than a socket's buffer. */
const SMALL_BURST = "500 kbit";

interface Ended {
  /** Payload a second at the receiver. */
  rate: number;
  sent: number;
}

/** iperf3 from one host to the other, on a TCP port of its own. `words` come last: of an option given twice, the second holds. */
async function traffic(from: Host, to: Host, port: number, ...words: string[]): Promise<Ended> {
  const server = to.inside.spawn(["iperf3", "-s", "-1", "--forceflush", "-B", to.ip, "-p", `${port}`]);
  try {
    await server.says("Server listening");
    const argv = ["iperf3", "-J", "-c", to.ip, "-p", `${port}`, "-t", `${SECONDS}`, ...words];
    const { stdout } = await from.inside.run(argv);
    const { sum_received, sum } = JSON.parse(stdout).end;
    return { rate: sum_received.bits_per_second, sent: sum?.packets ?? 0 };
  } finally {
    await server.stop();
  }
}

const datagrams = (rate: number, ...words: string[]) => ["-u", "-b", `${rate}`, "-l", "1400", ...words];

/**
 * Pings lost, and the median of the others' times. With -w, ping(8) goes on until it has so many answers: else it waits for the last
 * ones only twice as long as the slowest before took.
 */
async function pings(from: Host, to: Host, ...words: string[]): Promise<{ lost: number; medianMs: number }> {
  const argv = ["ping", "-c", `${PINGS}`, "-i", "0.02", "-w", "5", ...words, to.ip];
  const { stdout } = await from.inside.run(argv, { allowFailure: true });
  const answers = new Map<number, number>();
  for (const [, number, ms] of stdout.matchAll(/icmp_seq=(\d+) .*time=([\d.]+)/g)) {
    if (Number(number) <= PINGS) answers.set(Number(number), Number(ms));
  }
  const times = [...answers.values()].sort((a, b) => a - b);
  return { lost: PINGS - answers.size, medianMs: times[times.length >> 1] ?? Infinity };
}

/** Bits of frames that a container's device has received, and between which two moments that was so: a busy machine may have seconds there. */
async function received({ inside }: Host): Promise<{ bits: number; before: number; after: number }> {
  const before = performance.now();
  const [{ stats64 }] = JSON.parse(await inside.ip("-s -json link show eth0"));
  return { bits: stats64.rx.bytes * 8, before, after: performance.now() };
}

const suite = (label: string, body: () => void) =>
  requireTap()(label, () => requirePrograms(["ping", "iperf3"], "apt install iputils-ping iperf3")("traffic", body));

suite("a container whose port has a shape", () => {
  const namespace = useNamespaces();
  const startSwitch = useSwitch();
  let ringyard: SwitchProcess;
  let a: Host;
  let b: Host;

  beforeAll(async () => {
    const [first, second] = [await namespace(), await namespace()];
    ringyard = await startSwitch({ a: `tap:eth0?netns=${first.name}`, b: `tap:eth0?netns=${second.name}` });
    [a, b] = [await address(first, 1), await address(second, 2)];
    await ringyard.ctl("port", "set", "a", "trust=dscp");
  }, LIMIT_MS);

  const shape = (burst: string, scheduler = "strict") =>
    ringyard.ctl("port", "set", "b", `shape=${RATE / MBIT} Mbit/s burst ${burst}`, `scheduler=${scheduler}`);
  const overflowed = async () => (await ringyard.port("b")).limits!.shape.dropped;

  /** Runs `action` while twice the rate is sent, from when the queue overflows on. */
  async function underFlood<T>(action: () => Promise<T>, seconds = SECONDS): Promise<T> {
    const before = await overflowed();
    const flood = traffic(a, b, 5201, ...datagrams(2 * RATE), "-t", `${seconds}`);
    try {
      await until("the queue to overflow", async () => (await overflowed()) > before);
      return await action();
    } finally {
      await flood;
    }
  }

  test(
    "gets its rate, though twice as much is sent",
    async () => {
      await shape(LARGE_BURST);
      await underFlood(async () => {
        const first = await received(b);
        const last = await until("four seconds' worth", async () => {
          const now = await received(b);
          return now.bits - first.bits > 4 * RATE && now;
        });
        const bits = 1000 * (last.bits - first.bits);
        expect(bits / (last.before - first.after) / RATE).toBeGreaterThan(0.85);
        expect(bits / (last.after - first.before) / RATE).toBeLessThan(1.15);
      }, 2 * SECONDS);
      await ringyard.lawful();
      const { drops, limits } = await ringyard.port("b");
      expect(drops).toEqual({ queue_full: limits!.shape.dropped });
    },
    LIMIT_MS,
  );

  test(
    "gets what is below its rate whole",
    async () => {
      await shape(LARGE_BURST);
      // Of two ports at one moment: the kernels speak now and then of their own, also between two questions.
      const figures = () =>
        until("a moment without frames", async () => {
          const { rxFrames } = await ringyard.port("a");
          await ringyard.lawful();
          const { drops, limits } = await ringyard.port("b");
          const { frames, waiting } = limits!.shape;
          const quiet = waiting === 0 && (await ringyard.port("a")).rxFrames === rxFrames;
          return quiet && { rxFrames, drops, left: frames };
        });
      const before = await figures();
      const { sent } = await traffic(a, b, 5201, ...datagrams(RATE / 4));
      // By the switch's own books: a socket may lose some where its program is late.
      const after = await figures();
      expect(sent).toBeGreaterThan(0);
      expect(after.left - before.left).toBe(after.rxFrames - before.rxFrames);
      expect(after.drops).toEqual(before.drops);
    },
    LIMIT_MS,
  );

  test(
    "has TCP fill it without exceeding it",
    async () => {
      await shape(SMALL_BURST);
      const { rate } = await traffic(a, b, 5201);
      expect(rate / RATE).toBeGreaterThan(0.7);
      expect(rate / RATE).toBeLessThan(1.15);
    },
    LIMIT_MS,
  );

  test(
    "gets expedited pings whole and soon, however much of the rest waits",
    async () => {
      await shape(SMALL_BURST);
      await underFlood(async () => {
        const [high, low] = await Promise.all([pings(a, b, "-Q", EXPEDITED), pings(a, b)]);
        expect(high.lost).toBe(0);
        expect(low.lost > 0 || low.medianMs > 2 * high.medianMs).toBe(true);
      });
    },
    LIMIT_MS,
  );

  test(
    "shares its rate by weights between two floods",
    async () => {
      await shape(SMALL_BURST, "1,1,1,1,1,3,1,1");
      const [low, high] = await Promise.all([
        traffic(a, b, 5201, ...datagrams(RATE)),
        traffic(a, b, 5202, ...datagrams(RATE, "--tos", EXPEDITED)),
      ]);
      // Far from both 1 and 3 times: streams do not begin and end together.
      expect(high.rate / low.rate).toBeGreaterThan(1.5);
      expect(high.rate / low.rate).toBeLessThan(4);
    },
    LIMIT_MS,
  );
});
