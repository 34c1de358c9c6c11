// Rules that send and copy frames against the kernel's own: small random rule sets, as ours and as tc filters where frames come into the
// ports of a bridge, and the same frames through both. What comes out of each port is the same, bytes and order.
//
//   ours    prio 2 udp dport 80 mirror p2 forward p1      prio 1 in p0 allow
//   tc      p0 -> ingress: u32 ... mirred egress mirror p2, redirect p1 | u32 ... flowid 1:1 (no action: on to the bridge) | none: as well
//
// random-tc-rules.ts has the languages and what differs in them by intent. One more difference: ours learns the source of what rules forward or
// flood, while Linux's bridge never sees it. So frames go to nobody whom a switch could have learned, but for one station that both were told of.
// Frames have one tag at most, and IPv6 has no extension headers: u32 finds nothing behind what has any length.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { closeTap, openTap } from "../../src/ports/tap/device.ts";
import { ARP, arp, big, framed, IPV4, IPV6, ip4, ip6, type Tag, udp } from "../dataplane/bridge/guard-frames.ts";
import { PlanRig } from "../dataplane/rules/plan-rig.ts";
import { useCleanup } from "../support/cleanup.ts";
import { BROADCAST, type Mac, mac, macText } from "../support/frames.ts";
import { KernelBridge, requireKernelPorts } from "../support/kernel-bridge.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { anyBothRules, POOL } from "../support/random-tc-rules.ts";
import { sized } from "../support/scale.ts";
import { requirePeer, requirePrograms, type Suite } from "../support/skip.ts";
import { PIT } from "../support/tc-filters.ts";
import { PATIENCE } from "../support/until.ts";

const PORTS = 3;
const [NOBODY, STATION] = POOL.targets;
const STATION_PORT = 1;
const LIMIT_MS = sized(120_000, 1_800_000) * PATIENCE;
const OPTIONS = [1, 1, 1, 0];

const from = <T>(pool: readonly T[]) => fc.constantFrom(...pool);
const l4Port = from(POOL.ports);

const anyTcp = fc.tuple(l4Port, l4Port, from(POOL.flags)).map(([a, b, bits]) => ({
  protocol: 6,
  bytes: [...big(a, 2), ...big(b, 2), ...Array(8).fill(1), 0x50, bits, 1, 0, 0, 0, 0, 0],
}));
const anyUdp = fc.tuple(l4Port, l4Port).map(([a, b]) => ({ protocol: 17, bytes: udp(a, b) }));
const anyIcmp = from(POOL.icmp).map((type) => ({ protocol: 1, bytes: [type, 0, 0, 0, ...Array(24).fill(0)] }));
const gre = fc.constant({ protocol: 47, bytes: Array<number>(20).fill(0) });

const anyIp4 = fc
  .record({
    source: from(POOL.ip4),
    target: from(POOL.ip4),
    dscp: from(POOL.dscp),
    fragment: from([0, 0, 0, 0x4000, 0x2000, 0x2001, 0x0007]),
    hasOptions: fc.boolean(),
    payload: fc.oneof({ arbitrary: anyTcp, weight: 2 }, { arbitrary: anyUdp, weight: 2 }, anyIcmp, gre),
  })
  .map(({ source, target, dscp, fragment, hasOptions, payload: { protocol, bytes } }) => {
    const behind = hasOptions ? [...OPTIONS, ...bytes] : bytes;
    const packet = ip4(source, target, protocol, behind, fragment);
    packet[0] += hasOptions ? 1 : 0;
    packet[1] = dscp << 2;
    return { type: IPV4, packet };
  });
const anyIp6 = fc
  .tuple(from(POOL.ip6), from(POOL.ip6), from(POOL.dscp), fc.oneof(anyTcp, anyUdp))
  .map(([source, target, dscp, { protocol, bytes }]) => {
    const packet = ip6(source, target, protocol, bytes);
    // The traffic class lies across two bytes.
    packet[0] += dscp >> 2;
    packet[1] = (dscp & 3) << 6;
    return { type: IPV6, packet };
  });
const anyArp = fc
  .tuple(from([1, 2]), from(POOL.ip4), from(POOL.ip4))
  .map(([op, a, b]) => ({ type: ARP, packet: arp(op, mac(1), a, b) }));
const other = fc.constant({ type: 0x88b5, packet: Array<number>(46).fill(3) });

const anyFrame = fc
  .tuple(
    from<Mac>([BROADCAST, NOBODY, STATION]),
    from(POOL.sources),
    from<Tag[]>([[], [], [[0x8100, 10]], [[0x88a8, 100]]]),
    fc.oneof({ arbitrary: anyIp4, weight: 4 }, { arbitrary: anyIp6, weight: 2 }, anyArp, other),
  )
  .map(([to, by, tags, { type, packet }]) => framed(to, by, type, packet, ...tags));
// Frames cost little beside loading filters.
const anyBurst = fc.array(anyFrame, { minLength: 1, maxLength: 24, size: "max" });
const anyBursts = fc.array(fc.tuple(fc.nat({ max: PORTS - 1 }), anyBurst), { minLength: 1, maxLength: 8, size: "max" });

const batch = (inside: Namespace, lines: readonly string[]) =>
  inside.run(["tc", "-batch", "-"], { stdin: `${lines.join("\n")}\n` });

/** Ports of a bridge whose ingress takes filters, and a device for what they drop. */
async function makePorts(inside: Namespace, defer: (undo: () => void) => void): Promise<KernelBridge> {
  const kernel = await KernelBridge.create(inside, PORTS);
  defer(() => kernel.close());
  await kernel.configure();
  await inside.run(["bridge", "fdb", "add", macText(STATION), "dev", `p${STATION_PORT}`, "master", "static"]);
  const pit = openTap({ name: PIT, netns: inside.path, queues: 1, offload: 0 });
  defer(() => closeTap(pit));
  await batch(
    inside,
    Array.from({ length: PORTS }, (_, k) => `qdisc add dev p${k} ingress`),
  );
  return kernel;
}

const OPTIONS_NEEDED = "CONFIG_NET_SCH_INGRESS, NET_CLS_U32, NET_ACT_MIRRED";

/** `describe` where the kernel has filters at the ingress that redirect and mirror. */
function requireTc(): Suite {
  if (Bun.which("tc") === null) return requirePrograms(["tc"], "apt install iproute2");
  const filter = "filter add dev lo ingress protocol all pref 1 u32 match u32 0 0 at 0";
  const lines = [
    "qdisc add dev lo ingress",
    `${filter} action mirred egress mirror dev lo pipe action mirred egress redirect dev lo`,
  ];
  const trial = Bun.spawnSync(["unshare", "--net", "tc", "-batch", "-"], { stdin: Buffer.from(lines.join("\n")) });
  return requirePeer("tc with u32 and mirred", trial.success, `${trial.stderr.toString().trim()} (${OPTIONS_NEEDED})`);
}

requireKernelPorts(false, requireTc)("the same rules in tc", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();

  test.each([false, true])(
    "send and copy the same frames to the same ports (with policies: %p)",
    async (bridged) => {
      const inside = await namespace();
      const kernel = await makePorts(inside, defer);
      let [bursts, decided] = [0, 0];
      await fc.assert(
        fc.asyncProperty(anyBothRules(PORTS), anyBursts, async ({ ours, tc }, sent) => {
          await batch(inside, tc);
          const plain = new PlanRig(Array.from({ length: PORTS }, () => ({})));
          const rig = new PlanRig(Array.from({ length: PORTS }, () => ({})));
          try {
            rig.station(STATION, STATION_PORT);
            if (bridged) rig.policy({ 9: { isolated: true } }, {}, ours);
            else rig.rules(ours);
            plain.station(STATION, STATION_PORT);
            for (const [port, frames] of sent) {
              const expected = rig.send(port, ...frames).map((list) => list.map((bytes) => bytes.toHex()));
              for (const bytes of frames) kernel.send(port, bytes);
              expect(await kernel.receiveAll(expected.map(({ length }) => length))).toEqual(expected);
              const unruled = plain.send(port, ...frames).map((list) => list.map((bytes) => bytes.toHex()));
              bursts++;
              if (!Bun.deepEquals(unruled, expected)) decided++;
            }
          } finally {
            rig.close();
            plain.close();
          }
        }),
        // Each frame that is missing is waited for, again and again while the failure shrinks: it has to be said before the test's own limit.
        { numRuns: sized(40, 1000), interruptAfterTimeLimit: LIMIT_MS / 2, markInterruptAsFailure: true },
      );
      // Rules that meet no frame would agree, too.
      expect(decided).toBeGreaterThan(bursts / 10);
    },
    LIMIT_MS,
  );
});
