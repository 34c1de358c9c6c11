// Addresses that move to and fro between ports: a loop behind two of them, or two stations with one address. Looked for once a second in
// what workers noted (dataplane/fdb-moves.ts).
//
//   moves of the last 10 s --by VLAN and address--> 5 or more: flapping, said once a minute
//
// Ports are kept by index, so the moves of one that goes are forgotten with it: its index may be another port's in the next second.
// At most MOVES_KEPT moves of a second are seen: whoever makes many addresses move hides one that moves seldom, and is seen himself.
// Control thread; the clock is given.

import type { Move, MoveReader } from "../dataplane/fdb-moves.ts";

const WINDOW_S = 10;
const MOVES = 5;
const SILENCE_S = 60;

export interface Flap {
  readonly mac: string;
  /** 0: none. */
  readonly vid: number;
  /** Between which it moved, by index, in order. */
  readonly ports: readonly number[];
  /** Of the last 10 s. */
  readonly moves: number;
}

export class FlapWatch {
  private recent: Move[] = [];
  /** Second in which an address was said to flap. */
  private readonly said = new Map<string, number>();

  constructor(private readonly reader: Pick<MoveReader, "take">) {}

  /** To be called once a second; returns those that flap and were not said to within the last minute. */
  look(nowS: number): Flap[] {
    this.recent = [...this.recent, ...this.reader.take()].filter(({ second }) => nowS - second < WINDOW_S);
    for (const [key, second] of this.said) if (nowS - second >= SILENCE_S) this.said.delete(key);
    const fresh = [...this.byAddress()].filter(([key]) => !this.said.has(key));
    for (const [key] of fresh) this.said.set(key, nowS);
    return fresh.map(([, flap]) => flap);
  }

  /** The port is gone, and nothing moves to it or from it any more. Its moves are forgotten, also those that nobody has looked at yet. */
  forget(port: number): void {
    this.recent = [...this.recent, ...this.reader.take()].filter(({ from, to }) => from !== port && to !== port);
  }

  /** Those that flapped in the ten seconds before the last look. */
  flapping(): Flap[] {
    return [...this.byAddress().values()];
  }

  private byAddress(): Map<string, Flap> {
    const moves = Map.groupBy(this.recent, ({ vid, mac }) => `${vid} ${mac}`);
    const flaps = new Map<string, Flap>();
    for (const [key, those] of moves) {
      if (those.length < MOVES) continue;
      const ports = [...new Set(those.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
      flaps.set(key, { mac: those[0].mac, vid: those[0].vid, ports, moves: those.length });
    }
    return flaps;
  }
}
