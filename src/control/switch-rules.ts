// Rules and policies in the running switch: the services that keep them with names and the dataplane's table that runs them, brought
// together with the switch's ports, its log and its row of changes. Control thread.

import { errorLine } from "../core/errors.ts";
import { takingTurns } from "../core/turns.ts";
import type { LimitCounters } from "../dataplane/bridge/bridge-memory.ts";
import type { BridgePolicy } from "../dataplane/bridge/policy.ts";
import type { Dispatcher } from "../dataplane/dispatch.ts";
import type { Fdb } from "../dataplane/fdb-layout.ts";
import { fdbPortUse } from "../dataplane/fdb-show.ts";
import { fdbFlushSteps } from "../dataplane/fdb-steps.ts";
import { type LoggedFrame, RuleTable } from "../dataplane/rules/table.ts";
import type { SwitchLog } from "./api.ts";
import { CaptureService } from "./capture.ts";
import { PolicyService } from "./policy/policy-service.ts";
import type { Blockable } from "./policy/port-blocks.ts";
import { PortWatch } from "./policy/port-watch.ts";
import { RuleService } from "./rules/rule-service.ts";

/** Lines of logged frames a second: a line takes 0.1 ms of the control thread, and a guest can have a rule log whatever it sends. */
const LOGGED_MOST = 100;

export interface SwitchRulesParts {
  dispatcher: Dispatcher;
  fdb: Fdb;
  /** `String(index)` where there is no port. */
  portName(index: number): string;
  port(index: number): Blockable | undefined;
  /** All workers obey this one from now on; resolves when the fdb does. */
  onPolicy(policy: BridgePolicy): Promise<void>;
  log: SwitchLog;
  /** Runs a change after all that were asked for before, those of ports included. */
  alone<T>(change: () => Promise<T>): Promise<T>;
}

export class SwitchRules {
  readonly service: RuleService;
  readonly policy: PolicyService;
  readonly capture: CaptureService;
  readonly watch: PortWatch;
  private readonly table: RuleTable;
  /** Frames and events of workers that found no room, since the last warning. */
  private lost = 0;
  /** Frames in the log, since the same moment. */
  private logged = 0;
  /** Workers obey policies whose addresses without a place are not forgotten yet. */
  private settling = false;

  constructor(private readonly parts: SwitchRulesParts) {
    const { dispatcher, fdb, log, port, portName, alone } = parts;
    this.table = new RuleTable({
      ...{ dispatcher, fdb, portName },
      onLog: (frame) => this.logFrame(frame),
      onEvent: (kind, payload) => this.onEvent(kind, payload),
    });
    this.service = new RuleService(this.table, alone, log, (rules, change) =>
      this.capture.whileRulesChange(rules, change),
    );
    this.watch = new PortWatch({
      ...{ log, port, nowMs: () => performance.now() },
      drain: () => this.drain(),
      probes: () => this.table.probes,
      delivers: (index) => dispatcher.delivers(index),
      send: (index, frame) => dispatcher.send(index, frame),
      forget: (ports) => void this.forget(ports),
    });
    this.policy = new PolicyService(
      {
        setPolicy: (policy) => this.setPolicy(policy),
        directed: (vid) => this.table.directed(vid),
      },
      alone,
      log,
    );
    this.capture = new CaptureService({
      ...{ dispatcher, log, alone, table: this.table },
      rule: (id) => this.service.set().rules.find((it) => it.id === id)?.rule,
    });
  }

  private async setPolicy(policy: BridgePolicy): Promise<void> {
    this.drain();
    this.settling = true;
    try {
      await this.table.setPolicy(policy);
      this.watch.setPolicy(policy);
      await this.parts.onPolicy(policy);
    } finally {
      this.drain();
      this.settling = false;
    }
  }

  /**
   * A port that meets its limit. What it had learned in VLANs that it leaves counts until it is forgotten, and so do addresses beyond a limit that the
   * same change raises: that is no reason to block it. If it is at its limit then, too, workers say so again within a second.
   */
  private onEvent(kind: number, payload: Int32Array): void {
    const { count, limit } = fdbPortUse(this.parts.fdb, payload[0]);
    if (!this.settling && count >= limit) this.watch.onEvent(kind, payload);
  }

  private drain(): void {
    // Frames that are logged meanwhile add to it as well.
    const lost = this.table.drain();
    this.lost += lost;
  }

  /** Bursts that came in before a port was blocked may still teach its addresses. */
  private async forget(ports: readonly number[]): Promise<void> {
    const { dispatcher, fdb, log } = this.parts;
    try {
      await dispatcher.callAll({ op: "ping" });
      for (const port of ports) await takingTurns(fdbFlushSteps(fdb, { port }));
    } catch (error) {
      log.warn({}, `fdb flush of a blocked port: ${errorLine(error)}`);
    }
  }

  /** In the row of changes, before the port's lanes open: its first frame meets the rules and policies that name it, and none of an
   * earlier port of its index. */
  async portComes(name: string, index: number): Promise<void> {
    // What workers said of the port before, which blocks no other one.
    this.drain();
    this.table.portComes(index);
    this.watch.portComes(index);
    await this.service.portComes(name, index);
    await this.policy.portComes(name, index);
    await this.capture.portComes(name, index);
  }

  /** What the limits of a port have counted, by name; absent where it has none. */
  limits(index: number): { limits?: Record<string, LimitCounters> } {
    const limits = this.table.limits(index);
    return Object.keys(limits).length === 0 ? {} : { limits };
  }

  /** Once a second. */
  keepHouse(): void {
    this.drain();
    this.logged = 0;
    if (this.lost === 0) return;
    this.parts.log.warn({ lost: this.lost }, "rules logged more frames than could be taken");
    this.lost = 0;
  }

  /** Before the workers stop. */
  async stop(): Promise<void> {
    this.watch.stop();
    await this.table.stop();
  }

  /** In the row of changes, when no frame of the port is under way any more. */
  async portGoes(name: string): Promise<void> {
    for (const [what, service] of [
      ["rules", this.service] as const,
      ["policies", this.policy] as const,
      ["captures", this.capture] as const,
    ]) {
      try {
        await service.portGoes(name);
      } catch (error) {
        // Its index is safe: the next port to come has to get through to the dataplane first.
        this.parts.log.error({ port: name }, `${what} still name a port that went: ${errorLine(error)}`);
      }
    }
  }

  /** When the workers have stopped. */
  close(): void {
    this.capture.close();
    this.table.close();
  }

  private logFrame({ rule, port, length, head }: LoggedFrame): void {
    if (this.logged === LOGGED_MOST) {
      this.lost++;
      return;
    }
    this.logged++;
    const { log, portName } = this.parts;
    const frame = Buffer.from(head).toString("hex");
    log.info({ rule, port: portName(port), length, frame }, "a rule logged a frame");
  }
}
