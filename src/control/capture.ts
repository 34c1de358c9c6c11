// Captures of the running switch: what of its traffic somebody looks at now. Workers copy frames into rings (dataplane/bridge/tap.ts),
// which are read here when the one who looks asks for more; what finds no room meanwhile is counted, and nobody waits.
//
//   open -> TapMemory, filter compiled -> RuleTable.setCaptures: all workers write to it -> read, read, ... -> close: none does
//
// While there is a capture, frames go the way of a switch with policies, which costs them some nanoseconds. Control thread.

import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import type { CapturePolicy, Direction } from "../dataplane/bridge/policy.ts";
import { EVENT_TAPPED, TapMemory } from "../dataplane/bridge/tap-memory.ts";
import type { Dispatcher } from "../dataplane/dispatch.ts";
import { RuleCompiler } from "../dataplane/rules/compile.ts";
import { readEvents } from "../dataplane/rules/event-ring.ts";
import { MAX_PAIRS, MAX_PORTS } from "../dataplane/shared.ts";
import { COUNTER_COUNT, COUNTER_NAMES, FIRST_DROP, FIRST_FAULT } from "../mem/counters.ts";
import type { SwitchLog } from "./api.ts";
import type { NamedConstraint } from "./rules/named-rule.ts";
import { resolveRule, UnknownNameError } from "./rules/resolve.ts";

/** Each is asked about every frame. */
export const CAPTURES_MAX = 8;

export interface CaptureRequest {
  what: { of: "port"; port: string; direction: Direction } | { of: "drops" } | { of: "rule"; id: number };
  /** Bytes of each frame that are kept. */
  snap: number;
  /** All of these hold for what is captured. */
  filter?: readonly NamedConstraint[];
}

/** Of a port that stands in records. */
export interface CapturePort {
  index: number;
  name: string;
}

/** What came since the read before. */
export interface CaptureBatch {
  /** capture-record.ts reads them. */
  records: Uint8Array;
  ports: CapturePort[];
  /** Frames that found no room, since the beginning. */
  lost: number;
  /** Why nothing more will come. */
  ended?: string;
}

export interface CaptureEnd {
  lost: number;
  /**
   * Of drops: how many happened where no frame is at hand, by reason: what receivers refuse, what is malformed. It is short by the drops
   * of ports whose place another port took.
   */
  withoutFrame: Record<string, number>;
}

export interface Capture {
  read(): CaptureBatch;
  /** When it resolves, no worker copies frames for it. */
  close(): Promise<CaptureEnd>;
}

export interface CaptureApi {
  /** Resolves when every worker copies frames for it. Throws NOT_FOUND for a port or rule that is not there, LIMIT. */
  open(request: CaptureRequest): Promise<Capture>;
}

export interface CaptureParts {
  table: { setCaptures(captures: readonly CapturePolicy[]): Promise<void> };
  dispatcher: Pick<Dispatcher, "counters" | "workers">;
  /** By index. */
  ports(): ReadonlyMap<number, string>;
  hasRule(id: number): boolean;
  /** Runs a change after all that were asked for before, those of ports included. */
  alone<T>(change: () => Promise<T>): Promise<T>;
  log: Pick<SwitchLog, "info">;
}

interface Session {
  policy: CapturePolicy;
  memory: TapMemory;
  /** The port that it is of. */
  port?: string;
  text: string;
  dropsBefore: Float64Array;
  ended?: string;
}

export class CaptureService implements CaptureApi {
  private readonly sessions = new Set<Session>();
  private closed = false;

  constructor(private readonly parts: CaptureParts) {}

  open(request: CaptureRequest): Promise<Capture> {
    return this.parts.alone(async () => {
      if (this.sessions.size >= CAPTURES_MAX) {
        throw new RingyardError("LIMIT", `${CAPTURES_MAX} captures run already`, "end one first");
      }
      const session = this.prepare(request);
      this.sessions.add(session);
      try {
        await this.apply();
      } catch (error) {
        this.sessions.delete(session);
        session.memory.close();
        throw error;
      }
      this.parts.log.info({ capture: session.text }, "capture began");
      let end: Promise<CaptureEnd> | undefined;
      return {
        read: () => this.read(session),
        close: () => {
          end ??= this.end(session);
          return end;
        },
      };
    });
  }

  private prepare({ what, snap, filter }: CaptureRequest): Session {
    const { dispatcher } = this.parts;
    const resolved = this.resolve(what);
    const compiled = filter === undefined ? undefined : this.compile(filter);
    const memory = new TapMemory(dispatcher.workers);
    return {
      policy: { what: resolved, snap, memory: memory.address, ...(compiled !== undefined && { filter: compiled }) },
      memory,
      ...(what.of === "port" && { port: what.port }),
      text: textOf(what),
      dropsBefore: this.drops(),
    };
  }

  private resolve(what: CaptureRequest["what"]): CapturePolicy["what"] {
    if (what.of === "port") return { ...what, port: this.portIndex(what.port, `no port ${word(what.port)}`) };
    if (what.of === "rule" && !this.parts.hasRule(what.id)) {
      throw new RingyardError("NOT_FOUND", `no rule ${what.id}`, "`ringyard rule list` shows them");
    }
    return what;
  }

  private portIndex(name: string, problem: string): number {
    for (const [index, known] of this.parts.ports()) if (known === name) return index;
    throw new RingyardError("NOT_FOUND", problem, "`ringyard port list` names them");
  }

  /** A match as a rule of its own. */
  private compile(match: readonly NamedConstraint[]): CapturePolicy["filter"] {
    const byName = new Map([...this.parts.ports()].map(([index, name]) => [name, index]));
    const lookup = { port: (name: string) => byName.get(name), meter: () => undefined };
    try {
      const rule = resolveRule({ id: 1, priority: 0, match: [...match], actions: [{ do: "drop" }] }, lookup);
      const { tables, source } = new RuleCompiler().compile([rule]);
      return { tables: [...tables], source };
    } catch (error) {
      if (!(error instanceof UnknownNameError)) throw error;
      throw new RingyardError("NOT_FOUND", `filter: no port ${error.word}`, "`ringyard port list` names them");
    }
  }

  /** Tells workers of the captures that there are now. */
  private apply(): Promise<void> {
    const running = [...this.sessions].filter(({ ended }) => ended === undefined);
    return this.parts.table.setCaptures(running.map(({ policy }) => policy));
  }

  private read(session: Session): CaptureBatch {
    const { memory, ended } = session;
    if (!this.sessions.has(session))
      return { records: new Uint8Array(), ports: [], lost: 0, ended: ended ?? "it is closed" };
    const records: Uint8Array[] = [];
    const indices = new Set<number>();
    for (const ring of memory.rings) {
      readEvents(ring, (kind, at, size) => {
        if (kind !== EVENT_TAPPED) return;
        records.push(ring.bytes.slice(at, at + size));
        indices.add(ring.words[(at >> 2) + 1]);
      });
    }
    const names = this.parts.ports();
    const ports = [...indices].map((index) => ({ index, name: names.get(index) ?? `port ${index}` }));
    return { records: Buffer.concat(records), ports, lost: memory.lost(), ...(ended !== undefined && { ended }) };
  }

  private async end(session: Session): Promise<CaptureEnd> {
    const isOpen = () => this.sessions.has(session);
    if (isOpen()) {
      session.ended ??= "it is closed";
      await this.apply();
    }
    // At the end of the switch its memory is gone by now.
    if (!isOpen()) return { lost: 0, withoutFrame: {} };
    const { memory, policy } = session;
    const end = { lost: memory.lost(), withoutFrame: policy.what.of === "drops" ? this.unseen(session) : {} };
    this.sessions.delete(session);
    memory.close();
    this.parts.log.info({ capture: session.text, ...(end.lost > 0 && { lost: end.lost }) }, "capture ended");
    return end;
  }

  private unseen({ memory, dropsBefore }: Session): Record<string, number> {
    const now = this.drops();
    const counts: Record<string, number> = {};
    for (let counter = FIRST_DROP; counter < FIRST_FAULT; counter++) {
      const count = now[counter] - dropsBefore[counter] - memory.dropsMet(counter);
      if (count > 0) counts[COUNTER_NAMES[counter] ?? String(counter)] = count;
    }
    return counts;
  }

  /** Of all ports, by counter. */
  private drops(): Float64Array {
    const sum = new Float64Array(COUNTER_COUNT);
    for (let port = 0; port < MAX_PORTS; port++) {
      for (let pair = 0; pair < MAX_PAIRS; pair++) {
        const row = this.parts.dispatcher.counters(port, pair);
        for (let counter = FIRST_DROP; counter < FIRST_FAULT; counter++) sum[counter] += row[counter];
      }
    }
    return sum;
  }

  /** In the row of changes, when no frame of the port is under way any more. What was captured can still be read. */
  async portGoes(name: string): Promise<void> {
    const ending = [...this.sessions].filter(({ port, ended }) => port === name && ended === undefined);
    if (ending.length === 0) return;
    for (const session of ending) session.ended = `port ${name} was removed`;
    await this.apply();
  }

  /** The workers have stopped. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const session of this.sessions) {
      session.ended = "the switch ended";
      session.memory.close();
    }
    this.sessions.clear();
  }
}

function textOf(what: CaptureRequest["what"]): string {
  if (what.of === "port") return `port ${what.port}`;
  return what.of === "rule" ? `rule ${what.id}` : "drops";
}
