// Offloads between a VM's driver on a vhost-user port and a kernel's stack behind a TAP port: what one may leave to the
// switch reaches the other complete where it must be. (Memory and TAP ports: offload.test.ts; QEMU guests: qemu.test.ts.)

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { signal } from "../../src/sys/fd.ts";
import * as net from "../../src/uapi/virtio_net.ts";
import { VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { HEADER_SIZE, mac, macText } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { type MemorySwitch, type Received, useMemorySwitch } from "../support/memory-switch.ts";
import { useNamespaces } from "../support/netns.ts";
import { requirePrograms } from "../support/skip.ts";
import { requireTap } from "../support/tap.ts";
import { TcpSink } from "../support/tcp-sink.ts";
import { PATIENCE } from "../support/until.ts";

const SIZE = 300_000;
const PEER = mac(0xee);
const LIMIT_MS = 60_000 * PATIENCE;
const CSUM = [net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_GUEST_CSUM];
const directory = mkdtempSync(join(tmpdir(), "ringyard-offload-vm-"));
afterAll(() => rmSync(directory, { recursive: true }));

const suite = (label: string, body: () => void) =>
  requireTap()(label, () => requirePrograms(["bash"], "apt install bash")("traffic", body));

suite("TAP and vhost-user ports", () => {
  const start = useMemorySwitch();
  const namespace = useNamespaces();

  /** A front end as the little TCP peer of tcp-sink.ts wants its port. */
  function asPort(vm: FrontEnd): Pick<MemorySwitch, "drain" | "send"> {
    const next = (): Received | null => {
      const { ring, kickFd } = vm.receiveRing();
      const head = ring.takeUsed();
      if (head < 0) return null;
      const address = ring.desc.getUint32(head * 16, true) + ring.desc.getUint32(head * 16 + 4, true) * 2 ** 32;
      const size = ring.desc.getUint32(head * 16 + 8, true);
      const bytes = vm.ram.view(address, ring.usedLength).slice();
      ring.writeDescriptor(ring.add(0, size, true), address, size, VRING_DESC_F_WRITE, 0);
      if (ring.publish()) signal(kickFd);
      return { header: bytes.subarray(0, HEADER_SIZE), frame: bytes.subarray(HEADER_SIZE) };
    };
    return {
      drain: () => {
        const received: Received[] = [];
        for (let it = next(); it !== null; it = next()) received.push(it);
        return received;
      },
      send: (_, ...frames) => {
        for (const frame of frames) expect(vm.send(frame)).toBe(true);
      },
    };
  }

  const DRIVERS = [
    ["everything", []],
    ["all but checksums", CSUM],
  ] as const;
  const KERNELS = ["none", "csum", "csum,ecn,tso4,tso6"];
  const PAIRS = DRIVERS.flatMap(([wants, features]) => KERNELS.map((offload) => [wants, offload, features] as const));

  test.each(PAIRS)(
    "a driver that wants %s done gets TCP whole from a kernel with offload=%s",
    async (_wants, offload, features) => {
      const [it, inside] = [await start({}), await namespace()];
      const path = join(directory, `${inside.name}.sock`);
      await it.api.addPort(parsePort("vm", `vhost-user:${path}`, kinds));
      await it.api.addPort(parsePort("tap", `tap:eth0?netns=${inside.name}&offload=${offload}`, kinds));
      await inside.configure("eth0", "10.79.0.1/24");
      await inside.ip(`neigh add 10.79.0.2 lladdr ${macText(PEER)} dev eth0 nud permanent`);
      it.api.fdbAdd(macText(PEER), "vm");
      const vm = new FrontEnd(path, { size: 256, features });
      try {
        await vm.connect();
        await vm.start();
        // The sink checks every checksum, and completes those that are said to be partial; whether they may be is looked at below.
        const sink = new TcpSink(asPort(vm), "vm", { mac: [...PEER], address: [10, 79, 0, 2] });
        const sender = inside.spawn(["bash", "-c", `head -c ${SIZE} /dev/zero | tr '\\0' r > /dev/tcp/10.79.0.2/7`]);
        await sink.finish("the whole stream", () => sender.output);
        await sender.stop();
        expect(Buffer.concat(sink.data).equals(Buffer.alloc(SIZE, "r"))).toBe(true);
        for (const { header } of sink.segments) {
          expect(header.gsoType).toBe(0);
          if (features.length === 0 || offload === "none") expect(header.flags).toBe(0);
        }
        if (features.length > 0 && offload !== "none") {
          expect(sink.segments.some(({ header }) => header.flags === 1)).toBe(true);
        }
        const { copies } = it.api.stats().totals;
        if (offload.includes("tso4")) expect(copies).toBeGreaterThan(50);
      } finally {
        vm.close();
      }
    },
    LIMIT_MS,
  );
});
