// Rules as the kernel's filters: tc's u32 and mirred at the ingress of devices p0, p1, ...
//
//   [ ip4, udp, ip4.src 10.0.0.0/24, udp.dport 80 ] mirror 2, forward 1
//     filter add dev p0 ingress protocol all pref 7 u32 match u16 0x800 0xffff at -2 match u8 0x45 0xff at 0 match ip protocol 17 0xff
//       match u16 0x0 0x1fff at 6 match ip src 10.0.0.0/24 match u16 0x50 0xffff at 22
//       action mirred egress mirror dev p2 pipe action mirred egress redirect dev p1
//
// u32 knows places, counted from behind Ethernet's header and one tag, and no lists: a rule is a filter for each combination of its values and each
// place where its headers can be. At most one of them matches a frame. `allow` is a filter without action, which ends the search; `drop`
// goes to a device that nobody looks at, since ACT_GACT is not in every kernel. Pure.

import type { Constraint, TerminalAction } from "../../src/dataplane/rules/rule.ts";

export const PRIORITY_MAX = 2;
export const RULES_MAX = 8;
/** Where filters send what is dropped. */
export const PIT = "pit";
/** tc's name for a frame is its tag's, or its type's where it has none; filters of one `pref` have one name. */
const NAMES = ["all", "802.1Q", "802.1ad", "ip", "ipv6", "arp", "0x88b5"];
const TAGS = NAMES.slice(1, 3);
export const TYPES = NAMES.slice(3);

/** One condition in both languages. */
export interface Condition {
  ours: Constraint;
  /** At which ports there is a filter at all; absent: at each. */
  ports?: readonly number[];
  /** One of these in each filter. `at`: where the header behind IP's begins. */
  keys?: (at: number) => string[];
}

/** Where a rule's headers may be: what tells so, and the names of such frames without a tag. */
export interface Place {
  names: readonly string[];
  keys: string;
  at: number;
}

export interface TcRule {
  id: number;
  priority: number;
  places: readonly Place[];
  /** Null: with a tag and without. */
  tagged: boolean | null;
  conditions: readonly Condition[];
  mirrors: readonly number[];
  end: TerminalAction;
}

/** tc takes every mask for hexadecimal, whatever it looks like. */
export function key(size: "u8" | "u16", value: bigint | number, mask: bigint | number, at: number): string {
  return `match ${size} 0x${value.toString(16)} 0x${mask.toString(16)} at ${at}`;
}

/** Lines for `tc -batch`: the filters of `ports` devices, in place of those of before. */
export function tcFilters(rules: readonly TcRule[], ports: number): string[] {
  return Array.from({ length: ports }, (_, port) => [
    `filter del dev p${port} ingress`,
    ...rules.flatMap((rule) => filters(rule, port, ports)).map((it) => `filter add dev p${port} ingress ${it}`),
  ]).flat();
}

function filters(rule: TcRule, port: number, ports: number): string[] {
  const { id, priority, places, tagged, conditions } = rule;
  const act = actions(rule, port, ports);
  if (act === "" || conditions.some((it) => it.ports !== undefined && !it.ports.includes(port))) return [];
  return places.flatMap(({ names, keys, at }) => {
    const lists = conditions.flatMap((it) => (it.keys === undefined ? [] : [it.keys(at)]));
    const matches = lists.reduce((rows, list) => rows.flatMap((row) => list.map((one) => `${row} ${one}`)), [keys]);
    const untagged = tagged === false ? names : ["all"];
    return (tagged === true ? TAGS : untagged).flatMap((name) => {
      const pref = ((PRIORITY_MAX - priority) * RULES_MAX + id) * NAMES.length + NAMES.indexOf(name);
      return matches.map((match) => `protocol ${name} pref ${pref} u32 ${match} ${act}`);
    });
  });
}

/** What a filter does with frames that came in at `port`; empty: nothing, so that there needs to be none. */
function actions({ mirrors, end }: TcRule, port: number, ports: number): string {
  const others = Array.from({ length: ports }, (_, other) => other).filter((other) => other !== port);
  const targets = end.do === "forward" ? end.ports : end.do === "flood" ? others : [];
  const devices = [...mirrors.filter((to) => to !== port), ...targets].map((to) => `p${to}`);
  if (end.do === "drop") devices.push(PIT);
  if (end.do === "allow" && devices.length === 0) return "flowid 1:1";
  const then = end.do === "allow" ? "mirror:ok" : end.do === "continue" ? "mirror:continue" : "redirect:";
  return devices
    .map((to, k) => {
      const [what, control] = k === devices.length - 1 ? then.split(":") : ["mirror", "pipe"];
      return `action mirred egress ${what} dev ${to} ${control}`.trim();
    })
    .join(" ");
}
