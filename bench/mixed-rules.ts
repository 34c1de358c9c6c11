// Rules of mixed shapes, as an access list of a busy network has them: each in ringyard's words and as the OpenFlow flows that mean
// the same, one list for both systems. Pure; the same for the same seed.
//
//   prio 59937 ip src 10.3.0.0/16 dst 198.18.0.2 tcp dport 80,443 drop
//     -> table=1,priority=59937,tcp,nw_src=10.3.0.0/16,nw_dst=198.18.0.2,tp_dst=80,actions=drop
//        table=1,priority=59937,tcp,nw_src=10.3.0.0/16,nw_dst=198.18.0.2,tp_dst=443,actions=drop
//
// 10,000 of them have 300 shapes (fields with prefix lengths), which is what a new flow costs. Lists of 8,000 rules that ClassBench makes
// (Taylor and Turner, INFOCOM 2005; twelve of its seeds) have 48 to 822, half of them more than 290. OpenFlow has neither lists nor ranges:
// a list is a flow for each value, a range one for each prefix in it, 13,935 flows in all. Each rule has a priority of its own.
//
// The bench's own frames (flow-frames.ts, and testpmd's) meet no drop: most rules speak of other networks, one in four names the client's
// and differs in something else, so that no look-up is over at the first field. They do meet eight rules that only count, first in
// the list, each for its own sources; and four that allow, in between. `continue` is table 0 in OpenFlow, the rest table 1.

import { Random } from "../test/fuzz/random.ts";
import { CLIENT_NETWORK, CLIENT_PORT, CLIENT_TARGET } from "./flow-frames.ts";
import { CLIENT_MACS } from "./peers/system.ts";

export interface MixedRule {
  /** As ringyard reads it. */
  readonly text: string;
  /** As ovs-ofctl reads it. */
  readonly flows: readonly string[];
}

/** What a rule asks of a frame, in both languages. */
interface Match {
  readonly text: string;
  readonly flows: readonly string[];
}

/** Of the lists that are measured. */
export const SEED = 5;
const PRIORITY_FIRST = 60_000;
const COUNTED = 8;
const ALLOWED = 4;
/** Fewer have no room for the others. */
const MIXED_RULES_MIN = 20;

const SERVICES = [
  22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 445, 514, 993, 1433, 3306, 3389, 5060, 5432, 8080, 8443,
];
const PREFIX_LENGTHS = [8, 16, 16, 20, 22, 24, 24, 24, 24, 28, 32, 32, 32, 32, 32];
const PREFIX_LENGTHS_6 = [32, 48, 48, 64, 64, 64, 128, 128];

/** `fields` that are lists make a flow for each of their values. */
function match(text: string, protocol: string, ...fields: readonly (string | readonly string[])[]): Match {
  let flows = [protocol];
  for (const field of fields) flows = flows.flatMap((flow) => [field].flat().map((each) => `${flow},${each}`));
  return { text, flows };
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}

/** A prefix outside the client's network, with its length unless that is 32. */
function foreign(random: Random): string {
  const first = random.pick([10, 10, 10, 172, 192, 11 + random.below(180)]);
  const length = random.pick(PREFIX_LENGTHS);
  const address = ((first << 24) | random.below(1 << 24)) & (-1 << (32 - length));
  return length === 32 ? dotted(address) : `${dotted(address)}/${length}`;
}

function clientSource(random: Random): string {
  return random.pick([CLIENT_NETWORK, `198.18.${random.below(256)}.0/24`, `198.18.${random.below(256)}.3`]);
}

function clientTarget(random: Random): string {
  return random.pick([CLIENT_TARGET, "198.18.0.0/24", "198.18.0.0/16"]);
}

const isNear = (random: Random) => random.once(4);

/** For rules that the client's frames miss by something else. */
function anyTarget(random: Random): string {
  return isNear(random) ? clientTarget(random) : foreign(random);
}

/** At most one of both is the client's. */
function anyPair(random: Random): [source: string, target: string] {
  if (!isNear(random)) return [foreign(random), foreign(random)];
  return random.once(2) ? [clientSource(random), foreign(random)] : [foreign(random), clientTarget(random)];
}

/** Never the client's. */
function port(random: Random): number {
  return random.once(4) ? 1024 + random.below(60_000) : random.pick(SERVICES);
}

function ports(random: Random): number[] {
  return [...new Set(Array.from({ length: 2 + random.below(3) }, () => port(random)))].sort((a, b) => a - b);
}

/** Whole hundreds, as people choose them. */
function portRange(random: Random): [low: number, high: number] {
  const low = 2000 + 100 * random.below(600);
  return [low, low + random.pick([9, 99, 499, 999])];
}

/** A range as values under masks: from its low end, always the largest block that begins there and fits. */
export function maskedRange(low: number, high: number): string[] {
  const parts: string[] = [];
  while (low <= high) {
    let size = 1;
    while (low % (2 * size) === 0 && low + 2 * size - 1 <= high) size *= 2;
    parts.push(size === 1 ? `${low}` : `0x${low.toString(16)}/0x${(0x10000 - size).toString(16)}`);
    low += size;
  }
  return parts;
}

/** Of a vendor's: the client's are not. */
function mac(random: Random): string {
  const bytes = [0x00, ...Array.from({ length: 5 }, () => random.below(256))];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function prefix6(random: Random): string {
  const length = random.pick(PREFIX_LENGTHS_6);
  const groups = Array.from({ length: length / 16 }, (_, k) =>
    k === 0 ? "2001" : (1 + random.below(0xfffe)).toString(16),
  );
  return length === 128 ? groups.join(":") : `${groups.join(":")}::/${length}`;
}

const within = (field: string, low: number, high: number) => maskedRange(low, high).map((part) => `${field}=${part}`);

/** How often, and what. */
const SHAPES: readonly [share: number, make: (random: Random) => Match][] = [
  [8, (random) => source(foreign(random))],
  [8, (random) => target(foreign(random))],
  [14, (random) => pair(...anyPair(random))],
  [14, (random) => pairAndService(...anyPair(random), port(random))],
  [10, (random) => service(anyTarget(random), "tcp", port(random))],
  [8, (random) => service(anyTarget(random), "udp", port(random))],
  [5, (random) => services(anyTarget(random), ports(random))],
  [4, (random) => serviceRange(anyTarget(random), "udp", ...portRange(random))],
  [3, (random) => serviceRange(anyTarget(random), "tcp", ...portRange(random))],
  [5, (random) => portAndPair(random.below(2), ...anyPair(random))],
  [2, (random) => priority(anyTarget(random), random.pick([8, 10, 18, 26, 34, 46, 48]))],
  [2, (random) => handshake(anyTarget(random))],
  [2, (random) => protocolOf(anyTarget(random), "icmp", `icmp_type=${8}`, "icmp type 8")],
  [1, (random) => protocolOf(anyTarget(random), "sctp", `tp_dst=${3868}`, "sctp dport 3868")],
  [1, (random) => tunnels(anyTarget(random))],
  [1, (random) => fragments(anyTarget(random))],
  [3, (random) => station("src", mac(random))],
  [2, (random) => station("dst", mac(random))],
  [1, (random) => vendor(mac(random))],
  [1, (random) => stations(CLIENT_MACS[random.below(2)], mac(random))],
  [2, (random) => vlan(1 + random.below(4094))],
  [3, (random) => vlanTarget(1 + random.below(4094), anyTarget(random))],
  [1, (random) => vlanPriority(1 + random.below(4094), random.below(8))],
  [1, (random) => arpRequest(anyTarget(random))],
  [1, (random) => arpSender(foreign(random), mac(random))],
  [2, (random) => source6(prefix6(random))],
  [2, (random) => pair6(prefix6(random), prefix6(random))],
  [3, (random) => service6(prefix6(random), port(random))],
  [1, (random) => neighbour6(prefix6(random))],
];
const SHARES = SHAPES.flatMap(([share, make]) => new Array<typeof make>(share).fill(make));

const source = (from: string) => match(`ip src ${from}`, "ip", `nw_src=${from}`);
const target = (to: string) => match(`ip dst ${to}`, "ip", `nw_dst=${to}`);
const pair = (from: string, to: string) => match(`ip src ${from} dst ${to}`, "ip", `nw_src=${from}`, `nw_dst=${to}`);

function pairAndService(from: string, to: string, dport: number): Match {
  return match(
    `ip src ${from} dst ${to} tcp dport ${dport}`,
    "tcp",
    `nw_src=${from}`,
    `nw_dst=${to}`,
    `tp_dst=${dport}`,
  );
}

function service(to: string, protocol: "tcp" | "udp", dport: number): Match {
  return match(`ip dst ${to} ${protocol} dport ${dport}`, protocol, `nw_dst=${to}`, `tp_dst=${dport}`);
}

function services(to: string, dports: readonly number[]): Match {
  const each = dports.map((dport) => `tp_dst=${dport}`);
  return match(`ip dst ${to} tcp dport ${dports.join()}`, "tcp", `nw_dst=${to}`, each);
}

function serviceRange(to: string, protocol: "tcp" | "udp", low: number, high: number): Match {
  const text = `ip dst ${to} ${protocol} dport ${low}-${high}`;
  return match(text, protocol, `nw_dst=${to}`, within("tp_dst", low, high));
}

function portAndPair(index: number, from: string, to: string): Match {
  const text = `in p${index} ip src ${from} dst ${to}`;
  return match(text, "ip", `in_port=${index + 1}`, `nw_src=${from}`, `nw_dst=${to}`);
}

function priority(to: string, dscp: number): Match {
  return match(`ip dst ${to} dscp ${dscp}`, "ip", `nw_dst=${to}`, `nw_tos=${dscp << 2}`);
}

function handshake(to: string): Match {
  return match(`ip dst ${to} tcp flags syn,!ack`, "tcp", `nw_dst=${to}`, "tcp_flags=+syn-ack");
}

function protocolOf(to: string, protocol: string, field: string, words: string): Match {
  return match(`ip dst ${to} ${words}`, protocol, `nw_dst=${to}`, field);
}

const tunnels = (to: string) => match(`ip dst ${to} proto gre`, "ip", `nw_dst=${to}`, "nw_proto=47");
const fragments = (to: string) => match(`ip dst ${to} frag later`, "ip", `nw_dst=${to}`, "nw_frag=later");
const station = (end: "src" | "dst", it: string) => match(`eth ${end} ${it}`, `dl_${end}=${it}`);

function vendor(it: string): Match {
  const block = `${it.slice(0, 8)}:00:00:00/ff:ff:ff:00:00:00`;
  return match(`eth src ${block}`, `dl_src=${block}`);
}

const stations = (from: string, to: string) => match(`eth src ${from} dst ${to}`, `dl_src=${from}`, `dl_dst=${to}`);
const vlan = (id: number) => match(`vlan ${id}`, `dl_vlan=${id}`);
const vlanTarget = (id: number, to: string) => match(`vlan ${id} ip dst ${to}`, "ip", `dl_vlan=${id}`, `nw_dst=${to}`);
const vlanPriority = (id: number, pcp: number) => match(`vlan ${id} pcp ${pcp}`, `dl_vlan=${id}`, `dl_vlan_pcp=${pcp}`);
const arpRequest = (to: string) => match(`arp op request tpa ${to}`, "arp", "arp_op=1", `arp_tpa=${to}`);
const arpSender = (from: string, it: string) =>
  match(`arp spa ${from} sha ${it}`, "arp", `arp_spa=${from}`, `arp_sha=${it}`);
const source6 = (from: string) => match(`ip6 src ${from}`, "ipv6", `ipv6_src=${from}`);

function pair6(from: string, to: string): Match {
  return match(`ip6 src ${from} dst ${to}`, "ipv6", `ipv6_src=${from}`, `ipv6_dst=${to}`);
}

function service6(to: string, dport: number): Match {
  return match(`ip6 dst ${to} tcp dport ${dport}`, "tcp6", `ipv6_dst=${to}`, `tp_dst=${dport}`);
}

const neighbour6 = (from: string) =>
  match(`ip6 src ${from} icmp6 type 135`, "icmp6", `ipv6_src=${from}`, "icmp_type=135");

/** A sixteenth of testpmd's flows each. */
function counted(k: number): Match {
  const from = `198.18.${32 * k}.0/20`;
  return match(`ip src ${from} udp dport ${CLIENT_PORT}`, "udp", `nw_src=${from}`, `tp_dst=${CLIENT_PORT}`);
}

/** A thirty-second of testpmd's flows each. */
function allowed(k: number): Match {
  const from = `198.18.${64 * k + 32}.0/21`;
  return match(`ip src ${from} dst ${CLIENT_TARGET} udp`, "udp", `nw_src=${from}`, `nw_dst=${CLIENT_TARGET}`);
}

function inTable(
  priority: number,
  { text, flows }: Match,
  action: string,
  table: number,
  flowAction: string,
): MixedRule {
  return {
    text: `prio ${priority} ${text} ${action}`,
    flows: flows.map((flow) => `table=${table},priority=${priority},${flow},actions=${flowAction}`),
  };
}

/** `count` rules in the order in which they are tried. */
export function mixedRules(count: number, seed: number): MixedRule[] {
  if (count < MIXED_RULES_MIN) throw new Error(`${count} rules: at least ${MIXED_RULES_MIN} are mixed`);
  const random = new Random(seed);
  const between = Math.floor(count / (ALLOWED + 1));
  return Array.from({ length: count }, (_, k) => {
    const priority = PRIORITY_FIRST - k;
    if (k < COUNTED) return inTable(priority, counted(k), "count continue", 0, "resubmit(,1)");
    const place = k / between - 1;
    if (Number.isInteger(place) && place >= 0 && place < ALLOWED)
      return inTable(priority, allowed(place), "allow", 1, "NORMAL");
    return inTable(priority, random.pick(SHARES)(random), "drop", 1, "drop");
  });
}

/** A file for `ringyard rule replace -f`. What no rule decides is allowed. */
export function ringyardFile(rules: readonly MixedRule[]): string {
  return rules.map(({ text }) => `${text}\n`).join("");
}

/** A file for `ovs-ofctl add-flows`, with what no rule decides. */
export function openFlowFile(rules: readonly MixedRule[]): string {
  const last = ["table=0,priority=0,actions=resubmit(,1)", "table=1,priority=0,actions=NORMAL"];
  return [...rules.flatMap(({ flows }) => flows), ...last].map((flow) => `${flow}\n`).join("");
}
