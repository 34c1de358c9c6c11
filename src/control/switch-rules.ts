// Rules and policies in the running switch: the services that keep them with names and the dataplane's table that runs them, brought
// together with the switch's ports, its log and its row of changes. Control thread.

import { errorLine } from "../core/errors.ts";
import type { Dispatcher } from "../dataplane/dispatch.ts";
import type { Fdb } from "../dataplane/fdb-layout.ts";
import { type LoggedFrame, RuleTable } from "../dataplane/rules/table.ts";
import type { SwitchLog } from "./api.ts";
import { PolicyService } from "./policy/policy-service.ts";
import { RuleService } from "./rules/rule-service.ts";

export interface SwitchRulesParts {
  dispatcher: Dispatcher;
  fdb: Fdb;
  /** `String(index)` where there is no port. */
  portName(index: number): string;
  log: SwitchLog;
  /** Runs a change after all that were asked for before, those of ports included. */
  alone<T>(change: () => Promise<T>): Promise<T>;
}

export class SwitchRules {
  readonly service: RuleService;
  readonly policy: PolicyService;
  private readonly table: RuleTable;

  constructor(private readonly parts: SwitchRulesParts) {
    const { dispatcher, fdb, portName, alone } = parts;
    this.table = new RuleTable({ dispatcher, fdb, portName, onLog: (frame) => this.logFrame(frame) });
    this.service = new RuleService(this.table, alone);
    this.policy = new PolicyService(this.table, alone);
  }

  /** In the row of changes, before the port's lanes open: its first frame meets the rules and policies that name it, and none of an
   * earlier port of its index. */
  async portComes(name: string, index: number): Promise<void> {
    await this.service.portComes(name, index);
    await this.policy.portComes(name, index);
  }

  /** Once a second. */
  keepHouse(): void {
    const lost = this.table.drain();
    if (lost > 0) this.parts.log.warn({ lost }, "rules logged more frames than could be taken");
  }

  /** In the row of changes, when no frame of the port is under way any more. */
  async portGoes(name: string): Promise<void> {
    try {
      await this.service.portGoes(name);
      await this.policy.portGoes(name);
    } catch (error) {
      // Its index is safe: the next port to come has to get through to the dataplane first.
      this.parts.log.error({ port: name }, `rules or policies still name a port that went: ${errorLine(error)}`);
    }
  }

  /** When the workers have stopped. */
  close(): void {
    this.table.close();
  }

  private logFrame({ rule, port, length, head }: LoggedFrame): void {
    const { log, portName } = this.parts;
    const frame = Buffer.from(head).toString("hex");
    log.info({ rule, port: portName(port), length, frame }, "a rule logged a frame");
  }
}
