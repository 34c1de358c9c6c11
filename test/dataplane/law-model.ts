// What may be done to a switch of five memory ports, as arbitraries, and a model that says what becomes of each frame when
// one is sent at a time. Written from the rules of a learning switch, with maps; it shares nothing with src.

import fc from "fast-check";
import { BROADCAST, type Mac, mac, macText } from "../support/frames.ts";

export const NAMES = ["a", "b", "c", "d", "e"];
const STATIONS: Mac[] = [1, 2, 3, 4, 5, 6].map(mac);
const RESERVED: Mac = [0x01, 0x80, 0xc2, 0, 0, 0];
const MULTICAST: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ZERO: Mac = [0, 0, 0, 0, 0, 0];
/** Query and limits of a port; `size` is the ring's, `longest` what goes through. */
export const PORTS = [
  { query: "", size: 256, longest: 2036 },
  { query: "mtu=100", size: 256, longest: 122 },
  { query: "size=4", size: 4, longest: 2036 },
];

export const anyPort = fc.integer({ min: 0, max: NAMES.length - 1 });
const anyStation = fc.constantFrom(...STATIONS);
export const anyTarget = fc.oneof(
  { weight: 4, arbitrary: anyStation },
  fc.constantFrom(BROADCAST, MULTICAST, RESERVED),
);
export const anySource = fc.oneof({ weight: 8, arbitrary: anyStation }, fc.constantFrom(BROADCAST, MULTICAST, ZERO));
const anySize = fc.constantFrom(13, 14, 60, 122, 123, 1514, 2036);
export const anySend = fc.record({
  do: fc.constant("send" as const),
  port: anyPort,
  to: anyTarget,
  from: anySource,
  size: anySize,
});
export const anyChange = fc.oneof(
  fc.record({ do: fc.constant("link" as const), port: anyPort, up: fc.boolean() }),
  fc.record({ do: fc.constant("remove" as const), port: anyPort }),
  fc.record({ do: fc.constant("add" as const), port: anyPort, like: fc.integer({ min: 0, max: PORTS.length - 1 }) }),
  fc.record({ do: fc.constant("static" as const), port: anyPort, mac: anyStation }),
  fc.record({ do: fc.constant("forget" as const), mac: anyStation }),
  fc.record({ do: fc.constant("flush" as const), port: fc.option(anyPort) }),
  fc.record({ do: fc.constant("drain" as const), port: anyPort }),
);
export type Send = typeof anySend extends fc.Arbitrary<infer T> ? T : never;
export type Change = typeof anyChange extends fc.Arbitrary<infer T> ? T : never;

export interface ModelPort {
  up: boolean;
  room: number;
  longest: number;
  drops: Record<string, number>;
  got: string[];
}

function count(port: ModelPort, reason: string): void {
  port.drops[reason] = (port.drops[reason] ?? 0) + 1;
}

function receive(port: ModelPort, bytes: Uint8Array): void {
  if (!port.up) count(port, "link_down");
  else if (bytes.length > port.longest) count(port, "oversized");
  else if (port.room === 0) count(port, "no_buffer");
  else {
    port.room--;
    port.got.push(Buffer.from(bytes).toString("hex"));
  }
}

/** A learning switch by its rules: one frame at a time, everything in maps. */
export class Model {
  readonly ports = new Map<number, ModelPort>();
  readonly stations = new Map<string, { port: number; static: boolean }>();

  send(send: Send, bytes: Uint8Array): void {
    const sender = this.ports.get(send.port);
    if (sender === undefined) return;
    const fate = this.fate(send, sender);
    if (typeof fate === "string") count(sender, fate);
    else for (const receiver of fate) receive(receiver, bytes);
  }

  /** Why the switch drops a frame, or the ports it is for. */
  private fate({ port, to, from, size }: Send, sender: ModelPort): string | ModelPort[] {
    if (size < 14) return "runt";
    if (!sender.up) return "link_down";
    if (from === ZERO || from[0] % 2 === 1) return "bad_source";
    if (!this.stations.get(macText(from))?.static) this.stations.set(macText(from), { port, static: false });
    if (to === RESERVED) return "reserved";
    const known = this.stations.get(macText(to));
    if (known !== undefined) return known.port === port ? "own_port" : [this.ports.get(known.port)!];
    const others = [...this.ports].filter(([index, other]) => index !== port && other.up);
    return others.length === 0 ? "no_destination" : others.map(([, other]) => other);
  }

  forget(port: number | null, statics: boolean): void {
    for (const [address, entry] of this.stations) {
      if ((port === null || entry.port === port) && (statics || !entry.static)) this.stations.delete(address);
    }
  }

  add(index: number, like: number): void {
    const { size, longest } = PORTS[like];
    this.ports.set(index, { up: true, room: size, longest, drops: {}, got: [] });
  }
}
