// What a flow asks of a frame, read from its text as ovs-fields(7) and ovs-ofctl(8) define it, in the names of ringyard's fields. Knows the
// fields that bench/mixed-rules.ts writes; throws at others.
//
//   table=1,priority=5,tcp,nw_dst=10.0.0.0/8,tp_dst=0x50/0xfffe,actions=drop
//     -> ip4 = 1/1   ip4.dst = 167772160/4278190080   tcp = 1/1   tcp.dport = 80 or 81

/** Field -> the values that it may have, each as `value/mask` or, of a port, a number. */
export type Asked = Map<string, Set<string>>;

export function ask(asked: Asked, field: string, ...values: string[]): void {
  const known = asked.get(field) ?? new Set();
  for (const value of values) known.add(value);
  asked.set(field, known);
}

/** Protocols by their short names: the headers that they imply. */
const HEADERS: Record<string, string[]> = {
  ip: ["ip4"],
  tcp: ["ip4", "tcp"],
  udp: ["ip4", "udp"],
  sctp: ["ip4", "sctp"],
  icmp: ["ip4", "icmp"],
  ipv6: ["ip6"],
  tcp6: ["ip6", "tcp"],
  icmp6: ["ip6", "icmp6"],
  arp: ["arp"],
};
const FLAGS: Record<string, number> = { syn: 2, ack: 16 };
const HALF = 0xffff;

function number4(text: string): bigint {
  return text.split(".").reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

function number6(text: string): bigint {
  const [head, tail] = text.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const zeroes = tail === undefined ? [] : new Array(8 - head.length - tail.length).fill("0");
  return BigInt(`0x${[...head, ...zeroes, ...(tail ?? [])].map((group) => group.padStart(4, "0")).join("")}`);
}

function prefix(text: string, bits: number, read: (text: string) => bigint): string {
  const [address, length = `${bits}`] = text.split("/");
  const left = BigInt(bits) - BigInt(length);
  return `${read(address)}/${((1n << BigInt(bits)) - 1n) ^ ((1n << left) - 1n)}`;
}

const prefix4 = (text: string) => [prefix(text, 32, number4)];
const prefix6 = (text: string) => [prefix(text, 128, number6)];
const macNumber = (text: string) => BigInt(`0x${text.replaceAll(":", "")}`);
const exact =
  (bits: number, shift = 0) =>
  (text: string) => [`${Number(text) >> shift}/${2 ** bits - 1}`];

function macs(text: string): string[] {
  const [address, mask = "ff:ff:ff:ff:ff:ff"] = text.split("/");
  return [`${macNumber(address)}/${macNumber(mask)}`];
}

/** The ports of `80` or `0x1f90/0xfff0`. */
export function portsOf(text: string): string[] {
  const [value, mask = HALF] = text.split("/").map(Number);
  return Array.from({ length: (~mask & HALF) + 1 }, (_, k) => `${value + k}`);
}

/** `+syn-ack`: set, and not set. */
function flags(text: string): string[] {
  let [value, mask] = [0, 0];
  for (const [, sign, name] of text.matchAll(/([+-])([a-z]+)/g)) {
    mask |= FLAGS[name];
    if (sign === "+") value |= FLAGS[name];
  }
  return [`${value}/${mask}`];
}

/** By name: ringyard's field, where it begins with a dot one of the innermost header's, and how its values are read. */
const FIELDS: Record<string, [field: string, read: (text: string) => string[]]> = {
  in_port: ["in", (text) => [`p${Number(text) - 1}`]],
  dl_src: ["eth.src", macs],
  dl_dst: ["eth.dst", macs],
  dl_vlan: ["vlan.id", exact(12)],
  dl_vlan_pcp: ["vlan.pcp", exact(3)],
  arp_op: ["arp.op", exact(16)],
  arp_spa: ["arp.spa", prefix4],
  arp_tpa: ["arp.tpa", prefix4],
  arp_sha: ["arp.sha", macs],
  nw_src: ["ip4.src", prefix4],
  nw_dst: ["ip4.dst", prefix4],
  nw_proto: ["ip4.proto", exact(8)],
  nw_tos: ["ip4.dscp", exact(6, 2)],
  nw_frag: ["ip4.frag", (text) => [text === "later" ? "3/3" : text]],
  ipv6_src: ["ip6.src", prefix6],
  ipv6_dst: ["ip6.dst", prefix6],
  tp_dst: [".dport", portsOf],
  tcp_flags: [".flags", flags],
  icmp_type: [".type", exact(8)],
};

/** Adds what a flow asks. */
export function askedByFlow(asked: Asked, flow: string): void {
  const words = flow
    .replace(/^table=\d,priority=\d+,/, "")
    .replace(/,actions=.*$/, "")
    .split(",");
  const headers = words.flatMap((word) => HEADERS[word] ?? []);
  if (words.some((word) => word.startsWith("dl_vlan="))) headers.unshift("vlan");
  for (const header of headers) ask(asked, header, "1/1");
  for (const word of words) {
    if (word in HEADERS) continue;
    const [name, value] = word.split("=");
    if (FIELDS[name] === undefined) throw new Error(`${word}: what is that?`);
    const [field, read] = FIELDS[name];
    ask(asked, field.startsWith(".") ? `${headers.at(-1)}${field}` : field, ...read(value));
  }
}
