// The running configuration: what the switch was told, kept beside the switch, so that a reload knows what changed and
// `config show` can print it. Every change goes through here, one at a time: two clients and a SIGHUP cannot interleave.
//
//   declared   ports of the file: a reload makes them what the file says; of the command line: it makes those that are not there
//   by hand    ports of `port add`; a reload leaves them alone, until the file names one
//
// Rules and meters alike: a file names a rule by its id, where it gives one, else by its text (rules/declared-rules.ts). A port's
// policy goes with its port, in and out; those of VLANs, and mirrors, are like meters.
//
// But an attach: it waits for the kernel, changes nothing of what was told, and the switch itself sees that it and the end
// of its port do not meet. Control thread.

import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import { othersTurn, takingTurns } from "../core/turns.ts";
import type { VlanPolicy } from "../dataplane/bridge/policy.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";
import type { Attached, AttachTarget } from "../ports/port.ts";
import type { PortChanges, PortInfo, SwitchApi } from "./api.ts";
import { applyActions } from "./apply.ts";
import { type Config, checkingNames, emptyConfig, type MirrorConfig, type PortConfig } from "./config.ts";
import { policyOf } from "./config-policy.ts";
import { type Action, type Difference, difference } from "./diff.ts";
import { suggest } from "./nearest.ts";
import { changeWords, knownWords, mustRead } from "./policy/change-words.ts";
import { portsOfMirror } from "./policy/mirror-policy.ts";
import type { NamedMirror } from "./policy/named-policy.ts";
import type { PolicyWords } from "./policy/policy-words.ts";
import { PORT_POLICY_KEYS, portPolicyWords, readPortPolicy } from "./policy/port-policy.ts";
import { readVlanPolicy, VLAN_POLICY_KEYS, vlanPolicyWords } from "./policy/vlan-policy.ts";
import { checkPortLimit, checkPortsFit } from "./ports-fit.ts";
import { DeclaredRules, type Replaced } from "./rules/declared-rules.ts";
import { type KnownRules, knownRules } from "./rules/known-rules.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import type { MeterInfo, RuleInfo } from "./rules/rules-api.ts";
import { type Kinds, withOptions } from "./uri.ts";

/** What `port set` changes; an mtu of null is the kind's, a limit of null the switch's. */
export interface RunningPortChanges {
  link?: "up" | "down";
  mtu?: number | null;
  macLimit?: number | null;
  policy?: PolicyWords;
}

/** Rules and meters as they were asked for. */
export interface RuleList {
  rules: readonly NamedRule[];
  meters: readonly MeterSpec[];
}

type Policies = Pick<Config, "ports" | "vlans" | "mirrors">;

export class Running {
  #config: Config;
  #declared = new Set<string>();
  #declaredVlans = new Set<number>();
  #declaredMirrors = new Set<string>();
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
        const said = wanted.ports.get(name);
        const isByHand = said === undefined && !this.#declared.has(name);
        // The command line says nothing new, and what was said by hand since of a port of its own stays: nobody else says that.
        const isOfCommandLine = said !== undefined && said.place === undefined;
        if (isByHand || isOfCommandLine) ports.set(name, port);
      }
      checkPortsFit(ports, this.api.settings);
      const rules = await this.#rules.merged(wanted);
      await takingTurns(checkingNames(wanted, ports.keys(), byName(rules.after.meters).keys()));
      const vlans = merged(wanted.vlans, this.#config.vlans, this.#declaredVlans);
      const mirrors = merged(wanted.mirrors, this.#config.mirrors, this.#declaredMirrors);
      const diff = difference(this.#config, { ...wanted, ports, vlans, mirrors }, this.kinds, { rules, held });
      await othersTurn();
      await applyActions(this.api, diff.actions);
      await othersTurn();
      this.#rules.declare(wanted, rules);
      // What needs a restart stays as it is, and is named again at the next reload.
      const { cpus, macLimit } = this.#config.settings;
      const settings = { ...wanted.settings, cpus, macLimit };
      this.#config = { ...this.#config, settings, ports, vlans, mirrors };
      this.#declared = new Set(wanted.ports.keys());
      this.#declaredVlans = new Set(wanted.vlans.keys());
      this.#declaredMirrors = new Set(wanted.mirrors.keys());
      return diff;
    });
  }

  addPort(port: PortConfig): Promise<PortInfo> {
    return this.#alone(async () => {
      const { name } = port.spec;
      if (this.#config.ports.has(name)) {
        throw new RingyardError("EXISTS", `port ${name} exists`, `choose another name, or ringyard port del ${name}`);
      }
      checkPortLimit(`port ${name}`, port.macLimit, this.api.settings.macLimit);
      const ports = new Map(this.#config.ports).set(name, port);
      // Last: its first frame meets its policy.
      await this.#obey({ ports }, [], [{ do: "add", port }]);
      return this.api.port(name);
    });
  }

  removePort(name: string): Promise<void> {
    const remove = () =>
      this.#alone(async () => {
        this.#find(name);
        await this.api.removePort(name);
        const { policy } = this.#find(name);
        this.#config.ports.delete(name);
        this.#declared.delete(name);
        if (policy !== undefined) await this.api.policy.set(policyOf(this.#config));
      });
    // Others' changes do not queue up behind a port that waits for its kernel.
    return this.api.attaching(name)?.then(remove) ?? remove();
  }

  setPort(name: string, { policy: words, macLimit, ...changes }: RunningPortChanges): Promise<PortInfo> {
    return this.#alone(async () => {
      const old = this.#find(name);
      checkPortLimit(`port ${name}`, macLimit ?? undefined, this.api.settings.macLimit);
      const port = { ...old, ...(changes.link === undefined ? {} : { link: changes.link }) };
      if (changes.mtu !== undefined) port.spec = withOptions(port.spec, { mtu: changes.mtu ?? undefined }, this.kinds);
      if (macLimit === null) delete port.macLimit;
      else if (macLimit !== undefined) port.macLimit = macLimit;
      if (words !== undefined) port.policy = changedPolicy(old, words);
      const limit = macLimit === undefined ? {} : { macLimit: macLimit ?? this.api.settings.macLimit };
      const set = (these: PortChanges): Action[] =>
        Object.keys(these).length === 0 ? [] : [{ do: "set", before: old, after: port, changes: these, running: true }];
      // What a kind may refuse goes first, so that nobody notices a policy that is taken back; a link comes up behind it, and so meets it.
      const { link, ...others } = { ...changes, ...limit };
      const comesUp = link === "up" && words !== undefined;
      const first = set(comesUp || link === undefined ? others : { link, ...others });
      await this.#obey({ ports: new Map(this.#config.ports).set(name, port) }, first, set(comesUp ? { link } : {}));
      return this.api.port(name);
    });
  }

  /** Changes what was said of a VLAN by these words. */
  setVlan(vid: number, words: PolicyWords): Promise<void> {
    return this.#alone(async () => {
      const before = this.#config.vlans.get(vid);
      const changes = knownWords(`vlan ${vid}`, words, VLAN_POLICY_KEYS);
      const now = changeWords(before === undefined ? {} : vlanPolicyWords(before), changes);
      const vlans = new Map<number, VlanPolicy>(this.#config.vlans);
      vlans.set(vid, mustRead(`vlan ${vid}`, readVlanPolicy(vid, now)));
      const isGone = Object.keys(now).length === 0;
      if (isGone) vlans.delete(vid);
      await this.#obey({ vlans });
      // As with a port or a mirror: what is said of it from now on is said by hand.
      if (isGone) this.#declaredVlans.delete(vid);
    });
  }

  addMirror(mirror: NamedMirror): Promise<void> {
    return this.#alone(async () => {
      const { name } = mirror;
      if (this.#config.mirrors.has(name))
        throw new RingyardError(
          "EXISTS",
          `mirror ${name} exists`,
          `choose another name, or ringyard mirror del ${name}`,
        );
      for (const port of portsOfMirror(mirror)) this.#find(port);
      await this.#obey({ mirrors: new Map<string, MirrorConfig>(this.#config.mirrors).set(name, { mirror }) });
    });
  }

  deleteMirror(name: string): Promise<void> {
    return this.#alone(async () => {
      const mirrors = new Map(this.#config.mirrors);
      if (!mirrors.delete(name))
        throw new RingyardError("NOT_FOUND", `no mirror ${word(name)}`, suggest(name, "mirrors:", mirrors.keys()));
      await this.#obey({ mirrors });
      this.#declaredMirrors.delete(name);
    });
  }

  /** Makes the switch obey what has changed, between what comes `first` and what comes `last`: all of it, or nothing. */
  async #obey(changed: Partial<Policies>, first: Action[] = [], last: Action[] = []): Promise<void> {
    const after = { ...this.#config, ...changed };
    const policies = { before: policyOf(this.#config), after: policyOf(after) };
    const differ = !Bun.deepEquals(policies.before, policies.after);
    await applyActions(this.api, [...first, ...(differ ? [{ do: "policy", ...policies } as const] : []), ...last]);
    this.#config = after;
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
    return this.#alone(() => this.#rules.delete(ids));
  }

  /**
   * Puts these in the place of all rules that there are, at once; the meters beside those that there are. While they are still being read, the
   * change has its place among others already.
   */
  replaceRules(reading: Promise<RuleList>): Promise<Replaced> {
    // Where it fails that is said when its turn comes.
    reading.catch(() => {});
    return this.#alone(async () => {
      const { rules, meters } = await reading;
      return this.#rules.replace(rules, meters);
    });
  }

  /** What need not be read again. */
  knownRules(): Promise<KnownRules> {
    return takingTurns(knownRules(this.api.rules.set().rules));
  }

  setMeter(meter: MeterSpec): Promise<MeterInfo> {
    return this.#alone(() => this.api.rules.setMeter(meter));
  }

  deleteMeter(name: string): Promise<void> {
    return this.#alone(() => this.#rules.deleteMeter(name));
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

/** What a configuration says, and what was said by hand of others; in the order of the configuration. */
function merged<K, V>(wanted: ReadonlyMap<K, V>, now: ReadonlyMap<K, V>, declared: ReadonlySet<K>): Map<K, V> {
  const byHand = [...now].filter(([key]) => !declared.has(key) && !wanted.has(key));
  return new Map([...wanted, ...byHand]);
}

function changedPolicy({ spec, policy = {} }: PortConfig, words: PolicyWords): PortConfig["policy"] {
  const what = `port ${spec.name}`;
  const changes = knownWords(what, words, PORT_POLICY_KEYS);
  const settings = mustRead(what, readPortPolicy(changeWords(portPolicyWords(policy), changes)));
  return Object.keys(settings).length === 0 ? undefined : settings;
}

function byName(meters: readonly MeterSpec[]): Map<string, MeterSpec> {
  return new Map(meters.map((meter) => [meter.name, meter]));
}
