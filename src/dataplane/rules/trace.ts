// What would become of a frame: the decisions of a worker's hot path once more, slowly, one step at a time, with nothing sent,
// learned or counted. `ringyard trace` prints it.
//
//   header -> interpret.ts: which rules apply -> what they do, on a copy (trace-rewrite.ts)
//          -> allow: fdb | forward | flood | drop -> what the receivers take -> verdict
//
// It shares the fdb and the ports' states with the workers, and none of their code for rules: tests hold both against each
// other. What only time tells is left out: meters are taken to have tokens, receivers to have buffers; and so
// are offloads, since there is no net header: a super-frame is too long here for a receiver that would get its segments. Control thread.

import { formatMac, isGroupMac, type Mac } from "../../core/mac.ts";
import { MAX_FRAME, MIN_FRAME } from "../../mem/batch.ts";
import type { Dispatcher } from "../dispatch.ts";
import { fdbLookup } from "../fdb.ts";
import { fdbFind, HIT_STATIC } from "../fdb-find.ts";
import type { Fdb } from "../fdb-layout.ts";
import { CLOCK_S, MAX_PORTS, PORT_MAX_FRAME, SharedState } from "../shared.ts";
import { interpret } from "./interpret.ts";
import type { Action, MeterSpec, Rule } from "./rule.ts";
import { frameSteps } from "./trace-frame.ts";
import { RewrittenFrame } from "./trace-rewrite.ts";
import type { TraceStep } from "./trace-step.ts";
import { actionText, dropText, headerText, namesText } from "./trace-text.ts";

/** The switch that the frame would meet. */
export interface TraceParts {
  dispatcher: Pick<Dispatcher, "shared" | "isUp" | "delivers">;
  fdb: Fdb;
  portName(index: number): string;
}

/** `rules` in rank order. Returns the steps; the last is the verdict. */
export function traceFrame(
  parts: TraceParts,
  rules: readonly Rule[],
  meters: readonly MeterSpec[],
  port: number,
  frame: Uint8Array,
): TraceStep[] {
  return new Trace(parts, meters, port, frame).run(rules);
}

/** A reason for a drop, as counters.ts names it, or the ports that the frame goes to. */
type Fate = string | number[];

class Trace {
  private readonly steps: TraceStep[] = [];
  private readonly mirrors: number[] = [];
  private readonly frame: RewrittenFrame;

  constructor(
    private readonly parts: TraceParts,
    private readonly meters: readonly MeterSpec[],
    private readonly port: number,
    private readonly received: Uint8Array,
  ) {
    this.frame = new RewrittenFrame(received, port);
  }

  run(rules: readonly Rule[]): TraceStep[] {
    const { parts, port, received } = this;
    const text = `${received.length} bytes in on ${parts.portName(port)}${headerText(received, port)}`;
    this.steps.push({ step: "header", text, data: { port, length: received.length } });
    this.conclude(this.refusal() ?? this.meetRules(rules));
    return this.steps;
  }

  /** Why the frame meets no rule. */
  private refusal(): string | undefined {
    const { length } = this.received;
    if (length < MIN_FRAME) return "runt";
    if (length > MAX_FRAME) return "oversized";
    if (!this.parts.dispatcher.isUp(this.port)) return "link_down";
    const { lo, hi } = macAt(this.received, 6);
    return isGroupMac(lo) || (lo | hi) === 0 ? "bad_source" : undefined;
  }

  private meetRules(rules: readonly Rule[]): Fate {
    const ranks = interpret(rules, this.port, this.received);
    if (ranks.length === 0) this.step("no rule applies", { id: null, priority: null });
    for (const rank of ranks) {
      const { id, priority, actions } = rules[rank];
      this.step(`rule ${id} (priority ${priority}) applies`, { id, priority });
      for (const action of actions) {
        const text = actionText(action, this.parts.portName, this.meters);
        this.steps.push({ step: "action", text, data: { rule: id, do: action.do } });
        const fate = this.act(action);
        if (fate !== undefined) return fate;
      }
    }
    return this.allowed();
  }

  private step(text: string, data: { id: number | null; priority: number | null }): void {
    this.steps.push({ step: "rule", text, data });
  }

  /** Undefined: the next action, or rule. */
  private act(action: Action): Fate | undefined {
    switch (action.do) {
      case "allow":
        return this.allowed();
      case "drop":
        return "rule";
      case "flood":
        return isReserved(this.frame.bytes) ? "reserved" : this.flooded();
      case "forward":
        return this.reachable(action.ports);
      case "mirror":
        if (action.port !== this.port && !this.mirrors.includes(action.port)) {
          this.mirrors.push(...this.deliverable([action.port]));
        }
        return undefined;
      default:
        this.frame.apply(action);
        return this.frame.bytes.length > MAX_FRAME ? "oversized" : undefined;
    }
  }

  private allowed(): Fate {
    const { dispatcher, portName } = this.parts;
    const { lo, hi } = macAt(this.frame.bytes, 0);
    const mac = formatMac(lo, hi);
    if (isReserved(this.frame.bytes)) return "reserved";
    const out = isGroupMac(lo) ? -1 : this.lookUp(lo, hi);
    const where = isGroupMac(lo) ? "is a group" : out < 0 ? "is not known" : `is at ${portName(out)}`;
    this.steps.push({ step: "fdb", text: `${mac} ${where}`, data: { mac, port: out < 0 ? null : out } });
    if (out < 0) return this.flooded();
    if (out === this.port) return "own_port";
    return dispatcher.delivers(out) ? [out] : "link_down";
  }

  /** The port of an address, -1 where it is not known: as if the frame's source had been learned, which comes first. */
  private lookUp(lo: number, hi: number): number {
    const { dispatcher, fdb } = this.parts;
    const source = macAt(this.received, 6);
    const hit = fdbFind(fdb, lo, hi);
    const isStatic = hit >= 0 && (hit & HIT_STATIC) !== 0;
    if (lo === source.lo && hi === source.hi && !isStatic) return this.port;
    return fdbLookup(fdb, lo, hi, dispatcher.shared.control[CLOCK_S]);
  }

  private flooded(): Fate {
    return this.reachable(Array.from({ length: MAX_PORTS }, (_, port) => port).filter((port) => port !== this.port));
  }

  private reachable(ports: readonly number[]): Fate {
    const there = this.deliverable(ports);
    return there.length === 0 ? "no_destination" : there;
  }

  private deliverable(ports: readonly number[]): number[] {
    return ports.filter((port) => this.parts.dispatcher.delivers(port));
  }

  /** Ports that take a frame of this length. */
  private taking(ports: readonly number[], length: number): number[] {
    const { control } = this.parts.dispatcher.shared;
    return ports.filter((port) => length <= control[SharedState.portWord(port, PORT_MAX_FRAME)]);
  }

  private conclude(fate: Fate): void {
    const mirrors = this.taking(this.mirrors, this.received.length);
    const copies = mirrors.length === 0 ? "" : `, mirrored to ${this.names(mirrors)}`;
    const ports = typeof fate === "string" ? [] : this.taking(fate, this.frame.bytes.length);
    if (ports.length > 0) {
      const frame = this.frame.bytes;
      const sent = ports.map((port) => ({ port, frame }));
      this.steps.push(...frameSteps(sent, this.received, this.port, this.parts.portName));
      const data = { do: "send" as const, ports, mirrors };
      this.steps.push({ step: "verdict", text: `sent to ${this.names(ports)}${copies}`, data });
      return;
    }
    const reason = typeof fate === "string" ? fate : "oversized";
    const data = { do: "drop" as const, reason, mirrors };
    this.steps.push({ step: "verdict", text: `${dropText(reason, this.received, this.port)}${copies}`, data });
  }

  private names(ports: readonly number[]): string {
    return namesText(ports.map((port) => this.parts.portName(port)));
  }
}

function macAt(bytes: Uint8Array, offset: number): Mac {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset);
  return { lo: view.getInt32(0, true), hi: view.getUint16(4, true) };
}

/** 01-80-C2-00-00-0X (IEEE 802.1Q, 8.6.3). */
function isReserved(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 6)).toString("hex").startsWith("0180c200000");
}
