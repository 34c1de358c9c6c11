// The running configuration: what the switch was told, kept beside the switch, so that a reload knows what changed and
// `config show` can print it. Every change goes through here, one at a time: two clients and a SIGHUP cannot interleave.
//
//   declared   ports of the file and the command line; a reload makes them what the file says
//   by hand    ports of `port add`; a reload leaves them alone, until the file names one
//
// Rules and meters alike: a file names a rule by its id, where it gives one, else by its text (rules/declared-rules.ts).
//
// But an attach: it waits for the kernel, changes nothing of what was told, and the switch itself sees that it and the end
// of its port do not meet. Control thread.

import { RingyardError } from "../core/errors.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";
import type { Attached, AttachTarget } from "../ports/port.ts";
import type { PortInfo, SwitchApi } from "./api.ts";
import { addPort, applyActions } from "./apply.ts";
import { type Config, checkNames, emptyConfig, type PortConfig } from "./config.ts";
import { type Difference, difference } from "./diff.ts";
import { suggest } from "./nearest.ts";
import { word } from "./quote.ts";
import { DeclaredRules, type Replaced } from "./rules/declared-rules.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import type { MeterInfo, RuleInfo } from "./rules/rules-api.ts";
import { type Kinds, withOptions } from "./uri.ts";

export class Running {
  #config: Config;
  #declared = new Set<string>();
  readonly #rules: DeclaredRules;
  #last: Promise<unknown> = Promise.resolve();

  /** `started`: the settings with which the switch was created; it has no ports yet. */
  constructor(
    readonly api: SwitchApi,
    readonly kinds: Kinds,
    started: Pick<Config, "settings" | "control">,
  ) {
    this.#config = { ...emptyConfig(), settings: started.settings, control: started.control };
    this.#rules = new DeclaredRules(api.rules);
  }

  get config(): Config {
    const { rules, meters } = this.api.rules.set();
    return { ...this.#config, rules: rules.map(({ rule }) => ({ rule })), meters: byName(meters) };
  }

  /** Makes the switch what `wanted` says, and leaves what was added by hand. All or nothing. `held`: no frame is taken meanwhile. */
  replace(wanted: Config, { held = false } = {}): Promise<Difference> {
    return this.#alone(async () => {
      const ports = new Map(wanted.ports);
      for (const [name, port] of this.#config.ports) {
        if (!this.#declared.has(name) && !ports.has(name)) ports.set(name, port);
      }
      const rules = this.#rules.merged(wanted);
      checkNames(wanted, ports.keys(), byName(rules.after.meters).keys());
      const diff = difference(this.#config, { ...wanted, ports }, this.kinds, { rules, held });
      await applyActions(this.api, diff.actions);
      this.#rules.declare(wanted, rules);
      // What needs a restart stays as it is, and is named again at the next reload.
      const { cpus, macLimit } = this.#config.settings;
      const settings = { ...wanted.settings, cpus, macLimit };
      this.#config = { ...this.#config, settings, ports };
      this.#declared = new Set(wanted.ports.keys());
      return diff;
    });
  }

  addPort(port: PortConfig): Promise<PortInfo> {
    return this.#alone(async () => {
      const { name } = port.spec;
      if (this.#config.ports.has(name)) {
        throw new RingyardError("EXISTS", `port ${name} exists`, `choose another name, or ringyard port del ${name}`);
      }
      await addPort(this.api, port);
      this.#config.ports.set(name, port);
      return this.api.port(name);
    });
  }

  removePort(name: string): Promise<void> {
    const remove = () =>
      this.#alone(async () => {
        this.#find(name);
        await this.api.removePort(name);
        this.#config.ports.delete(name);
        this.#declared.delete(name);
      });
    // Others' changes do not queue up behind a port that waits for its kernel.
    return this.api.attaching(name)?.then(remove) ?? remove();
  }

  setPort(name: string, changes: { link?: "up" | "down"; mtu?: number; macLimit?: number }): Promise<PortInfo> {
    return this.#alone(async () => {
      const port = this.#find(name);
      const info = await this.api.setPort(name, changes);
      const { mtu, ...others } = changes;
      const spec = mtu === undefined ? port.spec : withOptions(port.spec, { mtu }, this.kinds);
      this.#config.ports.set(name, { ...port, ...others, spec });
      return info;
    });
  }

  async attachPort(name: string, target: AttachTarget): Promise<Attached> {
    this.#find(name);
    return await this.api.attachPort(name, target);
  }

  async detachPort(name: string): Promise<PortInfo> {
    this.#find(name);
    return await this.api.detachPort(name);
  }

  addRule(rule: NamedRule): Promise<RuleInfo> {
    return this.#alone(() => this.api.rules.add(rule));
  }

  deleteRules(ids: readonly number[]): Promise<void> {
    return this.#alone(() => this.api.rules.delete(ids));
  }

  /** Puts these in the place of all rules that there are, at once; the meters beside those that there are. */
  replaceRules(rules: readonly NamedRule[], meters: readonly MeterSpec[]): Promise<Replaced> {
    return this.#alone(() => this.#rules.replace(rules, meters));
  }

  setMeter(meter: MeterSpec): Promise<MeterInfo> {
    return this.#alone(() => this.api.rules.setMeter(meter));
  }

  deleteMeter(name: string): Promise<void> {
    return this.#alone(() => this.api.rules.deleteMeter(name));
  }

  #find(name: string): PortConfig {
    const port = this.#config.ports.get(name);
    if (port !== undefined) return port;
    throw new RingyardError("NOT_FOUND", `no port ${word(name)}`, suggest(name, "ports:", this.#config.ports.keys()));
  }

  /** Runs after every change that was asked for before. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change);
    this.#last = result.catch(() => {});
    return result;
  }
}

function byName(meters: readonly MeterSpec[]): Map<string, MeterSpec> {
  return new Map(meters.map((meter) => [meter.name, meter]));
}
