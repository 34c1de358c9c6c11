// One port of the running switch: the kind's Port together with what the switch knows of it (index, admin state, carrier, whether
// it is blocked, errors, lanes). It is the PortHost that the kind talks to. Control thread only.

import { errorLine, RingyardError } from "../core/errors.ts";
import type { Dispatcher } from "../dataplane/dispatch.ts";
import { MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "../dataplane/shared.ts";
import { publish32 } from "../mem/access.ts";
import { MAX_FRAME } from "../mem/batch.ts";
import type { DmaSpace } from "../mem/dma.ts";
import { DELIVER_STATUS, FETCH_STATUS, RING_BROKEN } from "../mem/lane-state.ts";
import type {
  Attached,
  AttachTarget,
  DmaProvision,
  LaneConfig,
  MemoryShare,
  Port,
  PortHost,
  PortKind,
  PortLog,
  PortSpec,
  SharedRegion,
} from "../ports/port.ts";
import type { Reactor } from "../sys/reactor.ts";
import type { PortChanges, PortInfo, QueueInfo, SwitchLog } from "./api.ts";
import type { DmaRegistry } from "./dma.ts";
import { checkPortCpu } from "./host.ts";
import { readCounters, sumCounters } from "./switch-stats.ts";
import { formatUri } from "./uri.ts";

/** Ethernet header and two VLAN tags: what a frame may have beside its MTU. */
const FRAME_OVERHEAD = 14 + 8;

export class RunningPort implements PortHost {
  readonly log: PortLog;
  private port: Port | undefined;
  private kind: PortKind | undefined;
  private admin: "up" | "down";
  private carrier = false;
  private blocked = false;
  /** Resolves when rules and policies know of the port: before its first lane opens. */
  private arrival: Promise<void> | undefined;
  private arrived = false;
  private comes = async () => {};
  private mtu: number | undefined;
  private readonly errors = new Map<string, number>();
  /** The last attach, detach or close: each waits for the one before. */
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  private leaving = false;

  constructor(
    readonly spec: PortSpec,
    readonly index: number,
    private readonly dispatcher: Dispatcher,
    private readonly dma: DmaRegistry,
    readonly reactor: Reactor,
    log: SwitchLog,
  ) {
    this.log = {
      info: (message, facts) => log.info({ port: spec.name, ...facts }, message),
      warn: (message, facts) => log.warn({ port: spec.name, ...facts }, message),
    };
    this.mtu = spec.options.mtu;
    this.admin = spec.options.link ?? "up";
  }

  /**
   * Makes the port. Throws what the kind throws, with no lane left open. `comes` tells rules and policies of the port, once, and what it throws is
   * thrown: when the kind has come as far as its first lane, since others notice it (VLANs begin, addresses are forgotten), and most of what a kind
   * may refuse it has refused by then.
   */
  async open(kind: PortKind, comes = this.comes): Promise<void> {
    this.kind = kind;
    this.comes = comes;
    this.dispatcher.resetPort(this.index, this.worker());
    this.publish();
    try {
      this.port = await kind.open(this.spec, this);
      await this.arrive();
      if (this.admin === "down") this.port.setLink?.(false);
    } catch (error) {
      try {
        await this.port?.close(true);
      } catch (failure) {
        // Its lanes go all the same: the next port of this index is to find none.
        this.log.warn(`the port was refused, and did not end as it should: ${errorLine(failure)}`);
      }
      await this.end();
      this.setCarrier(false);
      throw error;
    }
  }

  private arrive(): Promise<void> {
    this.arrival ??= this.comes().then(() => {
      this.arrived = true;
      this.publish();
    });
    return this.arrival;
  }

  /** The worker that the port asks for. */
  private worker(): number | undefined {
    const { name, options } = this.spec;
    if (options.cpu === undefined) return undefined;
    checkPortCpu(`port ${name}`, options.cpu, this.dispatcher.cpus);
    return this.dispatcher.cpus.indexOf(options.cpu);
  }

  get workerCpus(): readonly number[] {
    return this.dispatcher.cpus;
  }

  /**
   * Waits for an attach that is under way. Resolves with why the kind did not end as it should: nothing of the port is used any more all the same,
   * since one that is half gone could neither be deleted nor work.
   */
  close(keep = false): Promise<string | undefined> {
    return this.alone(async () => {
      this.leaving = true;
      // Down first: other ports stop sending here while the lanes close.
      this.admin = "down";
      this.publish();
      const failure = await this.endKind(keep);
      await this.end();
      return failure;
    });
  }

  private async endKind(keep: boolean): Promise<string | undefined> {
    try {
      await this.port?.close(keep);
    } catch (error) {
      const failure = errorLine(error);
      this.log.warn(`the port did not end as it should: ${failure}`);
      return failure;
    }
  }

  /** Takes away what the kind may have left. */
  private async end(): Promise<void> {
    for (let pair = 0; pair < MAX_PAIRS; pair++) await this.dispatcher.close(this.index, pair);
    await this.dma.end(this.index);
  }

  attach(target: AttachTarget): Promise<Attached> {
    return this.alone(async () => {
      const { port } = this;
      if (this.leaving) throw this.gone();
      if (port?.attach === undefined) throw this.nothingTo("attach");
      return port.attach(target);
    });
  }

  detach(): Promise<void> {
    return this.alone(async () => {
      const { port } = this;
      if (this.leaving) throw this.gone();
      if (port?.detach === undefined) throw this.nothingTo("detach");
      return port.detach();
    });
  }

  /** Whether a container or a VM holds the port's device, as the kind says in its details. */
  get attached(): boolean {
    const { attached = "no" } = this.port?.details() ?? {};
    return attached !== "no";
  }

  /** While an attach, detach or close is under way: resolves at its end. Else undefined. */
  get attaching(): Promise<unknown> | undefined {
    return this.waiting > 0 ? this.last : undefined;
  }

  private nothingTo(what: "attach" | "detach"): RingyardError {
    const { name, kind } = this.spec;
    const next = "its driver comes by itself; ports of kind vduse are attached";
    return new RingyardError("UNSUPPORTED", `port ${name}: a ${kind} port has nothing to ${what}`, next);
  }

  private gone(): RingyardError {
    return new RingyardError("NOT_FOUND", `port ${this.spec.name} was removed meanwhile`);
  }

  /** Runs one action after all earlier ones, whatever became of them. */
  private alone<T>(action: () => Promise<T>): Promise<T> {
    this.waiting++;
    const result = this.last.then(action);
    const end = () => void this.waiting--;
    this.last = result.then(end, end);
    return result;
  }

  async set(changes: PortChanges): Promise<void> {
    const { mtu } = this;
    if (changes.mtu !== undefined) await this.setMtu(changes.mtu ?? undefined);
    try {
      if (changes.link !== undefined) this.port?.setLink?.(changes.link === "up");
    } catch (error) {
      await this.setMtu(mtu);
      throw error;
    }
    this.admin = changes.link ?? this.admin;
    this.publish();
  }

  private async setMtu(mtu: number | undefined): Promise<void> {
    if (mtu === this.mtu) return;
    const { spec } = this;
    if (!(await this.port?.set?.({ ...spec.options, mtu }))) {
      throw new RingyardError(
        "UNSUPPORTED",
        `port ${spec.name}: the mtu of a running ${spec.kind} port cannot change`,
        "delete the port and add it again",
      );
    }
    this.mtu = mtu;
    spec.options.mtu = mtu;
    if (this.kind !== undefined) spec.uri = formatUri(this.kind, spec.target, spec.options);
    this.publish();
  }

  /** No frame passes from now on (policy/port-blocks.ts); the driver is not told. */
  block(): void {
    this.blocked = true;
    this.publish();
  }

  unblock(): void {
    this.blocked = false;
    this.publish();
  }

  /** Shows the workers whether frames may pass, and how long they may be. */
  private publish(): void {
    const { control } = this.dispatcher.shared;
    const up = this.arrived && this.admin === "up" && this.carrier && !this.blocked;
    const longest = this.mtu === undefined ? MAX_FRAME : this.mtu + FRAME_OVERHEAD;
    publish32(control, SharedState.portWord(this.index, PORT_UP), up ? 1 : 0);
    publish32(control, SharedState.portWord(this.index, PORT_MAX_FRAME), longest);
  }

  async openLane(pair: number, config: LaneConfig): Promise<void> {
    await this.arrive();
    await this.dispatcher.open(this.index, pair, config, this.dma.reaches(this.index));
  }

  closeLane(pair: number): Promise<void> {
    return this.dispatcher.close(this.index, pair);
  }

  shareMemory(regions: readonly SharedRegion[]): Promise<MemoryShare> {
    return this.dma.share(this.index, this.log, regions);
  }

  provideDma(space: DmaSpace, reset: () => Promise<void>): Promise<DmaProvision> {
    return this.dma.provide(this.index, this.log, space, reset);
  }

  fence(): Promise<void> {
    return this.dispatcher.callAll({ op: "ping" });
  }

  laneState(pair: number): Int32Array {
    return this.dispatcher.shared.laneState(this.index * MAX_PAIRS + pair);
  }

  setCarrier(up: boolean): void {
    if (this.carrier === up) return;
    this.carrier = up;
    this.publish();
  }

  countError(name: string): void {
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
  }

  info(macs: number, macLimit: number): PortInfo {
    const { name, kind, uri, options } = this.spec;
    const queues = this.queues();
    return {
      name,
      index: this.index,
      kind,
      uri,
      admin: this.admin,
      carrier: this.carrier,
      ...(options.mac === undefined ? {} : { mac: options.mac }),
      ...(this.mtu === undefined ? {} : { mtu: this.mtu }),
      ...sumCounters(this.allCounters()),
      queues,
      errors: Object.fromEntries(this.errors),
      details: { ...this.port?.details(), ...this.dma.details(this.index) },
      macs,
      macLimit,
    };
  }

  /** Counters of every queue pair, also of those that are closed now. */
  allCounters(): Float64Array[] {
    return Array.from({ length: MAX_PAIRS }, (_, pair) => this.dispatcher.counters(this.index, pair));
  }

  private queues(): QueueInfo[] {
    return this.allCounters().flatMap((counters, pair) => {
      const open = this.dispatcher.isOpen(this.index, pair);
      const seen = readCounters(counters);
      if (!open && seen.rxFrames === 0 && seen.txFrames === 0) return [];
      const state = this.laneState(pair);
      const broken = state[FETCH_STATUS] === RING_BROKEN || state[DELIVER_STATUS] === RING_BROKEN;
      return [
        {
          queue: pair,
          worker: this.dispatcher.owner(this.index, pair),
          state: broken ? "broken" : open ? "running" : "stopped",
          ...seen,
        } satisfies QueueInfo,
      ];
    });
  }
}
