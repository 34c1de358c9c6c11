// Ports that the switch itself holds down: what was found at them, since when, and when they are tried again.
//
//   up --block(loop | mac-limit)--> blocked --after the policy's `recover`, by `link=up`, or when it asks for this no more--> up
//
// A blocked port is down for the dataplane: what comes in there, or was on its way there, is dropped as link_down. Carrier and
// administrative state stay what they are, so a guest keeps its link. By port index. Control thread.

import type { BlockReason, PortInfo, SwitchLog } from "../api.ts";

/** What is held down: a RunningPort. */
export interface Blockable {
  readonly spec: { name: string };
  block(): void;
  unblock(): void;
}

export interface PortBlocksParts {
  /** Monotonic. */
  nowMs(): number;
  /** Undefined while there is none of this index. */
  port(index: number): Blockable | undefined;
  /** Seconds until a port is tried again; 0: never. */
  recoverS(index: number): number;
  log: SwitchLog;
}

const MS_PER_S = 1000;

export class PortBlocks {
  private readonly blocked = new Map<number, { reason: BlockReason; sinceMs: number }>();
  private readonly counts = new Map<number, number>();

  constructor(private readonly parts: PortBlocksParts) {}

  reason(index: number): BlockReason | undefined {
    return this.blocked.get(index)?.reason;
  }

  /** Logs `what` was found, with facts. Returns false, and does nothing, where the port is blocked already or is not there. */
  block(index: number, reason: BlockReason, what: string, facts: Record<string, unknown> = {}): boolean {
    const port = this.parts.port(index);
    if (port === undefined || this.blocked.has(index)) return false;
    this.blocked.set(index, { reason, sinceMs: this.parts.nowMs() });
    this.counts.set(index, (this.counts.get(index) ?? 0) + 1);
    port.block();
    const { name } = port.spec;
    const { retryS } = this.info(index);
    const next = retryS === undefined ? `ringyard port set ${name} link=up` : `tried again in ${retryS} s`;
    this.parts.log.warn({ port: name, ...facts, next }, `${what}: the port is blocked`);
    return true;
  }

  /** Tries a port again. Returns whether it was blocked. */
  release(index: number): boolean {
    if (!this.blocked.delete(index)) return false;
    const port = this.parts.port(index);
    port?.unblock();
    if (port !== undefined) this.parts.log.info({ port: port.spec.name }, "the port is no longer blocked");
    return true;
  }

  /** Tries those again whose time has come. */
  retry(): void {
    const due = [...this.blocked.keys()].filter((index) => this.info(index).retryS === 0);
    for (const index of due) this.release(index);
  }

  /** Tries those again for which `wanted` is false. */
  releaseUnless(wanted: (index: number, reason: BlockReason) => boolean): void {
    const over = [...this.blocked].filter(([index, { reason }]) => !wanted(index, reason));
    for (const [index] of over) this.release(index);
  }

  /** Another port has this index now. */
  forget(index: number): void {
    this.blocked.delete(index);
    this.counts.delete(index);
  }

  /** For `port show`. */
  info(index: number): Pick<PortInfo, "blocked" | "retryS" | "blocks"> {
    const blocks = this.counts.get(index);
    if (blocks === undefined) return {};
    const block = this.blocked.get(index);
    if (block === undefined) return { blocks };
    const recoverS = this.parts.recoverS(index);
    if (recoverS === 0) return { blocked: block.reason, blocks };
    const leftMs = block.sinceMs + recoverS * MS_PER_S - this.parts.nowMs();
    return { blocked: block.reason, retryS: Math.max(0, Math.ceil(leftMs / MS_PER_S)), blocks };
  }
}
