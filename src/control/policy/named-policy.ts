// Policies as people give them: ports by name, only what was said. What workers get is resolved (dataplane/bridge/policy.ts).
// Plain data, but for the map.

import type { Direction, PortPolicy, VlanPolicy } from "../../dataplane/bridge/policy.ts";

/** What was said of a port; the rest is PORT_DEFAULTS. */
export type PortSettings = Partial<Omit<PortPolicy, "port">>;

export interface NamedMirror {
  name: string;
  ports: readonly { port: string; direction: Direction }[];
  vlans: readonly { vid: number; direction: Direction }[];
  to: string;
  /** Bytes of each frame; 0: all. */
  truncate: number;
}

export interface NamedPolicy {
  ports: ReadonlyMap<string, PortSettings>;
  vlans: readonly VlanPolicy[];
  mirrors: readonly NamedMirror[];
}

export const NOTHING_SAID: NamedPolicy = { ports: new Map(), vlans: [], mirrors: [] };
