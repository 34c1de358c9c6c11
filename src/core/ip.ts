// IPv4 and IPv6 addresses, masks and prefix lengths, between text and one whole number. Pure; control code only (BigInt).
//
//   10.1.0.0       0x0a010000n                        dotted decimal, four numbers without leading zeros (those were octal once)
//   2001:db8::1    0x20010db8000000000000000000000001n  RFC 4291, 2.2: groups, one ::, the last 32 bits perhaps dotted
//   /8             0xff000000n                        a prefix is a mask whose ones all stand in front
//
// Printed IPv6 is canonical (RFC 5952): lower case, no leading zeros, :: for the longest run of two or more zero groups, the first of
// equals; IPv4-mapped addresses (::ffff:0:0/96) end dotted. Zones (%eth0) belong to an interface, and are not read.

/** What the two versions differ in. */
export interface IpVersion {
  readonly version: 4 | 6;
  readonly bits: 32 | 128;
  /** Null where the text is no address. */
  parse(text: string): bigint | null;
  format(address: bigint): string;
}

export const IP4: IpVersion = { version: 4, bits: 32, parse: parseIp4, format: formatIp4 };
export const IP6: IpVersion = { version: 6, bits: 128, parse: parseIp6, format: formatIp6 };

const OCTET = /^(?:0|[1-9]\d{0,2})$/;
const GROUP = /^[0-9a-f]{1,4}$/i;
const GROUPS = 8;
/** Eight groups of four and seven colons, or six with a dotted address of 15 behind: RFC 4291 has none longer. */
const IP6_LENGTH_MAX = 45;
const MAPPED = 0xffffn;

function parseIp4(text: string): bigint | null {
  const octets = text.split(".", 5);
  if (octets.length !== 4 || !octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255)) return null;
  return octets.reduce((address, octet) => (address << 8n) | BigInt(octet), 0n);
}

function formatIp4(address: bigint): string {
  const word = Number(address);
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

function parseIp6(text: string): bigint | null {
  if (text.length > IP6_LENGTH_MAX) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const front = parseGroups(halves[0], halves.length === 1);
  const back = halves.length === 1 ? [] : parseGroups(halves[1], true);
  if (front === null || back === null) return null;
  const missing = GROUPS - front.length - back.length;
  // `::` stands for at least one group.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const groups = [...front, ...new Array<bigint>(missing).fill(0n), ...back];
  return groups.reduce((address, group) => (address << 16n) | group, 0n);
}

/** The groups of one side of `::`; `last` where the address ends with them, so that a dotted one may. */
function parseGroups(text: string, last: boolean): bigint[] | null {
  if (text === "") return [];
  const groups: bigint[] = [];
  const words = text.split(":");
  for (const [index, word] of words.entries()) {
    const dotted = last && index === words.length - 1 ? parseIp4(word) : null;
    if (dotted !== null) groups.push(dotted >> 16n, dotted & 0xffffn);
    else if (GROUP.test(word)) groups.push(BigInt(`0x${word}`));
    else return null;
  }
  return groups;
}

function formatIp6(address: bigint): string {
  if (address >> 32n === MAPPED) return `::ffff:${formatIp4(address & 0xffff_ffffn)}`;
  const groups = Array.from({ length: GROUPS }, (_, index) => (address >> BigInt(112 - 16 * index)) & 0xffffn);
  const { start, length } = longestZeros(groups);
  const text = (part: bigint[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

function longestZeros(groups: readonly bigint[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0n ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}

/** The mask of a prefix: `length` ones in front of `bits - length` zeros. */
export function prefixMask(bits: number, length: number): bigint {
  return allOnes(bits) ^ allOnes(bits - length);
}

/** How many ones a mask begins with, or null where others follow behind a zero. */
export function prefixLength(bits: number, mask: bigint): number | null {
  const zeros = allOnes(bits) ^ mask;
  // Zeros behind ones only: their complement is one less than a power of two.
  if ((zeros & (zeros + 1n)) !== 0n) return null;
  return bits - (zeros === 0n ? 0 : zeros.toString(2).length);
}

function allOnes(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}
