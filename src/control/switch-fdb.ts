// The fdb as an operator has it: ports by name, VLANs where there are any; and what is done about it once a second. Control thread.

import { errorLine, RingyardError } from "../core/errors.ts";
import { othersTurn, takingTurns, turnIsOver } from "../core/turns.ts";
import type { BridgePolicy } from "../dataplane/bridge/policy.ts";
import { FDB_VIDS, type Fdb } from "../dataplane/fdb-layout.ts";
import { MoveReader } from "../dataplane/fdb-moves.ts";
import { fdbEntries, fdbPortUse, fdbTotals } from "../dataplane/fdb-show.ts";
import { fdbFlushSteps, fdbSweepSteps } from "../dataplane/fdb-steps.ts";
import { fdbAddStatic, fdbDelete } from "../dataplane/fdb-table.ts";
import type { FdbEntry, FdbInfo, FdbRows, SwitchLog } from "./api.ts";
import { type Flap, FlapWatch } from "./flapping.ts";
import { FdbPolicy } from "./policy/fdb-policy.ts";
import { Rows } from "./rows.ts";

/** Of a storm of moves, so many addresses are named in the log each second; the rest is counted. */
const FLAPS_NAMED = 8;

export interface SwitchFdbParts {
  fdb: Fdb;
  settings: { readonly macLimit: number; readonly ageingS: number };
  log: SwitchLog;
  /** Of ports, by index. */
  names(): ReadonlyMap<number, string>;
  /** Throws RingyardError NOT_FOUND. */
  indexOf(port: string): number;
}

export class SwitchFdb {
  readonly policy: FdbPolicy;
  private readonly flaps: FlapWatch;
  private nowS = 0;
  private sweeping = false;

  constructor(private readonly parts: SwitchFdbParts) {
    this.policy = new FdbPolicy(parts.fdb, parts.settings.ageingS);
    this.flaps = new FlapWatch(new MoveReader(parts.fdb));
  }

  /** All workers obey this policy from now on. */
  async obey(policy: BridgePolicy): Promise<void> {
    try {
      await this.policy.changed(policy);
    } catch (error) {
      // Workers do what it says all the same; what has no place any more ages.
      this.parts.log.warn({}, `fdb: ${errorLine(error)}`);
    }
  }

  /** Once a second, and once before anything else. */
  keepHouse(nowS: number): void {
    this.nowS = nowS;
    void this.sweep(nowS);
    try {
      this.warn(this.flaps.look(nowS));
    } catch (error) {
      this.failed(error);
    }
  }

  private async sweep(nowS: number): Promise<void> {
    if (this.sweeping) return;
    this.sweeping = true;
    try {
      await takingTurns(fdbSweepSteps(this.parts.fdb, nowS));
    } catch (error) {
      this.failed(error);
    }
    this.sweeping = false;
  }

  /** Workers hold the table's lock for microseconds; the next second will do. */
  private failed(error: unknown): void {
    this.parts.log.warn({}, `fdb: ${errorLine(error)}`);
  }

  /** A port goes that has no lanes and no addresses any more: what moved to it and from it is not said of the next one of its index. */
  forget(port: number): void {
    this.flaps.forget(port);
  }

  private warn(flaps: readonly Flap[]): void {
    const { log } = this.parts;
    for (const flap of flaps.slice(0, FLAPS_NAMED)) {
      log.warn({ ...this.named(flap) }, "an address moves to and fro: a loop, or two stations that have it");
    }
    const more = flaps.length - FLAPS_NAMED;
    if (more > 0) log.warn({ more }, "more addresses move to and fro: see `ringyard fdb show`");
  }

  private named({ mac, vid, ports, moves }: Flap) {
    const names = this.parts.names();
    return { mac, ...vlanOf(vid), ports: ports.map((port) => names.get(port) ?? String(port)), moves };
  }

  /** Of a port: addresses learned, its limit, and how many came there from other ports. */
  ofPort(port: number): { count: number; limit: number; moves: { macMoves?: number } } {
    const { count, limit, moved } = fdbPortUse(this.parts.fdb, port);
    return { count, limit, moves: moved === 0 ? {} : { macMoves: moved } };
  }

  async info(portName?: string, vlan?: number): Promise<FdbInfo> {
    const { entries, ...rest } = this.rows(portName, vlan);
    const all: FdbEntry[] = [];
    for (const piece of entries.pieces) {
      for (const row of piece) all.push(row);
      if (turnIsOver()) await othersTurn();
    }
    return { entries: all, ...rest };
  }

  /** The same, with entries that are made when they are taken. */
  rows(portName?: string, vlan?: number): FdbRows {
    const { fdb, settings } = this.parts;
    const only = portName === undefined ? undefined : this.parts.indexOf(portName);
    const flapping = this.flaps
      .flapping()
      .filter(({ ports, vid }) => (only === undefined || ports.includes(only)) && (vlan === undefined || vlan === vid));
    const { learned, moved, evicted, aged } = fdbTotals(fdb);
    return {
      entries: new Rows(this.pieces(portName, only, vlan)),
      ...{ limit: settings.macLimit, ageingS: settings.ageingS },
      counters: { learned, moved, evicted, aged },
      ...(flapping.length === 0 ? {} : { flapping: flapping.map((flap) => this.named(flap)) }),
    };
  }

  private *pieces(portName?: string, only?: number, vlan?: number): Generator<FdbEntry[]> {
    for (const piece of fdbEntries(this.parts.fdb, this.nowS, only, vlan)) {
      const names = this.parts.names();
      // The port has gone meanwhile, and its index may be another's.
      if (only !== undefined && names.get(only) !== portName) return;
      yield piece.map(({ mac, vid, port, ageS, static: pinned }) => {
        const sticky = this.policy.isSticky(port) ? { sticky: true } : {};
        return { mac, ...vlanOf(vid), port: names.get(port) ?? String(port), ageS, static: pinned, ...sticky };
      });
    }
  }

  /** Addresses that were learned, by VLAN; 0: none. */
  async learned(): Promise<Map<number, number>> {
    const counts = new Map<number, number>();
    for (const piece of fdbEntries(this.parts.fdb, this.nowS)) {
      for (const { vid, static: pinned } of piece) if (!pinned) counts.set(vid, (counts.get(vid) ?? 0) + 1);
      if (turnIsOver()) await othersTurn();
    }
    return counts;
  }

  /** Without a VLAN: that of the port's untagged frames. */
  add(mac: string, portName: string, vlan?: number): void {
    const port = this.parts.indexOf(portName);
    if (vlan !== undefined && !this.policy.belongs(port, vlan)) {
      const advice = this.policy.hasVlans
        ? "`ringyard vlan show` lists who does"
        : "leave the VLAN out: no port has VLANs";
      throw new RingyardError("BAD_OPTION", `port ${portName} does not belong to VLAN ${vlan}`, advice);
    }
    const vid = vlan ?? this.policy.vlanOf(port);
    if (vid === undefined) {
      throw new RingyardError(
        "BAD_OPTION",
        `port ${portName} has no VLAN for untagged frames`,
        "say the VLAN of the address",
      );
    }
    fdbAddStatic(this.parts.fdb, mac, port, vid);
  }

  /** As it was pinned before; without a VLAN, in none. An address stays in its VLAN also where its port left that. */
  putBack(mac: string, portName: string, vlan = 0): void {
    fdbAddStatic(this.parts.fdb, mac, this.parts.indexOf(portName), vlan);
  }

  /** Without a VLAN: wherever the address is. */
  delete(mac: string, vlan?: number): void {
    const vids = vlan === undefined ? Array.from({ length: FDB_VIDS }, (_, vid) => vid) : [vlan];
    const gone = vids.filter((vid) => fdbDelete(this.parts.fdb, mac, vid));
    if (gone.length > 0) return;
    const where = vlan === undefined ? "" : ` in VLAN ${vlan}`;
    throw new RingyardError("NOT_FOUND", `no address ${mac}${where}`, "`ringyard fdb show` lists them");
  }

  /** A port that goes meanwhile may leave its index to another, whose first addresses are forgotten then: its next frames teach them again. */
  async flush(portName?: string, vlan?: number): Promise<number> {
    const port = portName === undefined ? undefined : this.parts.indexOf(portName);
    return takingTurns(fdbFlushSteps(this.parts.fdb, { port, vid: vlan }));
  }
}

function vlanOf(vid: number): { vlan?: number } {
  return vid === 0 ? {} : { vlan: vid };
}
