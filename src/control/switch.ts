// The running switch: workers, fdb, ports. Implements SwitchApi (api.ts); the configuration, the control socket and embedding
// programs are its only users. Changes to the set of ports run one after the other, so that nothing is ever half made; an
// attach waits for the kernel and so runs beside them, one at a time for each port.
// Control thread only.

import { errorLine, RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import { takingTurns } from "../core/turns.ts";
import { Dispatcher } from "../dataplane/dispatch.ts";
import { allocateFdb, FDB_ADDRESSES_DEFAULT, FDB_AGEING_DEFAULT_S, type Fdb } from "../dataplane/fdb-layout.ts";
import { fdbFlushSteps, fdbLimitSteps, fdbResetSteps } from "../dataplane/fdb-steps.ts";
import { MAX_PORTS, POLL_ADAPTIVE, POLL_BUSY, POLL_INTERRUPT, POLL_MODE } from "../dataplane/shared.ts";
import { publish32 } from "../mem/access.ts";
import type { Attached, AttachTarget, PortProbe, PortSpec } from "../ports/port.ts";
import { Reactor } from "../sys/reactor.ts";
import type {
  EndOptions,
  FdbInfo,
  FdbRows,
  PollMode,
  PortChanges,
  PortInfo,
  SwitchApi,
  SwitchEnd,
  SwitchLog,
  SwitchSettings,
  SwitchStats,
} from "./api.ts";
import type { CaptureApi } from "./capture.ts";
import { DmaRegistry } from "./dma.ts";
import type { PolicyApi } from "./policy/policy-service.ts";
import { checkPortLimit } from "./ports-fit.ts";
import type { RulesApi } from "./rules/rules-api.ts";
import { RunningPort } from "./running-port.ts";
import { SwitchFdb } from "./switch-fdb.ts";
import { SwitchRules } from "./switch-rules.ts";
import { addCounters, emptyTotals, type LaneTotals, switchStats } from "./switch-stats.ts";
import { kinds } from "./wiring.ts";

const POLL_MODES: Readonly<Record<PollMode, number>> = {
  adaptive: POLL_ADAPTIVE,
  busy: POLL_BUSY,
  interrupt: POLL_INTERRUPT,
};
const HOUSEKEEPING_MS = 1000;

/** Starts the workers; resolves when all of them run. */
export async function createSwitch(settings: SwitchSettings, log: SwitchLog): Promise<SwitchApi> {
  const created = new Switch(settings, log);
  await created.ready;
  return created;
}

class Switch implements SwitchApi {
  readonly settings: { cpus: number[]; poll: PollMode; ageingS: number; macLimit: number };
  readonly ready: Promise<void>;
  readonly rules: RulesApi;
  readonly policy: PolicyApi;
  readonly capture: CaptureApi;
  private readonly switchRules: SwitchRules;
  private readonly fdbTable: Fdb;
  private readonly addresses: SwitchFdb;
  private readonly reactor = new Reactor();
  private readonly dispatcher: Dispatcher;
  private readonly dma: DmaRegistry;
  private readonly byName = new Map<string, RunningPort>();
  private readonly startedMs = performance.now();
  private readonly housekeeping: ReturnType<typeof setInterval>;
  /** What removed ports had counted, so that the law of the switch outlives them. */
  private readonly retired: LaneTotals = emptyTotals();
  private changes: Promise<unknown> = Promise.resolve();
  private closing: Promise<SwitchEnd> | undefined;

  constructor(
    settings: SwitchSettings,
    private readonly log: SwitchLog,
  ) {
    const cpus = settings.cpus ?? [];
    this.settings = {
      cpus,
      poll: settings.poll ?? "adaptive",
      ageingS: settings.ageingS ?? FDB_AGEING_DEFAULT_S,
      macLimit: settings.macLimit ?? FDB_ADDRESSES_DEFAULT,
    };
    this.fdbTable = allocateFdb(this.settings.macLimit);
    const entry = new URL("./worker-entry.ts", import.meta.url).href;
    this.dispatcher = new Dispatcher(cpus.length > 0 ? cpus : [-1], this.fdbTable, entry, (error) => {
      // Frames stand still without it, and guests recover best from a restart: see "Restart" in docs/ARCHITECTURE.md.
      log.error({ error: error.message }, "a dataplane worker ended by itself");
      process.exit(70);
    });
    this.dma = new DmaRegistry(this.dispatcher);
    this.addresses = new SwitchFdb({
      ...{ fdb: this.fdbTable, settings: this.settings, log },
      names: () => this.names(),
      indexOf: (port) => this.get(port).index,
    });
    this.switchRules = new SwitchRules({
      dispatcher: this.dispatcher,
      fdb: this.fdbTable,
      portName: (index) => this.names().get(index) ?? String(index),
      port: (index) => [...this.byName.values()].find((port) => port.index === index),
      onPolicy: (policy) => this.addresses.obey(policy),
      log,
      alone: (change) =>
        this.change(() => {
          this.refuseAtEnd();
          return change();
        }),
    });
    this.rules = this.switchRules.service;
    this.policy = this.switchRules.policy;
    this.capture = this.switchRules.capture;
    this.configure(this.settings);
    this.addresses.keepHouse(this.dispatcher.tick());
    this.housekeeping = setInterval(() => this.keepHouse(), HOUSEKEEPING_MS);
    this.ready = this.dispatcher.callAll({ op: "ping" });
  }

  private keepHouse(): void {
    this.addresses.keepHouse(this.dispatcher.tick());
    this.switchRules.keepHouse();
    void this.dma.watch().catch((error) => this.log.warn({}, `NICs: ${errorLine(error)}`));
  }

  configure(settings: SwitchSettings): void {
    if (settings.macLimit !== undefined && settings.macLimit !== this.settings.macLimit) {
      throw new RingyardError("UNSUPPORTED", "mac-limit of a running switch cannot change", "restart the switch");
    }
    if (settings.cpus !== undefined && settings.cpus.join() !== this.settings.cpus.join()) {
      throw new RingyardError("UNSUPPORTED", "cpus of a running switch cannot change", "restart the switch");
    }
    if (settings.ageingS !== undefined) {
      this.settings.ageingS = settings.ageingS;
      this.addresses.policy.setAgeing(settings.ageingS);
    }
    if (settings.poll !== undefined) {
      this.settings.poll = settings.poll;
      publish32(this.dispatcher.shared.control, POLL_MODE, POLL_MODES[settings.poll]);
      // A sleeping worker sees the new mode when its doorbell rings.
      void this.dispatcher.callAll({ op: "ping" });
    }
  }

  addPort(spec: PortSpec): Promise<PortInfo> {
    return this.change(async () => {
      this.refuseAtEnd();
      if (this.byName.has(spec.name)) {
        throw new RingyardError("EXISTS", `port ${spec.name} exists`, "choose another name or delete it first");
      }
      const kind = kinds[spec.kind];
      if (kind === undefined) throw new RingyardError("BAD_URI", `unknown port kind ${spec.kind}`);
      const port = new RunningPort(spec, this.freeIndex(), this.dispatcher, this.dma, this.reactor, this.log);
      let told = false;
      const comes = () => {
        told = true;
        return this.switchRules.portComes(spec.name, port.index);
      };
      try {
        await port.open(kind, comes);
      } catch (error) {
        if (told) await this.refused(port);
        throw error;
      }
      this.byName.set(spec.name, port);
      this.log.info({ port: spec.name, uri: spec.uri }, "port added");
      return this.info(port);
    });
  }

  async whileHeld<T>(action: () => Promise<T>): Promise<T> {
    await this.dispatcher.callAll({ op: "fetch", on: false });
    try {
      return await action();
    } finally {
      if (this.closing === undefined) await this.dispatcher.callAll({ op: "fetch", on: true });
    }
  }

  removePort(name: string, { keep = false }: EndOptions = {}): Promise<void> {
    const remove = () => this.change(async () => void (await this.remove(this.get(name), keep)));
    // Outside of the row of changes: those of other ports need not wait for this port's kernel.
    return this.attaching(name)?.then(remove) ?? remove();
  }

  /** A port failed that may have had a lane by then, and frames: nothing of them is left to the next one of its index. */
  private async refused(port: RunningPort): Promise<void> {
    const { index, spec } = port;
    try {
      await this.forget(index);
    } catch (error) {
      this.log.warn({ port: spec.name }, `its addresses age: ${errorLine(error)}`);
    }
    await this.switchRules.portGoes(spec.name);
  }

  /** Of a port that has no lane any more, addresses go, and what it counted stays. `held`: nobody asks the fdb. */
  private async forget(index: number, held = false): Promise<void> {
    if (!held) await takingTurns(fdbResetSteps(this.fdbTable, index, this.settings.macLimit));
    // Bursts classified before the flush count their drops at the port.
    await this.dispatcher.callAll({ op: "ping" });
    addCounters(this.retired, this.dispatcher, index);
    this.addresses.forget(index);
  }

  /**
   * In the row of changes: its index is used again when nothing of it is left. `held`: nothing is fetched any more, so nobody asks the fdb.
   * Returns why its kind did not end as it should; the port is gone all the same.
   */
  private async remove(port: RunningPort, keep: boolean, held = false): Promise<string | undefined> {
    const failure = await port.close(keep);
    // Not before: a frame in flight could teach the port's addresses again until its lanes are closed.
    await this.forget(port.index, held);
    this.byName.delete(port.spec.name);
    // At the end of the switch nothing is fetched any more, and each port would cost a compilation.
    if (this.closing === undefined) await this.switchRules.portGoes(port.spec.name);
    // A static address may have been added meanwhile; the next port of this index must not inherit it.
    if (!held) await takingTurns(fdbFlushSteps(this.fdbTable, { port: port.index, statics: true }));
    this.log.info({ port: port.spec.name }, keep ? "port closed" : "port removed");
    return failure;
  }

  setPort(name: string, changes: PortChanges): Promise<PortInfo> {
    return this.change(async () => {
      const port = this.get(name);
      const { macLimit } = changes;
      checkPortLimit(`port ${name}`, macLimit, this.settings.macLimit);
      await port.set(changes);
      if (changes.link === "up") this.switchRules.watch.blocks.release(port.index);
      if (macLimit !== undefined) await takingTurns(fdbLimitSteps(this.fdbTable, port.index, macLimit));
      return this.info(port);
    });
  }

  async attachPort(name: string, target: AttachTarget): Promise<Attached> {
    this.refuseAtEnd();
    const attached = await this.get(name).attach(target);
    this.log.info({ port: name, ...(attached.netdev ?? { vm: attached.vm?.path }) }, "port attached");
    return attached;
  }

  async detachPort(name: string): Promise<PortInfo> {
    this.refuseAtEnd();
    const port = this.get(name);
    await port.detach();
    this.log.info({ port: name }, "port detached");
    return this.info(port);
  }

  attaching(name: string): Promise<unknown> | undefined {
    return this.byName.get(name)?.attaching;
  }

  port(name: string): PortInfo {
    return this.info(this.get(name));
  }

  ports(): PortInfo[] {
    return [...this.byName.values()].map((port) => this.info(port));
  }

  private info(port: RunningPort): PortInfo {
    const { count, limit, moves } = this.addresses.ofPort(port.index);
    return {
      ...port.info(count, limit),
      ...moves,
      ...this.switchRules.watch.blocks.info(port.index),
      ...this.switchRules.limits(port.index),
    };
  }

  fdb(portName?: string, vlan?: number): Promise<FdbInfo> {
    return this.addresses.info(portName, vlan);
  }

  fdbRows(portName?: string, vlan?: number): FdbRows {
    return this.addresses.rows(portName, vlan);
  }

  fdbLearned(): Promise<Map<number, number>> {
    return this.addresses.learned();
  }

  fdbAdd(mac: string, portName: string, vlan?: number, back = false): void {
    if (back) this.addresses.putBack(mac, portName, vlan);
    else this.addresses.add(mac, portName, vlan);
  }

  fdbDelete(mac: string, vlan?: number): void {
    this.addresses.delete(mac, vlan);
  }

  fdbFlush(portName?: string, vlan?: number): Promise<number> {
    return this.addresses.flush(portName, vlan);
  }

  stats(): SwitchStats {
    const uptimeS = (performance.now() - this.startedMs) / 1000;
    return switchStats(this.dispatcher, this.settings, uptimeS, [...this.byName.values()], this.retired);
  }

  probe(): Record<string, PortProbe & { summary: string }> {
    return Object.fromEntries(
      Object.values(kinds).map((kind) => [kind.kind, { summary: kind.summary, ...kind.probe() }]),
    );
  }

  close({ keep = false }: EndOptions = {}): Promise<SwitchEnd> {
    this.closing ??= this.change(async () => {
      const ports = [...this.byName.values()];
      // A driver that is being attached speaks to running workers.
      for (const port of ports) await port.attaching;
      clearInterval(this.housekeeping);
      await this.switchRules.stop();
      // First, so that no port takes frames for one that is gone already: they wait in their rings for the next switch.
      await this.dispatcher.callAll({ op: "fetch", on: false });
      const end = await this.removeAll(ports, keep);
      await this.dispatcher.stop();
      this.switchRules.close();
      await this.reactor.close();
      return end;
    });
    return this.closing;
  }

  private async removeAll(ports: readonly RunningPort[], keep: boolean): Promise<SwitchEnd> {
    const end: SwitchEnd = { kept: [], failed: [] };
    for (const port of ports) {
      const { name } = port.spec;
      const stays = keep && port.attached;
      try {
        const reason = await this.remove(port, keep, true);
        if (reason !== undefined) end.failed.push({ name, reason });
        else if (stays) end.kept.push(name);
      } catch (error) {
        const reason = errorLine(error);
        this.log.error({ port: name }, reason);
        end.failed.push({ name, reason });
      }
    }
    return end;
  }

  private refuseAtEnd(): void {
    if (this.closing !== undefined) throw new RingyardError("BUSY", "the switch is shutting down");
  }

  private get(name: string): RunningPort {
    const port = this.byName.get(name);
    if (port === undefined)
      throw new RingyardError("NOT_FOUND", `no port ${word(name)}`, "`ringyard port list` names them");
    return port;
  }

  /** Of ports, by index. */
  private names(): Map<number, string> {
    return new Map([...this.byName.values()].map((port) => [port.index, port.spec.name]));
  }

  private freeIndex(): number {
    const used = new Set([...this.byName.values()].map((port) => port.index));
    for (let index = 0; index < MAX_PORTS; index++) if (!used.has(index)) return index;
    throw new RingyardError("LIMIT", `the switch has ${MAX_PORTS} ports already`, "delete one first");
  }

  /** Runs one change after all earlier ones, whatever became of them. */
  private change<T>(action: () => Promise<T>): Promise<T> {
    const result = this.changes.then(action);
    this.changes = result.catch(() => undefined);
    return result;
  }
}
