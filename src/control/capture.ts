// Captures of the running switch: what of its traffic somebody looks at now. Workers copy frames into rings (dataplane/bridge/tap.ts),
// which are read here when the one who looks asks for more; what finds no room meanwhile is counted, and nobody waits.
//
//   open -> TapMemory, filter compiled -> RuleTable.setCaptures: all workers write to it -> read, read, ... -> close: none does
//
// A capture of a port or a rule ends with it: another one of its index or id is not what somebody asked for. A filter waits for the ports
// that it names. While there is a capture, frames go the way of a switch with policies, which costs them some nanoseconds. Control thread.

import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import type { CapturePolicy, Direction } from "../dataplane/bridge/policy.ts";
import { TapMemory } from "../dataplane/bridge/tap-memory.ts";
import type { Dispatcher } from "../dataplane/dispatch.ts";
import { MAX_PAIRS, MAX_PORTS } from "../dataplane/shared.ts";
import { COUNTER_COUNT, COUNTER_NAMES, FIRST_DROP, FIRST_FAULT } from "../mem/counters.ts";
import type { SwitchLog } from "./api.ts";
import { CaptureFilter } from "./capture-filter.ts";
import { CaptureReader } from "./capture-reader.ts";
import { isSameRule } from "./rules/format-rule.ts";
import type { NamedConstraint, NamedRule } from "./rules/named-rule.ts";
import type { TableRule } from "./rules/rules-api.ts";

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
  /** As records have it: its index, or where it has gone a number of its own, beyond all indices. */
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
  rule(id: number): NamedRule | undefined;
  /** Runs a change after all that were asked for before, those of ports included. */
  alone<T>(change: () => Promise<T>): Promise<T>;
  log: Pick<SwitchLog, "info">;
}

interface Session {
  policy: CapturePolicy;
  memory: TapMemory;
  reader: CaptureReader;
  filter?: CaptureFilter;
  /** The port that it is of. */
  port?: string;
  /** The rule that it is of. */
  rule?: NamedRule;
  text: string;
  dropsBefore: Float64Array;
  /** Its rule is about to go. */
  held?: boolean;
  ended?: string;
  /** Nobody asks for it any more, but workers may be told of it by a change that failed or is still to come. */
  left?: boolean;
}

export class CaptureService implements CaptureApi {
  private readonly sessions = new Set<Session>();
  private readonly ports = new Map<string, number>();
  /** Workers may still run filters that mean a port which has gone. */
  private stale = false;
  private closed = false;

  constructor(private readonly parts: CaptureParts) {}

  open(request: CaptureRequest): Promise<Capture> {
    return this.parts.alone(async () => {
      if ([...this.sessions].filter(({ left }) => left !== true).length >= CAPTURES_MAX) {
        throw new RingyardError("LIMIT", `${CAPTURES_MAX} captures run already`, "end one first");
      }
      const session = this.prepare(request);
      this.sessions.add(session);
      try {
        await this.apply();
      } catch (error) {
        // Not its memory: another change may have been asked for meanwhile, which names it.
        session.ended = "it did not begin";
        session.left = true;
        await this.apply().catch(() => undefined);
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

  private prepare({ what, snap, filter: match }: CaptureRequest): Session {
    const { dispatcher } = this.parts;
    const resolved = this.resolve(what);
    const rule = what.of === "rule" ? this.ruleOf(what.id) : undefined;
    const filter = match === undefined ? undefined : new CaptureFilter(match);
    filter?.check(this.ports);
    const compiled = filter?.compile(this.ports);
    const memory = new TapMemory(dispatcher.workers);
    return {
      policy: { what: resolved, snap, memory: memory.address, ...(compiled !== undefined && { filter: compiled }) },
      memory,
      reader: new CaptureReader(memory),
      ...(filter !== undefined && { filter }),
      ...(what.of === "port" && { port: what.port }),
      ...(rule !== undefined && { rule }),
      text: textOf(what),
      dropsBefore: this.drops(),
    };
  }

  private resolve(what: CaptureRequest["what"]): CapturePolicy["what"] {
    if (what.of !== "port") return what;
    const port = this.ports.get(what.port);
    if (port !== undefined) return { ...what, port };
    throw new RingyardError("NOT_FOUND", `no port ${word(what.port)}`, "`ringyard port list` names them");
  }

  private ruleOf(id: number): NamedRule {
    const rule = this.parts.rule(id);
    if (rule !== undefined) return rule;
    throw new RingyardError("NOT_FOUND", `no rule ${id}`, "`ringyard rule list` shows them");
  }

  /** Tells workers of the captures that there are now. Such changes follow one another, so none that names one that was left is behind it. */
  private async apply(): Promise<void> {
    const running = [...this.sessions].filter(({ ended, held }) => ended === undefined && held !== true);
    const left = [...this.sessions].filter((session) => session.left === true);
    await this.parts.table.setCaptures(running.map(({ policy }) => policy));
    this.stale = false;
    for (const session of left) if (this.sessions.delete(session)) session.memory.close();
  }

  private read(session: Session): CaptureBatch {
    const { memory, reader, ended } = session;
    if (!this.sessions.has(session))
      return { records: new Uint8Array(), ports: [], lost: 0, ended: ended ?? "it is closed" };
    const names = new Map([...this.ports].map(([name, index]) => [index, name]));
    return { ...reader.read(names), lost: memory.lost(), ...(ended !== undefined && { ended }) };
  }

  private async end(session: Session): Promise<CaptureEnd> {
    const isOpen = () => this.sessions.has(session);
    if (isOpen()) {
      session.ended ??= "it is closed";
      try {
        await this.apply();
      } catch (error) {
        session.left = true;
        throw error;
      }
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

  /** In the row of changes, before the port's lanes open. Where it rejects, the port must not come. */
  async portComes(name: string, index: number): Promise<void> {
    this.ports.set(name, index);
    if (this.filterAgain(name) || this.stale) await this.apply();
  }

  /** In the row of changes, when no frame of the port is under way any more. What was captured can still be read. */
  async portGoes(name: string): Promise<void> {
    const index = this.ports.get(name);
    if (index !== undefined) for (const { reader } of this.sessions) reader.portGoes(name, index);
    this.ports.delete(name);
    this.stale = this.filterAgain(name) || this.stale;
    for (const session of this.sessions) {
      if (session.port !== name || session.ended !== undefined) continue;
      session.ended = `port ${name} was removed`;
      this.stale = true;
    }
    if (this.stale) await this.apply();
  }

  /** Filters that name this port mean it as it is now. Returns whether there are such. */
  private filterAgain(name: string): boolean {
    let found = false;
    for (const session of this.sessions) {
      const { ended, filter, policy } = session;
      if (filter === undefined || ended !== undefined || !filter.ports.includes(name)) continue;
      session.policy = { ...policy, filter: filter.compile(this.ports) };
      found = true;
    }
    return found;
  }

  /**
   * Runs a change after which these are the rules, in the row of changes. No worker copies frames of a rule that goes, or of one that has
   * its id then: such captures end, unless the change fails.
   */
  async whileRulesChange(rules: readonly TableRule[], change: () => Promise<void>): Promise<void> {
    const ending = new Map<Session, string>();
    for (const session of this.sessions) {
      const reason = session.ended === undefined ? ruleEnds(session, rules) : undefined;
      if (reason !== undefined) ending.set(session, reason);
    }
    if (ending.size === 0) return change();
    for (const session of ending.keys()) session.held = true;
    try {
      await this.apply();
      await change();
      for (const [session, reason] of ending) session.ended ??= reason;
    } finally {
      for (const session of ending.keys()) session.held = false;
      if ([...ending.keys()].some(({ ended }) => ended === undefined)) await this.apply();
    }
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

/** Why a capture ends when these are the rules; undefined where it goes on. */
function ruleEnds({ policy: { what }, rule }: Session, rules: readonly TableRule[]): string | undefined {
  if (what.of !== "rule" || rule === undefined) return undefined;
  const then = rules.find(({ id }) => id === what.id)?.rule;
  if (then === undefined) return `there is no rule ${what.id} any more`;
  return isSameRule(then, rule) ? undefined : `rule ${what.id} is another one now`;
}

function textOf(what: CaptureRequest["what"]): string {
  if (what.of === "port") return `port ${what.port}`;
  return what.of === "rule" ? `rule ${what.id}` : "drops";
}
