// Whether any frame can match: the headers that a frame may have together are few enough to list, and each constraint leaves some
// of them. A rule that leaves none is a mistake, at the first word that left none. Pure.
//
//   tags       none | vlan | vlan inner
//   network    none | arp | ip4 | ip6
//   transport  none | tcp, udp or sctp in either IP | icmp in ip4 | icmp6 in ip6
//
//   ip6 icmp        ip6 leaves the layouts with ip6, none of which has icmp
//   eth type arp    leaves the layouts with arp and those without a network header (a malformed header counts as absent)

import type { FieldValue } from "../../dataplane/rules/rule.ts";
import type { Given } from "./draft.ts";
import type { HeaderField } from "./grammar.ts";
import { ETHER_TYPES, PROTOCOLS } from "./known-names.ts";
import type { NamedConstraint } from "./named-rule.ts";
import { type Word, WordProblem } from "./word.ts";

/** Headers that a frame has together, and the numbers by which those in front announce them. */
interface Layout {
  readonly headers: ReadonlySet<string>;
  readonly etherType?: bigint;
  readonly protocol?: bigint;
}

const TAGS: HeaderField[][] = [[], ["vlan"], ["vlan", "inner"]];
const NETWORKS = { arp: ETHER_TYPES.arp, ip4: ETHER_TYPES.ip, ip6: ETHER_TYPES.ip6 };
const TRANSPORTS = {
  ip4: ["tcp", "udp", "sctp", "icmp"],
  ip6: ["tcp", "udp", "sctp", "icmp6"],
} as const;

const LAYOUTS: readonly Layout[] = TAGS.flatMap((tags) => [
  { headers: new Set(tags) },
  ...Object.entries(NETWORKS).map(([network, type]) => layout(type, tags, network)),
  ...Object.entries(TRANSPORTS).flatMap(([ip, transports]) =>
    transports.map((transport) => layout(NETWORKS[ip as "ip4" | "ip6"], tags, ip, transport)),
  ),
]);

function layout(type: number, tags: readonly string[], network: string, transport?: keyof typeof PROTOCOLS): Layout {
  const headers = new Set([...tags, network, ...(transport === undefined ? [] : [transport])]);
  const protocol = transport === undefined ? undefined : BigInt(PROTOCOLS[transport]);
  return { headers, etherType: BigInt(type), protocol };
}

/** Throws WordProblem at the first constraint that leaves no layout. */
export function checkLayout(given: readonly Given[]): void {
  let left = LAYOUTS;
  for (const [index, { constraint, word, phrase }] of given.entries()) {
    left = left.filter((layout) => allows(constraint, layout));
    if (left.length > 0) continue;
    const rival = given
      .slice(0, index)
      .find((other) => !LAYOUTS.some((layout) => allows(constraint, layout) && allows(other.constraint, layout)));
    throw rivals(word, phrase, rival?.phrase ?? "what stands before");
  }
}

/** Two that no frame can satisfy both. */
export function rivals(word: Word, phrase: string, before: string): WordProblem {
  const message = `${phrase} and ${before} never match the same frame`;
  const pair = [phrase, before].sort().join(" ");
  if (pair === "icmp ip6") return new WordProblem(word, message, "ICMP of IPv6 is icmp6");
  if (pair === "icmp6 ip") return new WordProblem(word, message, "ICMP of IPv4 is icmp");
  return new WordProblem(word, message, "leave one out, or make two rules");
}

/** Whether a frame of this layout may satisfy the constraint. */
function allows(constraint: NamedConstraint, { headers, etherType, protocol }: Layout): boolean {
  if (constraint.field === "in") return true;
  const { field, oneOf } = constraint;
  const admits = (value: bigint) => oneOf.some((asked) => fits(asked, value));
  const [header, word] = field.split(".");
  if (header === "eth") return word !== "type" || etherType === undefined || admits(etherType);
  if (word === undefined) return admits(headers.has(header) ? 1n : 0n);
  if (!headers.has(header)) return false;
  if (word === "proto") return protocol === undefined || admits(protocol);
  // Only the first fragment, or a whole packet, has an L4 header (known-names.ts has the bits).
  if (word === "frag") return protocol === undefined || admits(0n) || admits(1n);
  return true;
}

/** Whether a field with this value satisfies one of the values asked for. */
export function fits(asked: FieldValue, value: bigint): boolean {
  return "mask" in asked ? (value & asked.mask) === asked.value : asked.low <= value && value <= asked.high;
}
