// What can be asked of policies over the control socket, as data. Settings go word by word (policy-words.ts). Pure.

import type { PolicyWord, SaidWord } from "./policy-words.ts";
import type { VlanInfo, VlanMember } from "./vlan-info.ts";

export interface MirrorInfo {
  name: string;
  /** Why it has no effect now, in part or at all: `no port mon`. */
  inactive?: string;
}

export interface PolicyOperations {
  /** All that was said, of `port NAME`, `vlan ID` and `mirror NAME`. */
  "policy.show": { args: object; result: { policies: SaidWord[] } };
  "port.policy": { args: { name: string }; result: { settings: PolicyWord[] } };
  /** Those that there are, or this one. */
  "vlan.show": {
    args: { id?: number };
    result: { vlans: Omit<VlanInfo, "members">[]; members: ({ vlan: number } & VlanMember)[] };
  };
  /** An empty value takes what was said of a key back. */
  "vlan.set": { args: { id: number; settings: PolicyWord[] }; result: object };
  "mirror.list": { args: object; result: { mirrors: MirrorInfo[]; settings: SaidWord[] } };
  "mirror.add": { args: { name: string; settings: PolicyWord[] }; result: object };
  "mirror.del": { args: { name: string }; result: object };
}
