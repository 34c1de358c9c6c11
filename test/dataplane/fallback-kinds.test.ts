// Offloads are honest between memory ports and vhost-user ports, in every direction: ten of each, one for every set of
// forms, on one switch. Each sends every form as a flood, so that all others get the same frame at once, each as it
// negotiated it. (Between memory ports alone, with exact headers and drops: fallback.test.ts; with TAP: test/real/.)

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { signal } from "../../src/sys/fd.ts";
import * as net from "../../src/uapi/virtio_net.ts";
import { VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { BROADCAST, complete, HEADER_SIZE, mac, offloaded, plainSegments, readNetHeader } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { MemorySwitch, quiet, type Received } from "../support/memory-switch.ts";
import { until } from "../support/until.ts";
import { type FrameSpec, pattern, spec4, spec6 } from "./offload/reference.ts";

type Form = "csum" | "tso4" | "tso6" | "ecn" | "uso";
const SETS: Form[][] = [
  [],
  ["csum"],
  ["csum", "tso4"],
  ["csum", "tso6"],
  ["csum", "tso4", "tso6"],
  ["csum", "tso4", "ecn"],
  ["csum", "tso6", "ecn"],
  ["csum", "tso4", "tso6", "ecn"],
  ["csum", "uso"],
  ["csum", "tso4", "tso6", "ecn", "uso"],
];
const BITS: Record<Form, number[]> = {
  csum: [net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_GUEST_CSUM],
  tso4: [net.VIRTIO_NET_F_HOST_TSO4, net.VIRTIO_NET_F_GUEST_TSO4],
  tso6: [net.VIRTIO_NET_F_HOST_TSO6, net.VIRTIO_NET_F_GUEST_TSO6],
  ecn: [net.VIRTIO_NET_F_HOST_ECN, net.VIRTIO_NET_F_GUEST_ECN],
  uso: [net.VIRTIO_NET_F_HOST_USO, net.VIRTIO_NET_F_GUEST_USO4, net.VIRTIO_NET_F_GUEST_USO6],
};
const MSS = 300;
const payload = pattern(1900);
const vlan = [{ type: 0x8100, tci: 5 }];
const CASES: { spec: FrameSpec; mss: number; needs: Form[] }[] = [
  { spec: spec4({ payload }), mss: 0, needs: ["csum"] },
  { spec: spec6({ payload: pattern(901), tags: vlan }), mss: 0, needs: ["csum"] },
  { spec: spec4({ payload, flags: 0x19 }), mss: MSS, needs: ["csum", "tso4"] },
  { spec: spec6({ payload, flags: 0x19 }), mss: MSS, needs: ["csum", "tso6"] },
  { spec: spec4({ payload, tags: vlan }), mss: MSS, needs: ["csum", "tso4"] },
  { spec: spec6({ payload, tags: vlan }), mss: MSS, needs: ["csum", "tso6"] },
  { spec: spec4({ payload, flags: 0x98 }), mss: MSS, needs: ["csum", "tso4", "ecn"] },
  { spec: spec6({ payload, flags: 0x98 }), mss: MSS, needs: ["csum", "tso6", "ecn"] },
  { spec: spec6({ payload, transport: "udp" }), mss: 0, needs: ["csum"] },
  { spec: spec4({ payload, transport: "udp" }), mss: MSS, needs: ["csum", "uso"] },
  { spec: spec6({ payload, transport: "udp" }), mss: MSS, needs: ["csum", "uso"] },
  { spec: spec4({ payload, transport: "udp", tags: vlan }), mss: MSS, needs: ["csum", "uso"] },
];

/** A driver on either side, as the test uses it. */
interface Driver {
  name: string;
  forms: Form[];
  send(frame: Uint8Array, header: Uint8Array): boolean;
  /** What has arrived. */
  drain(): Received[];
}

const scratch = mkdtempSync(join(tmpdir(), "ringyard-offload-"));
const drivers: Driver[] = [];
const frontEnds: FrontEnd[] = [];
let it: MemorySwitch;

beforeAll(async () => {
  it = new MemorySwitch(await createSwitch({}, quiet));
  for (const [k, forms] of SETS.entries()) {
    const name = `memory-${forms.join("-") || "nothing"}`;
    await it.add(name, `offload=${forms.join(",") || "none"}`);
    const send = (frame: Uint8Array, header: Uint8Array) => it.driver(name).send(frame, header);
    drivers.push({ name, forms, send, drain: () => it.drain(name) });
    drivers.push(await vhostUser(`vhost-${forms.join("-") || "nothing"}`, join(scratch, `${k}.sock`), forms));
  }
});

afterAll(async () => {
  for (const frontEnd of frontEnds) frontEnd.close();
  await it.api.close();
  rmSync(scratch, { recursive: true });
});

async function vhostUser(name: string, path: string, forms: Form[]): Promise<Driver> {
  await it.api.addPort(parsePort(name, `vhost-user:${path}`, kinds));
  const vm = new FrontEnd(path, { size: 256, features: forms.flatMap((form) => BITS[form]) });
  frontEnds.push(vm);
  await vm.connect();
  await vm.start();
  const drain = () => {
    const received: Received[] = [];
    for (let next = poll(vm); next !== null; next = poll(vm)) received.push(next);
    return received;
  };
  return { name, forms, send: (frame, header) => vm.send(frame, header), drain };
}

/** The next frame and its header, from one buffer, which is offered again. */
function poll(vm: FrontEnd): Received | null {
  const { ring, kickFd } = vm.receiveRing();
  const head = ring.takeUsed();
  if (head < 0) return null;
  const address = ring.desc.getUint32(head * 16, true) + ring.desc.getUint32(head * 16 + 4, true) * 2 ** 32;
  const size = ring.desc.getUint32(head * 16 + 8, true);
  const bytes = vm.ram.view(address, ring.usedLength).slice();
  ring.writeDescriptor(ring.add(0, size, true), address, size, VRING_DESC_F_WRITE, 0);
  if (ring.publish()) signal(kickFd);
  return { header: bytes.subarray(0, HEADER_SIZE), frame: bytes.subarray(HEADER_SIZE) };
}

/** Waits until a sender's frames are fetched and delivered. */
async function settled(name: string, rxFrames: number): Promise<void> {
  await until(`${rxFrames} frames from ${name}`, () => it.api.port(name).rxFrames === rxFrames, { everyMs: 0 });
  await it.settled();
}

const accepts = (forms: Form[], needs: Form[]) => needs.every((form) => forms.includes(form));
const hex = (received: Received[]) => received.map(({ frame }) => Buffer.from(frame).toString("hex"));

const names = SETS.flatMap((forms) => ["memory", "vhost"].map((kind) => `${kind}-${forms.join("-") || "nothing"}`));

describe.each(names.map((name, k) => [name, k] as const))("%s", (_name, k) => {
  test("reaches all others in the forms they accept", async () => {
    const sender = drivers[k];
    const from = mac(100 + k);
    let refused = 0;
    for (const [n, { spec, mss, needs }] of CASES.entries()) {
      const sent = offloaded(BROADCAST, from, spec, mss, needs.includes("ecn"));
      expect(sender.send(sent.bytes, sent.header)).toBe(true);
      await settled(sender.name, n + 1);
      const plain = mss === 0 ? [complete(BROADCAST, from, spec)] : plainSegments(BROADCAST, from, spec, mss);
      const plainHex = plain.map((bytes) => Buffer.from(bytes).toString("hex"));
      const { buffers: _, hdrLen: __, ...said } = readNetHeader(sent.header);
      if (!accepts(sender.forms, needs)) refused++;
      for (const receiver of drivers) {
        const received = receiver.drain();
        const where = `${sender.name} to ${receiver.name}, case ${n}`;
        if (receiver === sender || !accepts(sender.forms, needs)) {
          expect(received.length, where).toBe(0);
        } else if (accepts(receiver.forms, needs)) {
          expect(hex(received), where).toEqual([Buffer.from(sent.bytes).toString("hex")]);
          expect(readNetHeader(received[0].header), where).toMatchObject({ ...said, buffers: 1 });
        } else {
          expect(hex(received), where).toEqual(plainHex);
          for (const { header } of received) {
            expect([...header], where).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            expect(header.length).toBe(HEADER_SIZE);
          }
        }
      }
    }
    expect(it.api.port(sender.name).drops).toEqual(refused === 0 ? {} : { bad_header: refused });
  });
});
