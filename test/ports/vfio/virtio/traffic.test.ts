// Any traffic at all through a virtio NIC, both ways at once, on rings of any size, with a device that finishes when it likes:
// what arrives is what was sent, in order, as far as it was taken; every frame is counted once; nothing is held at the end.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_FRAME, OFFLOAD_ALL } from "../../../../src/mem/batch.ts";
import { RX_BYTES, RX_FRAMES, TX_BYTES, TX_COPIED, TX_FRAMES, TX_ZERO_COPY } from "../../../../src/mem/counters.ts";
import { TX_POSTED, TX_REAPED } from "../../../../src/mem/lane-state.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../../src/uapi/virtio_ring.ts";
import { GSO_TCPV4, NEEDS_CSUM, netHeader } from "../../../support/frames.ts";
import { sized } from "../../../support/scale.ts";
import { pattern } from "../../lane-bench.ts";
import { FakeVirtioNet, OFFERED } from "./fake-device.ts";
import { NicRig, OPTIONS, type TestFrame } from "./rig.ts";

const SUPER = netHeader({ flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 1448, csumStart: 34, csumOffset: 16 });
const LIMIT_MS = 120_000;

/** Lengths of a frame's pieces, and whether it is a super-frame (where the rings may carry them). */
const frames = fc.array(
  fc.record({
    pieces: fc.oneof(
      { weight: 6, arbitrary: fc.array(fc.integer({ min: 14, max: 700 }), { minLength: 1, maxLength: 2 }) },
      { weight: 1, arbitrary: fc.array(fc.integer({ min: 14, max: 9000 }), { minLength: 1, maxLength: 7 }) },
    ),
    seed: fc.nat(1000),
  }),
  { maxLength: 64 },
);
type Frames = typeof frames extends fc.Arbitrary<infer Value> ? Value : never;

const turns = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("send" as const), frames, direct: fc.boolean() }),
    fc.record({ do: fc.constant("arrive" as const), frames }),
    fc.record({ do: fc.constantFrom("take" as const, "drain" as const, "rebuild" as const, "sleep" as const) }),
  ),
  { minLength: 1, maxLength: 40 },
);

function made(list: Frames, forms: number): TestFrame[] {
  return list.map(({ pieces, seed }) => {
    const bytes = pieces.map((length, n) => pattern(length, seed + n));
    const length = pieces.reduce((sum, each) => sum + each, 0);
    if (length <= 1522 || forms === 0) return { pieces: forms === 0 ? [bytes[0].subarray(0, 1522)] : bytes };
    return { pieces: length > MAX_FRAME ? [bytes[0]] : bytes, header: SUPER };
  });
}

const bytesOf = ({ pieces }: TestFrame) => new Uint8Array(Buffer.concat(pieces));

test(
  "what arrives is what was sent",
  async () => {
    const property = fc.asyncProperty(
      fc.constantFrom(16, 32, 64, 256),
      fc.constantFrom(OFFLOAD_ALL, 0),
      fc.subarray([VIRTIO_NET_F_MRG_RXBUF, VIRTIO_RING_F_EVENT_IDX]),
      turns,
      async (queueSize, offload, left, steps) => {
        const fake = new FakeVirtioNet({ queueSize, features: OFFERED.filter((bit) => !left.includes(bit)) });
        const rig = new NicRig(fake, await virtioNetDriver.open(fake, { ...OPTIONS, offload }));
        const toWire: Uint8Array[] = [];
        const toSwitch: Uint8Array[] = [];
        const onWire: Uint8Array[] = [];
        const inSwitch: Uint8Array[] = [];
        try {
          // Super-frames come in merged buffers only.
          const comes = left.includes(VIRTIO_NET_F_MRG_RXBUF) ? 0 : offload;
          for (const step of steps) {
            if (step.do === "send") {
              const list = made(step.frames, offload);
              rig.reach(step.direct);
              // One at a time, so that it is known which found room.
              for (const frame of list) if (rig.send([frame]) === 1) toWire.push(bytesOf(frame));
            } else if (step.do === "arrive") {
              for (const frame of made(step.frames, comes))
                if (rig.fromWire([frame]) === 1) toSwitch.push(bytesOf(frame));
            } else if (step.do === "take") inSwitch.push(...rig.take());
            else if (step.do === "drain") onWire.push(...rig.toWire());
            else if (step.do === "sleep") {
              expect(rig.lane.arm()).toBe(inSwitch.length < toSwitch.length);
              rig.lane.disarm();
            } else {
              rig.lane.close();
              rig.openLane();
            }
          }
          inSwitch.push(...rig.takeAll());
          for (let more = rig.toWire(); more.length > 0; more = rig.toWire()) onWire.push(...more);
          expect(onWire.length).toBe(toWire.length);
          expect(inSwitch.length).toBe(toSwitch.length);
          expect(onWire.every((bytes, n) => Buffer.compare(bytes, toWire[n]) === 0)).toBe(true);
          expect(inSwitch.every((bytes, n) => Buffer.compare(bytes, toSwitch[n]) === 0)).toBe(true);
          const { counters, drops } = rig.host;
          const sum = (list: Uint8Array[]) => list.reduce((total, { length }) => total + length, 0);
          expect([counters[TX_FRAMES], counters[TX_BYTES]]).toEqual([toWire.length, sum(toWire)]);
          expect([counters[RX_FRAMES], counters[RX_BYTES]]).toEqual([toSwitch.length, sum(toSwitch)]);
          expect(counters[TX_ZERO_COPY] + counters[TX_COPIED]).toBe(toWire.length);
          for (const name of Object.keys(drops)) expect(name).toBe("no_buffer");
          rig.lane.reap();
          expect(rig.host.state[TX_REAPED]).toBe(rig.host.state[TX_POSTED]);
          expect(rig.host.state[TX_POSTED]).toBe(counters[TX_ZERO_COPY]);
          // Everything is free again: what the ring holds, it takes.
          expect(rig.fromWire([{ pieces: [pattern(60)] }])).toBe(1);
          expect(rig.take()).toEqual([pattern(60)]);
        } finally {
          rig.close();
        }
      },
    );
    await fc.assert(property, { numRuns: sized(60, 1500) });
  },
  LIMIT_MS,
);
