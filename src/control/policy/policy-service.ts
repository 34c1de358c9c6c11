// The policies of the running switch: kept by name, resolved against the ports that are there, and given to the workers whole each time
// that either changes. What names a port that is not there yet waits for it.
//
//   NamedPolicy + index of each port -> BridgePolicy -> RuleTable.setPolicy
//
// Changes of one port run in the switch's row of changes, with those of ports. Control thread.

import { type BridgePolicy, type MirrorPolicy, PORT_DEFAULTS } from "../../dataplane/bridge/policy.ts";
import { type NamedMirror, type NamedPolicy, NOTHING_SAID, type PortSettings } from "./named-policy.ts";

/** Where policies go: the dataplane's table. */
export interface PolicyTarget {
  setPolicy(policy: BridgePolicy): Promise<void>;
}

/** What the rest of the control thread asks of policies. */
export interface PolicyApi {
  get(): NamedPolicy;
  /** Replaces all of it. Resolves when every worker obeys; where it cannot be, what was in force stays. */
  set(policy: NamedPolicy): Promise<void>;
  /** Replaces what was said of one port. */
  setPort(name: string, settings: PortSettings): Promise<void>;
}

export class PolicyService implements PolicyApi {
  private named = NOTHING_SAID;
  private readonly indices = new Map<string, number>();

  constructor(
    private readonly target: PolicyTarget,
    /** Runs a change after all that were asked for before, those of ports included. */
    private readonly alone: <T>(change: () => Promise<T>) => Promise<T>,
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

  private async change(policy: NamedPolicy): Promise<void> {
    await this.target.setPolicy(this.resolve(policy));
    this.named = policy;
  }

  /** Before the port's lanes open, in the row of changes: its first frame meets its policy. */
  async portComes(name: string, index: number): Promise<void> {
    this.indices.set(name, index);
    try {
      if (this.names(name)) await this.target.setPolicy(this.resolve(this.named));
    } catch (error) {
      this.indices.delete(name);
      throw error;
    }
  }

  /** When no frame of the port is under way any more; what was said of it stays, for a port of its name. */
  async portGoes(name: string): Promise<void> {
    this.indices.delete(name);
    if (this.names(name)) await this.target.setPolicy(this.resolve(this.named));
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
