// Frames of hosts that find one another and get their addresses: ARP, IPv4, IPv6 with extension headers, neighbour discovery, DHCP.
// Put together from the RFCs with plain arrays; checksums are left 0, since the switch reads none.
//
//   framed(to, from, type, payload, ...tags)      ip4("10.0.0.1", "10.0.0.2", 17, udp(68, 67))      nd(135, "fd00::2")
//
// For tests, any thread.

import { IP4, IP6 } from "../../../src/core/ip.ts";
import { BROADCAST, type Mac } from "../../support/frames.ts";

/** A number as `size` bytes. */
export function big(value: bigint | number, size: number): number[] {
  return Array.from({ length: size }, (_, k) => Number((BigInt(value) >> BigInt(8 * (size - 1 - k))) & 0xffn));
}

export function address(text: string): number[] {
  return text.includes(":") ? big(IP6.parse(text) ?? 0n, 16) : big(IP4.parse(text) ?? 0n, 4);
}

/** Tags as [TPID, TCI]. */
export type Tag = readonly [number, number];

export function framed(to: Mac, from: Mac, type: number, payload: readonly number[], ...tags: Tag[]): Uint8Array {
  const tagged = tags.flatMap(([tpid, tci]) => [...big(tpid, 2), ...big(tci, 2)]);
  const bytes = [...to, ...from, ...tagged, ...big(type, 2), ...payload];
  return Uint8Array.from([...bytes, ...Array(Math.max(0, 60 - bytes.length)).fill(0)]);
}

export const ARP = 0x0806;
export const IPV4 = 0x0800;
export const IPV6 = 0x86dd;
const NOBODY: Mac = [0, 0, 0, 0, 0, 0];

export function arp(op: number, sha: Mac, spa: string, tpa: string, tha = NOBODY): number[] {
  return [0, 1, 8, 0, 6, 4, ...big(op, 2), ...sha, ...address(spa), ...tha, ...address(tpa)];
}

/** "Who has TPA?", said by `from`. */
export function arpRequest(from: Mac, spa: string, tpa: string, ...tags: Tag[]): Uint8Array {
  return framed(BROADCAST, from, ARP, arp(1, from, spa, tpa), ...tags);
}

export function arpReply(to: Mac, from: Mac, spa: string, tpa: string, ...tags: Tag[]): Uint8Array {
  return framed(to, from, ARP, arp(2, from, spa, tpa, to), ...tags);
}

export function udp(from: number, to: number, payload: readonly number[] = [1, 2, 3, 4]): number[] {
  return [...big(from, 2), ...big(to, 2), ...big(8 + payload.length, 2), 0, 0, ...payload];
}

/** `fragment`: flags and offset as the header has them. */
export function ip4(
  source: string,
  target: string,
  protocol: number,
  payload: readonly number[],
  fragment = 0,
): number[] {
  const start = [0x45, 0, ...big(20 + payload.length, 2), 0, 1, ...big(fragment, 2), 64, protocol, 0, 0];
  return [...start, ...address(source), ...address(target), ...payload];
}

/** An IPv6 extension header: its number, and all but its first byte, which names what follows. */
export type Extension = readonly [number, readonly number[]];

/** An options header (60, or 0, 43) of `units` times 8 bytes more than 8. */
export function options(kind: number, units = 0): Extension {
  return [kind, [units, 1, 4 + 8 * units, ...Array(4 + 8 * units).fill(0)]];
}

export function fragmentHeader(offset: number, more: boolean): Extension {
  return [44, [0, ...big(offset * 8 + (more ? 1 : 0), 2), 0, 0, 0, 9]];
}

export function ip6(
  source: string,
  target: string,
  protocol: number,
  payload: readonly number[],
  extensions: readonly Extension[] = [],
  hopLimit = 255,
): number[] {
  const kinds = [...extensions.map(([kind]) => kind), protocol];
  const chain = extensions.flatMap(([, rest], k) => [kinds[k + 1], ...rest]);
  const body = [...chain, ...payload];
  return [0x60, 0, 0, 0, ...big(body.length, 2), kinds[0], hopLimit, ...address(source), ...address(target), ...body];
}

export const ICMPV6 = 58;

/** A message with a target: 135 solicitation, 136 advertisement. */
export function nd(type: number, target: string): number[] {
  return [type, 0, 0, 0, 0, 0, 0, 0, ...address(target)];
}

/** The group of a target, and its MAC. */
export function solicited(target: string): { group: string; mac: Mac } {
  const [x, y, z] = address(target).slice(13);
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return { group: `ff02::1:ff${hex(x)}:${hex(y)}${hex(z)}`, mac: [0x33, 0x33, 0xff, x, y, z] };
}

/** "Who has TARGET?" in IPv6; from `::` it asks for duplicates. */
export function solicitation(from: Mac, source: string, target: string, ...tags: Tag[]): Uint8Array {
  const { group, mac } = solicited(target);
  return framed(mac, from, IPV6, ip6(source, group, ICMPV6, nd(135, target)), ...tags);
}

export function advertisement(to: Mac, from: Mac, target: string, heard: string, ...tags: Tag[]): Uint8Array {
  return framed(to, from, IPV6, ip6(target, heard, ICMPV6, nd(136, target)), ...tags);
}
