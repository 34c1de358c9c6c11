// The law of the switch, rx + copies = tx + drops, and who gets what, for sequences of anything that anybody may do.
//
//   one at a time   a model of a learning switch (law-model.ts) says the fate of every frame and every drop
//   all at once     bursts from all ports with headers of noise, while ports and links change: only the law can be told
//
// A sequence that fails is printed with its seed and shrunk.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { createSwitch } from "../../src/control/switch.ts";
import { BROADCAST, frame, mac, macText, offloaded, type Sent } from "../support/frames.ts";
import { MemorySwitch, quiet } from "../support/memory-switch.ts";
import { sized } from "../support/scale.ts";
import {
  anyChange,
  anyPort,
  anySend,
  anySource,
  anyTarget,
  type Change,
  Model,
  NAMES,
  PORTS,
  type Send,
} from "./law-model.ts";
import { anySpec } from "./offload/reference.ts";

const LIMIT_MS = sized(60_000, 1_200_000);

/** Both at once; checks that they agree. */
class Pair {
  readonly model = new Model();

  constructor(readonly real: MemorySwitch) {}

  async apply(action: Send | Change): Promise<void> {
    const { model, real } = this;
    const name = "port" in action && action.port !== null ? NAMES[action.port] : "";
    const there = "port" in action && action.port !== null && model.ports.has(action.port);
    if (action.do === "send" && there) {
      const bytes = frame(action.to, action.from, 2036, real.sent & 0xff).subarray(0, action.size);
      expect(real.trySend(name, bytes)).toBe(true);
      model.send(action, bytes);
      await real.settled();
    } else if (action.do === "link" && there) {
      await real.api.setPort(name, { link: action.up ? "up" : "down" });
      model.ports.get(action.port)!.up = action.up;
    } else if (action.do === "remove" && there) {
      await real.api.removePort(name);
      model.ports.delete(action.port);
      model.forget(action.port, true);
    } else if (action.do === "add" && !there) {
      await real.add(name, PORTS[action.like].query);
      model.add(action.port, action.like);
    } else if (action.do === "static" && there) {
      real.api.fdbAdd(macText(action.mac), name);
      model.stations.set(macText(action.mac), { port: action.port, static: true });
    } else if (action.do === "forget" && model.stations.delete(macText(action.mac))) {
      real.api.fdbDelete(macText(action.mac));
    } else if (action.do === "flush" && (there || action.port === null)) {
      await real.api.fdbFlush(action.port === null ? undefined : name);
      model.forget(action.port, false);
    } else if (action.do === "drain" && there) this.drain(action.port);
  }

  drain(port: number): void {
    const expected = this.model.ports.get(port)!;
    const got = this.real.drain(NAMES[port]).map((received) => Buffer.from(received.frame).toString("hex"));
    expect(got).toEqual(expected.got);
    expected.room += got.length;
    expected.got = [];
  }

  async check(): Promise<void> {
    for (const [port, { drops }] of this.model.ports) {
      this.drain(port);
      expect(this.real.drops(NAMES[port])).toEqual(drops);
    }
    const { entries } = await this.real.api.fdb();
    const table = entries.map((entry) => [entry.mac, `${entry.port} ${entry.static}`] as const);
    const expected = [...this.model.stations].map(([at, it]) => [at, `${NAMES[it.port]} ${it.static}`] as const);
    expect(Object.fromEntries(table)).toEqual(Object.fromEntries(expected));
  }
}

test(
  "every frame's fate is what the rules say, one at a time",
  async () => {
    const actions = fc.array(fc.oneof({ weight: 3, arbitrary: anySend }, anyChange), { maxLength: 80, size: "max" });
    const run = async (steps: (Send | Change)[]) => {
      const real = new MemorySwitch(await createSwitch({}, quiet));
      try {
        const pair = new Pair(real);
        for (const [port] of NAMES.entries()) await pair.apply({ do: "add", port, like: port % PORTS.length });
        for (const step of steps) await pair.apply(step);
        await pair.check();
      } finally {
        await real.api.close();
      }
    };
    await fc.assert(fc.asyncProperty(actions, run), { numRuns: sized(25, 2_000) });
  },
  LIMIT_MS,
);

/** A header that may be anything, often something that could be meant. */
const anyHeader = fc.oneof(
  fc.constant(new Uint8Array(12)),
  fc.uint8Array({ minLength: 12, maxLength: 12 }),
  fc
    .tuple(
      fc.constantFrom(0, 1, 3),
      fc.constantFrom(0, 1, 3, 4, 5, 0x81, 0x84, 0x85),
      fc.integer({ max: 1500, min: 0 }),
    )
    .map(([flags, gso, size]) => Uint8Array.of(flags, gso, 54, 0, size & 255, size >> 8, 34, 0, 16, 0, 0, 0)),
);
const noiseSend = fc.record({
  do: fc.constant("send" as const),
  port: anyPort,
  to: anyTarget,
  from: anySource,
  body: fc.uint8Array({ maxLength: 200 }),
  size: fc.constantFrom(13, 14, 20, 60, 122, 123, 1514, 2036, 9000, 65557),
  header: anyHeader,
  /** In place of the noise: a frame that can be completed or cut. */
  whole: fc.option(
    fc.record({ spec: fc.oneof(anySpec(1500), anySpec(1500, "udp")), mss: fc.constantFrom(0, 12, 48, 500, 1400) }),
  ),
  count: fc.integer({ min: 1, max: 40 }),
});
type NoiseSend = typeof noiseSend extends fc.Arbitrary<infer T> ? T : never;
const OFFLOADS = ["", "offload=csum,tso4,tso6,ecn,uso", "offload=csum", "size=4&offload=csum,tso4,uso", "mtu=100"];

function noise({ to, from, size, body, header, whole }: NoiseSend): Sent {
  if (whole !== null) return offloaded(to, from, whole.spec, whole.mss);
  const bytes = frame(to, from, Math.max(14, size));
  bytes.set(body.subarray(0, bytes.length - 14), 14);
  return { bytes: bytes.subarray(0, size), header };
}

/** Does one thing to the switch without waiting for what comes of it. `open`: the ports that are there. */
async function disturb(real: MemorySwitch, open: Set<string>, step: NoiseSend | Change): Promise<void> {
  if (step.do === "flush") await real.api.fdbFlush();
  if (!("port" in step) || step.port === null) return;
  const name = NAMES[step.port];
  if (step.do === "add" && !open.has(name)) {
    await real.add(name, OFFLOADS[step.port]);
    open.add(name);
  }
  if (!open.has(name)) return;
  if (step.do === "send") {
    const { bytes, header } = noise(step);
    for (let n = 0; n < step.count; n++) real.trySend(name, bytes, header);
  } else if (step.do === "link") await real.api.setPort(name, { link: step.up ? "up" : "down" });
  else if (step.do === "static") real.api.fdbAdd(macText(step.mac), name);
  else if (step.do === "drain") real.drain(name);
  else if (step.do === "remove") {
    // What the driver has sent and nobody fetched yet goes with the port.
    await real.settled();
    await real.api.removePort(name);
    open.delete(name);
  }
}

test(
  "nothing is unaccounted for, whatever comes all at once",
  async () => {
    const actions = fc.array(fc.oneof({ weight: 4, arbitrary: noiseSend }, anyChange), { maxLength: 60, size: "max" });
    const workers = fc.constantFrom<number[]>([], [0, 1]);
    const run = async (cpus: number[], steps: (NoiseSend | Change)[]) => {
      const real = new MemorySwitch(await createSwitch({ cpus }, quiet));
      try {
        for (const [port, name] of NAMES.entries()) await real.add(name, OFFLOADS[port]);
        const open = new Set(NAMES);
        for (const step of steps) await disturb(real, open, step);
        await real.settled();
      } finally {
        await real.api.close();
      }
    };
    await fc.assert(fc.asyncProperty(workers, actions, run), { numRuns: sized(25, 2_000) });
  },
  LIMIT_MS,
);

test("a frame that is counted nowhere is noticed", async () => {
  const real = new MemorySwitch(await createSwitch({}, quiet));
  try {
    for (const name of ["a", "b"]) await real.add(name);
    real.send("a", frame(BROADCAST, mac(1)));
    await real.settled();
    real.sent++;
    await expect(real.settled(100)).rejects.toThrow("rx + copies = tx + drops");
  } finally {
    await real.api.close();
  }
});
