// A SwitchApi without a dataplane: ports are entries of a map and frames never move. It records what it was asked, and
// fails when it is told to, so that tests of the control side can look at both.
//
//   const fake = new FakeSwitch({});  fake.failures.set("addPort db", new RingyardError("BUSY", "no"));

import type {
  EndOptions,
  FdbEntry,
  FdbInfo,
  FdbRows,
  PortChanges,
  PortInfo,
  SwitchApi,
  SwitchEnd,
  SwitchSettings,
  SwitchStats,
} from "../../src/control/api.ts";
import { DEFAULTS } from "../../src/control/config.ts";
import { PolicyService } from "../../src/control/policy/policy-service.ts";
import { Rows } from "../../src/control/rows.ts";
import { RuleService } from "../../src/control/rules/rule-service.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { NO_POLICY } from "../../src/dataplane/bridge/policy.ts";
import type { Attached, AttachTarget, PortProbe, PortSpec } from "../../src/ports/port.ts";
import { FakeRuleTable } from "./fake-rule-table.ts";

const NOTHING = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0 };

export class FakeSwitch implements SwitchApi {
  readonly settings;
  /** Every change, as `addPort web`, `setPort web {"link":"down"}`, in order. */
  readonly calls: string[] = [];
  /** What a call throws, by the start of its text. */
  readonly failures = new Map<string, Error>();
  readonly entries = new Map<string, FdbEntry>();
  /** Of `fdbRows`, by whoever took them. */
  rowsMade = 0;
  readonly #ports = new Map<string, PortInfo>();
  /** Ports that are attached, and to what. */
  readonly attached = new Map<string, AttachTarget>();
  closed: EndOptions | null = null;
  /** What the dataplane was told of rules: `rules 1,2 web` with ids and meters, as a call. */
  readonly table = new FakeRuleTable((rules, meters) => {
    const words = [rules.map(({ id }) => id).join(), meters.map(({ name }) => name).join()];
    this.#call(`rules ${words.join(" ")}`.trimEnd());
  });
  readonly rules = new RuleService(this.table, (change) => this.#alone(change));
  readonly policy = new PolicyService(
    {
      setPolicy: async (policy) => {
        const listed = [policy.ports, policy.vlans, policy.mirrors].map(({ length }) => length);
        this.#call(`policy ${listed.join()}`);
        this.obeyed = policy;
      },
      directed: (vid) => vid,
    },
    (change) => this.#alone(change),
  );
  /** The policy that the dataplane was told last. */
  obeyed = NO_POLICY;
  readonly capture = { open: () => Promise.reject(new RingyardError("UNSUPPORTED", "no frames here")) };
  #changes: Promise<unknown> = Promise.resolve();

  constructor({
    cpus = [],
    poll = DEFAULTS.poll,
    ageingS = DEFAULTS.ageingS,
    macLimit = DEFAULTS.macLimit,
  }: SwitchSettings) {
    this.settings = { cpus, poll, ageingS, macLimit };
  }

  async addPort({ name, kind, uri, options }: PortSpec): Promise<PortInfo> {
    this.#call(`addPort ${name}`);
    if (this.#ports.has(name)) throw new RingyardError("EXISTS", `port ${name} exists`);
    const { mac, mtu, link = "up" } = options;
    const info: PortInfo = {
      ...{ name, index: this.#freeIndex(), kind, uri, mac, mtu, admin: link, carrier: true, queues: [] },
      ...{ errors: {}, details: { target: uri }, macs: 0, drops: {} },
      ...NOTHING,
    };
    await this.rules.portComes(name, info.index);
    await this.policy.portComes(name, info.index);
    this.#ports.set(name, info);
    return info;
  }

  whileHeld<T>(action: () => Promise<T>): Promise<T> {
    return action();
  }

  async removePort(name: string, { keep = false }: EndOptions = {}): Promise<void> {
    this.#call(`removePort ${name}${keep ? " keep" : ""}`);
    this.port(name);
    this.#ports.delete(name);
    for (const { mac, port } of [...this.entries.values()]) if (port === name) this.entries.delete(mac);
    await this.rules.portGoes(name);
    await this.policy.portGoes(name);
  }

  async attachPort(name: string, target: AttachTarget): Promise<Attached> {
    this.#call(`attachPort ${name} ${JSON.stringify(target)}`);
    this.#mustAttach(name);
    this.attached.set(name, target);
    if (target.to === "vm") {
      const path = "/dev/vhost-vdpa-0";
      return { vm: { path, qemu: ["-netdev", `vhost-vdpa,id=${name},vhostdev=${path}`, "-name", "a guest"] } };
    }
    return { netdev: { netns: target.netns, ifname: target.ifname ?? "eth0", mac: "02:00:00:00:00:0a" } };
  }

  async detachPort(name: string): Promise<PortInfo> {
    this.#call(`detachPort ${name}`);
    this.#mustAttach(name);
    if (!this.attached.delete(name)) throw new RingyardError("NOT_FOUND", `port ${name} is not attached`);
    return this.port(name);
  }

  attaching(): undefined {
    return undefined;
  }

  #mustAttach(name: string): void {
    const { kind } = this.port(name);
    if (kind !== "vduse") throw new RingyardError("UNSUPPORTED", `port ${name}: a ${kind} port has nothing to attach`);
  }

  async setPort(name: string, changes: PortChanges): Promise<PortInfo> {
    this.#call(`setPort ${name} ${JSON.stringify(changes)}`);
    const { link, mtu, macLimit } = changes;
    return Object.assign(
      this.port(name),
      link === undefined ? {} : { admin: link },
      mtu === undefined ? {} : { mtu: mtu ?? undefined },
      macLimit === undefined ? {} : { macLimit },
    );
  }

  port(name: string): PortInfo {
    const port = this.#ports.get(name);
    if (port === undefined) throw new RingyardError("NOT_FOUND", `no port ${name}`);
    return port;
  }

  ports(): PortInfo[] {
    return [...this.#ports.values()];
  }

  #addresses(portName?: string, vlan?: number) {
    return [...this.entries.values()].filter(
      (it) => (portName ?? it.port) === it.port && (vlan ?? it.vlan) === it.vlan,
    );
  }

  async fdbLearned(): Promise<Map<number, number>> {
    return new Map();
  }

  async fdb(portName?: string, vlan?: number): Promise<FdbInfo> {
    return { ...this.fdbRows(portName, vlan), entries: this.#addresses(portName, vlan) };
  }

  fdbRows(portName?: string, vlan?: number): FdbRows {
    const { macLimit, ageingS } = this.settings;
    const entries = Rows.of(this.#addresses(portName, vlan), (entry) => {
      this.rowsMade++;
      return entry;
    });
    return { entries, limit: macLimit, ageingS, counters: { learned: 0, moved: 0, evicted: 0, aged: 0 } };
  }

  fdbAdd(mac: string, port: string, vlan?: number): void {
    this.port(port);
    this.entries.set(mac, { mac, ...(vlan === undefined ? {} : { vlan }), port, ageS: 0, static: true });
  }

  fdbDelete(mac: string): void {
    if (!this.entries.delete(mac)) throw new RingyardError("NOT_FOUND", `no address ${mac}`);
  }

  async fdbFlush(portName?: string, vlan?: number): Promise<number> {
    const gone = this.#addresses(portName, vlan).filter((entry) => !entry.static);
    for (const { mac } of gone) this.entries.delete(mac);
    return gone.length;
  }

  configure(settings: SwitchSettings): void {
    this.#call(`configure ${JSON.stringify(settings)}`);
    Object.assign(this.settings, settings);
  }

  stats(): SwitchStats {
    const ports = this.ports().map(({ name, drops }) => ({ name, ...NOTHING, drops }));
    const timed = { breaths: 0, frames: 0, fetchNs: 0, classifyNs: 0, copyNs: 0, publishNs: 0 };
    const worker = {
      worker: 0,
      cpu: -1,
      lanes: ports.length,
      breaths: 10,
      sleeps: 2,
      busyBreaths: 5,
      frames: 0,
      timed,
    };
    return {
      uptimeS: 1,
      poll: this.settings.poll,
      totals: { ...NOTHING, copies: 0, dropped: 0 },
      ports,
      workers: [worker],
    };
  }

  probe(): Record<string, PortProbe & { summary: string }> {
    return {};
  }

  async close(options: EndOptions = {}): Promise<SwitchEnd> {
    this.closed = options;
    return { kept: options.keep ? [...this.attached.keys()] : [], failed: [] };
  }

  #freeIndex(): number {
    const used = new Set(this.ports().map(({ index }) => index));
    for (let index = 0; ; index++) if (!used.has(index)) return index;
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => {});
    return result;
  }

  #call(text: string): void {
    this.calls.push(text);
    for (const [start, error] of this.failures) if (text.startsWith(start)) throw error;
  }
}

/** A log that says nothing. */
export const quiet = { info() {}, warn() {}, error() {} };
