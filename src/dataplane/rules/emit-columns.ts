// What of a key the caches of flows compare: columns, and the words of F that they lie in. Packed, since comparing is most of what a
// known flow costs.
//
// Columns of the flow cache are all bits that rules ask for: a VLAN id and a destination port need 28 bits and share one.
//
// Those of the broad cache know more of narrow words, which are ports and addresses. A bit of such a word matters for a key only if
// it is part of a check, or of a slice that some entry has: where no entry has the slice, no entry of those tuples can match,
// whatever the rest of the word is. So
//
//   mask    = bits of all checks | bits of those of the key's slices that some entry has         (B, filled by narrow functions)
//   columns = mask, word | ~mask
//
// and two keys with the same columns meet the same rules: an entry that matches one of them has its slices and checks within the
// mask, where both are equal. It is what Open vSwitch's megaflows are, found without a search.
//
// Words 9-11 and 13-18 and the ARP operation are 0 in a key that is neither IPv6 nor ARP (key.ts), and those class bits are among
// the asked ones whenever such words are. So IPv4 and plain Ethernet leave them out. Cold; control thread.

import type { Plan } from "./compile-shape.ts";
import { int } from "./emit-int.ts";
import { KEY_FLAGS, KEY_IP_DST, KEY_IP_SRC, KEY_PORTS } from "./key.ts";

export interface Column {
  readonly text: string;
  /** Bits in use, from the lowest on. */
  readonly bits: number;
  /** Whether it tells flows apart that no other column does. */
  readonly isHashed: boolean;
}

/** What any key has, and what only IPv6's and ARP's have. */
export interface Columns {
  readonly base: readonly Column[];
  readonly wide: readonly Column[];
}

/** Ports and addresses: what differs between flows that rules treat alike. */
const NARROW = [KEY_PORTS, ...Array.from({ length: 8 }, (_, i) => KEY_IP_SRC + i)];
/** Of the word that has TCP's flags above it. */
const ARP_OPERATION = 0xffff;
/** Of fewer tuples than this a search is as fast as a look into the broad cache. */
const BROAD_TUPLES_MIN = 12;

/** Words of which the broad cache compares only what matters; none where it is not worth it. */
export function narrowWords({ slices, groups }: Plan, checked: Int32Array): number[] {
  const tuples = groups.reduce((sum, { shapes }) => sum + shapes.length, 0);
  const isNarrow = (it: number) => slices.some(({ word, mask }) => word === it && (mask & ~checked[word]) !== 0);
  return tuples < BROAD_TUPLES_MIN ? [] : NARROW.filter(isNarrow);
}

/** Which bits of a word only keys of IPv6 and ARP have. */
function wideBits(word: number): number {
  if (word === KEY_FLAGS) return ARP_OPERATION;
  return isWide(word) ? -1 : 0;
}

export function isWide(word: number): boolean {
  return word > KEY_IP_SRC && word !== KEY_IP_DST;
}

/** `asked` are all bits of a key that rules look at; `narrow` words have masks in B, in this order. */
export function columnsOf(asked: Int32Array, narrow: readonly number[]): Columns {
  const columns = (bitsOf: (word: number) => number) => {
    const bits = asked.map((mask, word) => mask & bitsOf(word));
    const words = [...bits.keys()].filter((word) => bits[word] !== 0);
    const others = words.filter((word) => !narrow.includes(word));
    const masks = words.filter((word) => narrow.includes(word));
    return [...pack(others, bits), ...masks.flatMap((word) => masked(word, `B[${int(narrow.indexOf(word))}]`))];
  };
  return { base: columns((word) => ~wideBits(word)), wide: columns(wideBits) };
}

/** Ones where nothing matters: with zeroes an address would look like the network that it is the first of, under another mask. */
function masked(word: number, mask: string): Column[] {
  return [
    { text: mask, bits: 32, isHashed: false },
    { text: `K[${int(word)}] | ~${mask}`, bits: 32, isHashed: true },
  ];
}

/** The widest first, each into the first column that has room. */
function pack(words: readonly number[], asked: Int32Array): Column[] {
  const columns: { text: string; bits: number }[] = [];
  const spans = words.map((word) => {
    const low = 31 - Math.clz32(asked[word] & -asked[word]);
    return { word, low, bits: 32 - Math.clz32(asked[word]) - low };
  });
  for (const { word, low, bits } of spans.sort((a, b) => b.bits - a.bits || a.word - b.word)) {
    const roomy = columns.find((it) => it.bits + bits <= 32);
    if (roomy === undefined) columns.push({ text: shifted(word, asked[word], -low), bits });
    else {
      roomy.text += ` | ${shifted(word, asked[word], roomy.bits - low)}`;
      roomy.bits += bits;
    }
  }
  return columns.map((column) => ({ ...column, isHashed: true }));
}

/** What is asked of a word, to the left if `shift` is positive, to the right if it is negative. */
function shifted(word: number, mask: number, shift: number): string {
  const text = mask === -1 ? `K[${int(word)}]` : `(K[${int(word)}] & ${int(mask)})`;
  if (shift === 0) return text;
  return shift > 0 ? `${text} << ${int(shift)}` : `${text} >>> ${int(-shift)}`;
}
