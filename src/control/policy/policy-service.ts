// The policies of the running switch: kept by name, resolved against the ports that are there, and given to the workers whole each time
// that either changes. What names a port that is not there yet waits for it.
//
//   NamedPolicy + index of each port -> BridgePolicy -> RuleTable.setPolicy
//
// What cannot be is refused before anything changes; what the dataplane refuses leaves the policies that it has in force. Where it
// refuses to forget a port that has gone, nothing else changes, and the next port to come must succeed in it first.
//
// Changes of one port run in the switch's row of changes, with those of ports. Control thread.

import { type BridgePolicy, type MirrorPolicy, PORT_DEFAULTS } from "../../dataplane/bridge/policy.ts";
import type { SwitchLog } from "../api.ts";
import { checkPolicy } from "./check-policy.ts";
import { type NamedMirror, type NamedPolicy, NOTHING_SAID, type PortSettings } from "./named-policy.ts";

/** Where policies go: the dataplane's table. */
export interface PolicyTarget {
  setPolicy(policy: BridgePolicy): Promise<void>;
  /** Requests of a VLAN that went to one port instead of being flooded. */
  directed(vid: number): number;
}

/** What the rest of the control thread asks of policies. */
export interface PolicyApi {
  get(): NamedPolicy;
  /**
   * Replaces all of it. Resolves when every worker obeys. Throws BAD_OPTION for what cannot be, or what the dataplane throws, and what
   * was in force stays. What names a port that is not there waits for it.
   */
  set(policy: NamedPolicy): Promise<void>;
  /** Replaces what was said of one port. */
  setPort(name: string, settings: PortSettings): Promise<void>;
  /** Requests of a VLAN that went to one port instead of being flooded. */
  directed(vid: number): number;
}

export class PolicyService implements PolicyApi {
  private named = NOTHING_SAID;
  private readonly indices = new Map<string, number>();
  /** The dataplane still has a policy for the index of a port that has gone. */
  private stale = false;

  constructor(
    private readonly target: PolicyTarget,
    /** Runs a change after all that were asked for before, those of ports included. */
    private readonly alone: <T>(change: () => Promise<T>) => Promise<T>,
    private readonly log?: Pick<SwitchLog, "info">,
  ) {}

  get(): NamedPolicy {
    return this.named;
  }

  set(policy: NamedPolicy): Promise<void> {
    return this.alone(() => this.change(policy));
  }

  setPort(name: string, settings: PortSettings): Promise<void> {
    return this.alone(() => this.change({ ...this.named, ports: new Map(this.named.ports).set(name, settings) }));
  }

  directed(vid: number): number {
    return this.target.directed(vid);
  }

  private async change(policy: NamedPolicy): Promise<void> {
    checkPolicy(policy, this.named);
    await this.put(policy);
    this.named = policy;
    const { ports, vlans, mirrors } = policy;
    this.log?.info({ ports: ports.size, vlans: vlans.length, mirrors: mirrors.length }, "policies changed");
  }

  private async put(policy: NamedPolicy): Promise<void> {
    await this.target.setPolicy(this.resolve(policy));
    this.stale = false;
  }

  /** Before the port's lanes open, in the row of changes: its first frame meets its policy. */
  async portComes(name: string, index: number): Promise<void> {
    this.indices.set(name, index);
    try {
      if (this.stale || this.names(name)) await this.put(this.named);
    } catch (error) {
      this.indices.delete(name);
      throw error;
    }
  }

  /** When no frame of the port is under way any more; what was said of it stays, for a port of its name. */
  async portGoes(name: string): Promise<void> {
    if (!this.indices.delete(name) || !(this.stale || this.names(name))) return;
    this.stale = true;
    await this.put(this.named);
  }

  /** Whether the policy speaks of a port. */
  private names(name: string): boolean {
    const { ports, mirrors } = this.named;
    return ports.has(name) || mirrors.some((it) => it.to === name || it.ports.some(({ port }) => port === name));
  }

  private resolve({ ports, vlans, mirrors }: NamedPolicy): BridgePolicy {
    const listed = [...ports].flatMap(([name, settings]) => {
      const port = this.indices.get(name);
      return port === undefined || Object.keys(settings).length === 0 ? [] : [{ ...PORT_DEFAULTS, ...settings, port }];
    });
    return { ports: listed, vlans, mirrors: mirrors.flatMap((mirror) => this.resolveMirror(mirror)) };
  }

  private resolveMirror({ name, ports, vlans, to, truncate }: NamedMirror): MirrorPolicy[] {
    const target = this.indices.get(to);
    if (target === undefined) return [];
    const listed = ports.flatMap(({ port, direction }) => {
      const index = this.indices.get(port);
      return index === undefined ? [] : [{ port: index, direction }];
    });
    return [{ name, ports: listed, vlans, to: target, truncate }];
  }
}
