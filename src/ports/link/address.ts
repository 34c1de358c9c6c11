// IP addresses with prefix lengths: from text, onto a network device of the calling thread's namespace, and those that are there.
//
//   RTM_NEWADDR:  ifaddrmsg (8) | IFA_LOCAL | IFA_ADDRESS            both the same address: no peer
//
// Any thread.

import { isIP, isIPv4 } from "node:net";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import { attribute, attributesOf, NETLINK_ROUTE, netlinkCall, netlinkDump } from "../../sys/netlink.ts";
import { IFA_ADDRESS, IFA_LOCAL, RTM_GETADDR, RTM_NEWADDR, struct_ifaddrmsg } from "../../uapi/rtnetlink.ts";

// From <sys/socket.h>.
const AF_INET = 2;
const AF_INET6 = 10;

export interface Cidr {
  /** 4 bytes or 16, in network order. */
  address: Uint8Array;
  prefixLength: number;
}

/** Reads `10.0.0.1/24` or `fd00::1/64`. Throws RingyardError. */
export function parseCidr(text: string): Cidr {
  const [, address = "", digits = ""] = /^([0-9A-Fa-f:.]+)\/(\d{1,3})$/.exec(text) ?? [];
  const version = isIP(address);
  const prefixLength = Number(digits);
  if (version === 0 || prefixLength > (version === 4 ? 32 : 128)) {
    const next = "write it as 10.0.0.1/24 or fd00::1/64";
    throw new RingyardError("BAD_OPTION", `${quoted(text.slice(0, 60))} is not an address with a prefix length`, next);
  }
  return { address: version === 4 ? ipv4Bytes(address) : ipv6Bytes(address), prefixLength };
}

function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

/** `text` is a valid address; `::` stands for the zeros that its 8 groups lack (RFC 4291, 2.2). */
function ipv6Bytes(text: string): Uint8Array {
  const bytesOf = (groups: string) =>
    groups === "" ? [] : groups.split(":").flatMap((group) => (isIPv4(group) ? [...ipv4Bytes(group)] : pair(group)));
  const [before, after] = text.split("::");
  const bytes = new Uint8Array(16);
  bytes.set(bytesOf(before));
  const last = bytesOf(after ?? "");
  bytes.set(last, bytes.length - last.length);
  return bytes;
}

function pair(group: string): [number, number] {
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 0xff];
}

/** Adds an address to the device with `index`. Throws SysError (EEXIST: it has it). */
export function addAddress(index: number, { address, prefixLength }: Cidr): void {
  const { size, fields } = struct_ifaddrmsg;
  const head = new DataView(new ArrayBuffer(size));
  head.setUint8(fields.ifa_family[0], address.length === 4 ? AF_INET : AF_INET6);
  head.setUint8(fields.ifa_prefixlen[0], prefixLength);
  head.setUint32(fields.ifa_index[0], index, true);
  const attributes = [attribute(IFA_LOCAL, address), attribute(IFA_ADDRESS, address)];
  netlinkCall(NETLINK_ROUTE, RTM_NEWADDR, Buffer.concat([new Uint8Array(head.buffer), ...attributes]), "RTM_NEWADDR");
}

/**
 * The addresses of this namespace, as `10.0.0.1/24`, by the index of their device: also of devices that are down or have no carrier,
 * which getifaddrs(3) as Node.js uses it leaves out. Throws SysError.
 */
export function listAddresses(): Map<number, string[]> {
  const { size, fields } = struct_ifaddrmsg;
  const found = new Map<number, string[]>();
  for (const answer of netlinkDump(NETLINK_ROUTE, RTM_GETADDR, new Uint8Array(size), "RTM_GETADDR")) {
    const attributes = attributesOf(answer, size);
    const view = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
    if (view === undefined) continue;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const index = answer.getUint32(fields.ifa_index[0], true);
    const text = `${addressText(bytes)}/${answer.getUint8(fields.ifa_prefixlen[0])}`;
    found.set(index, [...(found.get(index) ?? []), text]);
  }
  return found;
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, group) => ((bytes[group * 2] << 8) | bytes[group * 2 + 1]).toString(16));
  // The shortest form, by the URL standard (RFC 5952).
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
