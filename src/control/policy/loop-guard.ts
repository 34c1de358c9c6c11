// The loop guard's other half: sends a probe out of each guarded port now and then, and hears where probes come back.
//
//   probe() --frame--> guarded port A ~~ cable, bridge ~~> port B --worker: Probes.seen[B] = A--> look() -> onLoop(B, A)
//
// The port where a probe COMES IN is the one to block, never the one that sent it: a guest sees the probes of its own port, and if
// it replays one, it does so at its own port. Two guarded ports of one loop see each other's probes, and blocking one is enough: once it
// is, what it sent before is ignored. Control thread.

import type { Probes } from "../../dataplane/bridge/loop-guard.ts";
import { probeFrame, TOKEN_WORDS } from "../../dataplane/bridge/probe.ts";
import { acquire32 } from "../../mem/access.ts";

export interface LoopGuardParts {
  /** Absent before the first policy. */
  probes(): Probes | undefined;
  /** Whether frames may be sent to the port now. */
  delivers(port: number): boolean;
  send(port: number, frame: Uint8Array): Promise<void>;
  /** The switch blocks it now. */
  isBlocked(port: number): boolean;
  /** A probe of port `from` came in at `port`; they may be the same. */
  onLoop(port: number, from: number): void;
}

const MULTICAST = 0x01;
const LOCAL = 0x02;

export class LoopGuard {
  private guarded: readonly number[] = [];
  /** Ports whose last probe their worker has not taken yet. */
  private readonly sending = new Set<number>();
  /** What the addresses of this switch's probes begin with. */
  private readonly source = crypto.getRandomValues(new Uint8Array(5));

  constructor(private readonly parts: LoopGuardParts) {
    this.source[0] = (this.source[0] & ~MULTICAST) | LOCAL;
  }

  /** The ports that are guarded from now on. */
  guard(ports: readonly number[]): void {
    const seen = this.parts.probes()?.seen;
    // Of the time before: a probe that came back when nobody looked.
    if (this.guarded.length === 0) seen?.fill(0);
    this.guarded = ports;
  }

  isGuarded(port: number): boolean {
    return this.guarded.includes(port);
  }

  /** Says of each port at which a probe came in since the last look, lowest first. */
  look(): void {
    const seen = this.parts.probes()?.seen;
    if (seen === undefined || this.guarded.length === 0) return;
    for (let port = 0; port < seen.length; port++) {
      if (acquire32(seen, port) === 0) continue;
      const from = Atomics.exchange(seen, port, 0) - 1;
      if (!this.parts.isBlocked(port) && !this.parts.isBlocked(from)) this.parts.onLoop(port, from);
    }
  }

  /** Sends one probe out of each guarded port that is up. */
  probe(): void {
    const { delivers, probes, send } = this.parts;
    const tokens = probes()?.tokens;
    if (tokens === undefined) return;
    for (const port of this.guarded) {
      if (this.sending.has(port) || !delivers(port)) continue;
      this.sending.add(port);
      const token = tokens.subarray(port * TOKEN_WORDS, (port + 1) * TOKEN_WORDS);
      const taken = () => this.sending.delete(port);
      send(port, probeFrame(this.source, port, token)).then(taken, taken);
    }
  }
}
