// Watches the ports whose policy may block them: by the loop guard's probes, or when they meet their limit of addresses and are to be
// shut down for it.
//
//   every TICK_MS, while there are such ports:
//     ports whose time has come -> open | events of workers -> mac-limit | probes that came back -> loop | every other time: probes
//
// A loop is found within 375 ms (a probe leaves, a look finds it), and 250 ms later for each probe that is lost. Control thread.

import { EVENT_MAC_LIMIT } from "../../dataplane/bridge/events.ts";
import { type BridgePolicy, PORT_DEFAULTS, type PortPolicy } from "../../dataplane/bridge/policy.ts";
import { LoopGuard, type LoopGuardParts } from "./loop-guard.ts";
import { PortBlocks, type PortBlocksParts } from "./port-blocks.ts";

const TICK_MS = 125;
const TICKS_PER_PROBE = 2;
/** What was under way in the loop when it was cut has arrived by then. */
const TICKS_UNTIL_QUIET = 4;
/** Between two warnings about one port that could not be blocked. */
const WARN_MS = 60_000;

export interface PortWatchParts
  extends Pick<LoopGuardParts, "probes" | "delivers" | "send">,
    Pick<PortBlocksParts, "nowMs" | "port" | "log"> {
  /** Makes workers' events arrive at `onEvent`. */
  drain(): void;
  /** Forgets what was learned at these ports, once no frame is under way that came in before. */
  forget(ports: readonly number[]): void;
}

export class PortWatch {
  readonly blocks: PortBlocks;
  private readonly guard: LoopGuard;
  private policies: ReadonlyMap<number, PortPolicy> = new Map();
  private timer: Timer | undefined;
  private ticks = 0;
  /** Ports of loops that were cut not long ago, and at which tick. */
  private cut: { ports: readonly number[]; tick: number }[] = [];
  private readonly warnedMs = new Map<number, number>();

  constructor(private readonly parts: PortWatchParts) {
    const { delivers, log, nowMs, port, probes, send } = parts;
    const recoverS = (index: number) => (this.policies.get(index) ?? PORT_DEFAULTS).recoverS;
    this.blocks = new PortBlocks({ nowMs, port, recoverS, log });
    const isBlocked = (index: number) => this.blocks.reason(index) !== undefined;
    this.guard = new LoopGuard({
      ...{ delivers, isBlocked, probes, send },
      onLoop: (index, from) => this.onLoop(index, from),
    });
  }

  /** The policy that workers obey now. */
  setPolicy({ ports }: BridgePolicy): void {
    this.policies = new Map(ports.map((policy) => [policy.port, policy]));
    this.guard.guard(ports.filter(({ loopGuard }) => loopGuard).map(({ port }) => port));
    this.blocks.releaseUnless((index, reason) =>
      reason === "loop" ? this.guard.isGuarded(index) : this.shutsDown(index),
    );
    const needed = ports.some(({ loopGuard, port }) => loopGuard || this.shutsDown(port));
    if (!needed) this.stop();
    else if (this.timer === undefined) {
      this.timer = setInterval(() => this.tick(), TICK_MS);
      this.timer.unref();
    }
  }

  /** Another port has this index now. */
  portComes(index: number): void {
    this.blocks.forget(index);
    this.warnedMs.delete(index);
  }

  /** What a worker said (dataplane/bridge/events.ts). */
  onEvent(kind: number, [port]: Int32Array): void {
    if (kind !== EVENT_MAC_LIMIT || !this.shutsDown(port)) return;
    if (this.blocks.block(port, "mac-limit", "more addresses than the port's limit")) this.parts.forget([port]);
  }

  /** One look, and every other time probes. */
  tick(): void {
    this.blocks.retry();
    this.parts.drain();
    this.guard.look();
    if (this.ticks++ % TICKS_PER_PROBE === 0) this.guard.probe();
    const quiet = this.cut.filter(({ tick }) => this.ticks - tick >= TICKS_UNTIL_QUIET);
    if (quiet.length === 0) return;
    this.cut = this.cut.filter((loop) => !quiet.includes(loop));
    this.parts.forget(quiet.flatMap(({ ports }) => ports));
  }

  /** Before the workers stop. */
  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private shutsDown(index: number): boolean {
    return this.policies.get(index)?.limitAction === "shutdown";
  }

  private onLoop(index: number, from: number): void {
    const { forget, port } = this.parts;
    const facts = { from: port(from)?.spec.name ?? String(from) };
    if (!this.guard.isGuarded(index)) this.warn(index, facts);
    else if (this.blocks.block(index, "loop", "a probe of the loop guard came back", facts)) {
      // Behind both, stations of other ports were seen; and behind the one that stays, frames in the loop may still show some.
      const ports = [index, from];
      forget(ports);
      this.cut.push({ ports, tick: this.ticks });
    }
  }

  /** A port that nobody asked to be guarded is not blocked, since it may be the uplink of all others. */
  private warn(index: number, facts: Record<string, unknown>): void {
    const { log, nowMs, port } = this.parts;
    const name = port(index)?.spec.name;
    if (name === undefined || nowMs() - (this.warnedMs.get(index) ?? Number.NEGATIVE_INFINITY) < WARN_MS) return;
    this.warnedMs.set(index, nowMs());
    const next = `ringyard port set ${name} loop-guard=true`;
    log.warn({ port: name, ...facts, next }, "a loop: a probe of the loop guard came in at a port that is not guarded");
  }
}
