// A lane on a real TAP device, with the kernel's network stack at its other end: it answers what is delivered, and what it
// sends is fetched. The test is the neighbour 10.77.0.2; the kernel, in a namespace of its own, is 10.77.0.1.

import { expect, test } from "bun:test";
import { OFFLOAD_ALL, OFFLOAD_CSUM } from "../../src/mem/batch.ts";
import { RX_FRAMES, TX_FRAMES } from "../../src/mem/counters.ts";
import type { Lane } from "../../src/ports/port.ts";
import { closeTap, openTap, type TapDevice } from "../../src/ports/tap/device.ts";
import { createTapLane } from "../../src/ports/tap/lane.ts";
import { EPOLLIN, EpollWaiter, epollAdd, epollCreate } from "../../src/sys/epoll.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { requireTap, TAP_NAME } from "../support/tap.ts";
import { until } from "../support/until.ts";
import { LaneBench, pattern } from "./lane-bench.ts";

const NAME = TAP_NAME;
const NO_IPV6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
const KERNEL_MAC = [2, 0, 0, 0, 0, 1];
const OUR_MAC = [2, 0, 0, 0, 0, 2];
const KERNEL_IP = [10, 77, 0, 1];
const OUR_IP = [10, 77, 0, 2];
const IPV4 = [8, 0];
const ARP = [8, 6];

const ARP_REQUEST = Uint8Array.from([
  ...[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...OUR_MAC, ...ARP],
  ...[0, 1, 8, 0, 6, 4, 0, 1, ...OUR_MAC, ...OUR_IP, 0, 0, 0, 0, 0, 0, ...KERNEL_IP],
]);

/** RFC 1071, over big-endian words. */
function checksum(bytes: Uint8Array): [number, number] {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += (bytes[index] << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return [(~sum >> 8) & 0xff, ~sum & 0xff];
}

/** Ethernet and IPv4 headers, and an ICMP echo request with `payload`. */
function echoRequest(payload: Uint8Array): [Uint8Array, Uint8Array] {
  const icmp = Uint8Array.from([8, 0, 0, 0, 0, 7, 0, 1, ...payload]);
  icmp.set(checksum(icmp), 2);
  const size = 20 + icmp.length;
  const ip = Uint8Array.from([0x45, 0, size >> 8, size & 0xff, 0, 0, 0, 0, 64, 1, 0, 0, ...OUR_IP, ...KERNEL_IP]);
  ip.set(checksum(ip), 10);
  return [Uint8Array.from([...KERNEL_MAC, ...OUR_MAC, ...IPV4, ...ip]), icmp];
}

const isType = (frame: Uint8Array, type: number[]) => frame[12] === type[0] && frame[13] === type[1];

requireTap()("a lane and the kernel", () => {
  const namespace = useNamespaces();

  interface Neighbours {
    inside: Namespace;
    device: TapDevice;
    bench: LaneBench;
    lanes: Lane[];
  }

  async function withLanes(
    settings: { queues?: number; offload?: number },
    use: (neighbours: Neighbours) => unknown,
  ): Promise<void> {
    const inside = await namespace();
    // No neighbour discovery and no router solicitations among the frames that are counted.
    await inside.run(["sh", "-c", `[ ! -e ${NO_IPV6} ] || echo 1 > ${NO_IPV6}`]);
    const { queues = 1, offload = OFFLOAD_ALL } = settings;
    const device = openTap({ name: NAME, netns: inside.path, mac: "02:00:00:00:00:01", queues, offload });
    const bench = new LaneBench();
    const lanes = device.fds.map((fd) => createTapLane({ driver: "tap", fd, accepts: OFFLOAD_ALL }, bench.context()));
    try {
      await inside.ip(`addr add 10.77.0.1/24 dev ${NAME}`);
      await inside.ip(`neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev ${NAME}`);
      await use({ inside, device, bench, lanes });
    } finally {
      for (const lane of lanes) lane.close();
      bench.give();
      closeTap(device);
    }
  }

  /** The next frame that matches, from any of the lanes. */
  function fetched({ bench, lanes }: Neighbours, what: string, matches: (frame: Uint8Array) => boolean) {
    return until(what, () => {
      for (const lane of lanes) {
        bench.batch.reset();
        const count = lane.fetch(bench.batch);
        for (let i = 0; i < count; i++) if (matches(bench.frame(i))) return { i, frame: bench.frame(i) };
      }
    });
  }

  test("an ARP request is answered", () =>
    withLanes({}, async (neighbours) => {
      const { bench, lanes } = neighbours;
      bench.put(ARP_REQUEST);
      expect(lanes[0].deliver(bench.batch, bench.all, 1)).toBe(1);
      const { frame } = await fetched(neighbours, "the answer", (bytes) => isType(bytes, ARP) && bytes[21] === 2);
      expect([...frame.subarray(0, 14)]).toEqual([...OUR_MAC, ...KERNEL_MAC, ...ARP]);
      expect([...frame.subarray(28, 32)]).toEqual(KERNEL_IP);
      expect(bench.counters[TX_FRAMES]).toBe(1);
      expect(bench.drops).toEqual({});
    }));

  test("a burst of echo requests in two pieces each is answered, byte for byte", () =>
    withLanes({}, async (neighbours) => {
      const { bench, lanes } = neighbours;
      const payloads = Array.from({ length: 32 }, (_, n) => pattern(10 + n * 40, n));
      for (const payload of payloads) bench.put(...echoRequest(payload));
      expect(lanes[0].deliver(bench.batch, bench.all, 32)).toBe(32);
      const replies: Uint8Array[] = [];
      await fetched(neighbours, "all answers", (frame) => {
        if (isType(frame, IPV4) && frame[34] === 0) replies.push(frame.slice(42));
        return replies.length === payloads.length;
      });
      expect(replies).toEqual(payloads);
      expect(bench.counters[RX_FRAMES]).toBe(32);
    }));

  for (const [offload, needs] of [
    [OFFLOAD_ALL, OFFLOAD_CSUM],
    [0, 0],
  ]) {
    test(`what the kernel sends with form set ${offload} needs ${needs}`, () =>
      withLanes({ offload }, async (neighbours) => {
        const { bench, inside } = neighbours;
        await inside.run(["bash", "-c", "printf 'some bytes' > /dev/udp/10.77.0.2/7000"]);
        const { i, frame } = await fetched(
          neighbours,
          "the datagram",
          (bytes) => isType(bytes, IPV4) && bytes[23] === 17,
        );
        expect(bench.batch.needs[i]).toBe(needs);
        expect(bench.batch.anyNeeds).toBe(needs);
        const size = frame.length - 34;
        const sum = checksum(
          Uint8Array.from([...frame.subarray(26, 34), 0, 17, size >> 8, size & 0xff, ...frame.subarray(34)]),
        );
        // Complete, it sums up to zero over the pseudo-header.
        if (needs === 0) expect(sum).toEqual([0, 0]);
        else expect([bench.batch.csumStart[i], bench.batch.csumOffset[i]]).toEqual([34, 6]);
      }));
  }

  test("the descriptor wakes a sleeper as long as frames wait", () =>
    withLanes({}, async (neighbours) => {
      const { bench, lanes } = neighbours;
      const waiter = new EpollWaiter(epollCreate());
      try {
        epollAdd(waiter.epfd, lanes[0].wakeFd, EPOLLIN, 5);
        expect([lanes[0].wakeEdge, lanes[0].arm()]).toEqual([false, false]);
        expect(waiter.wait(0)).toBe(0);
        bench.put(ARP_REQUEST);
        lanes[0].deliver(bench.batch, bench.all, 1);
        for (let asked = 0; asked < 2; asked++) expect(waiter.wait(10_000)).toBe(1);
        expect(waiter.token(0)).toBe(5);
        bench.batch.reset();
        expect(lanes[0].fetch(bench.batch)).toBe(1);
        expect(waiter.wait(0)).toBe(0);
      } finally {
        waiter.close();
      }
    }));

  test("each queue carries frames both ways", () =>
    withLanes({ queues: 3 }, async (neighbours) => {
      const { bench, lanes } = neighbours;
      for (const lane of lanes) {
        bench.batch.reset();
        bench.put(...echoRequest(pattern(64, lanes.indexOf(lane))));
        expect(lane.deliver(bench.batch, bench.all, 1)).toBe(1);
        const { frame } = await fetched(neighbours, "an answer", (bytes) => isType(bytes, IPV4) && bytes[34] === 0);
        expect(frame.slice(42)).toEqual(pattern(64, lanes.indexOf(lane)));
      }
    }));

  test("a device that was moved goes on", () =>
    withLanes({}, async (neighbours) => {
      const { bench, inside, lanes } = neighbours;
      const elsewhere = await namespace();
      await inside.ip(`link set ${NAME} netns ${elsewhere.name}`);
      await elsewhere.configure(NAME, "10.77.0.1/24");
      bench.put(ARP_REQUEST);
      expect(lanes[0].deliver(bench.batch, bench.all, 1)).toBe(1);
      await fetched(neighbours, "the answer", (bytes) => isType(bytes, ARP) && bytes[21] === 2);
    }));

  test("frames to a device that is down, and to one that is gone, are counted", () =>
    withLanes({}, async ({ bench, inside, lanes }) => {
      bench.put(ARP_REQUEST);
      await inside.ip(`link set ${NAME} down`);
      expect(lanes[0].deliver(bench.batch, bench.all, 1)).toBe(0);
      expect(bench.drops).toEqual({ link_down: 1 });
      await inside.ip(`link del ${NAME}`);
      expect(lanes[0].deliver(bench.batch, bench.all, 1)).toBe(0);
      expect(bench.drops).toEqual({ link_down: 2 });
      bench.batch.reset();
      expect(lanes[0].fetch(bench.batch)).toBe(0);
    }));
});
