// HOT
// What rules said of the flows seen last, found again by the header's own words: no key is made, no rule looked up. For plain IPv4
// frames only, which most are; their keys depend on fixed places, read as little-endian words from the frame's start:
//
//   0 1 2 addresses   3 type, version, header length, TOS   4 total length   5 fragment, protocol   6 7 8 addresses, and ports
//   in 8 and 9        11 TCP flags
//
//   slot   those words but 4 | port + 1 | kinds | classes | turn, verdict | answer: count, ranks ...            SLOT_WORDS
//
// Lengths decide which headers are present. With 20 bytes behind the IPv4 header, every L4 header of a key is; so of frames
// that have those no more is asked, and others do not come here. The flow cache behind it (flow-cache.ts) knows flows by what
// rules ask of them, so it holds far more; this one is exact and quick. A slot belongs to whoever came last. Part of a plan: the
// next one starts with an empty memo. Hashed with random multipliers, so that nobody can choose flows that collide.

const SLOT_BITS = 10;
const SLOT_WORDS = 32;
const AT_PORT = 10;
export const MEMO_KINDS = 11;
export const MEMO_CLASSES = 12;
/** A verdict, and the turn (plan.ts) for which it holds. */
export const MEMO_TURN = 13;
export const MEMO_VERDICT = 14;
export const MEMO_ANSWER = 15;
const RANKS_MAX = SLOT_WORDS - MEMO_ANSWER - 1;

const PLAIN = 0x450008;
const PLAIN_BITS = 0xffffff;
const FRAGMENT_PROTOCOL_BITS = 0xff00ffff | 0;
const HIGH_HALF = 0xffff0000 | 0;
const LOW_HALF = 0xffff;
const TCP = 6;
const TCP_FLAG_BITS = 0xff0f0000 | 0;
/** IPv4 and TCP headers without options: the largest L4 header of a key. */
const WHOLE_PACKET = 20 + 20;
const WHOLE_FRAME = 14 + WHOLE_PACKET;

export class FlowMemo {
  readonly words = new Int32Array(SLOT_WORDS << SLOT_BITS);
  readonly multipliers = crypto.getRandomValues(new Int32Array(4)).map((value) => value | 1);
}

/** Whether the frame of `size` bytes at word `at` of `words` is one that this is for. */
export function isPlain(words: Int32Array, at: number, size: number): boolean {
  return (words[at + 3] & PLAIN_BITS) === PLAIN && isWhole(words[at + 4], size);
}

function isWhole(word4: number, size: number): boolean {
  return size >= WHOLE_FRAME && (((word4 & 0xff) << 8) | ((word4 >>> 8) & 0xff)) >= WHOLE_PACKET;
}

/** The only slot that a plain frame may have. */
export function slotOf(memo: FlowMemo, words: Int32Array, at: number): number {
  const { multipliers } = memo;
  const hash =
    Math.imul(words[at + 7], multipliers[0]) +
    Math.imul(words[at + 8], multipliers[1]) +
    Math.imul(words[at + 2] ^ (words[at + 6] >>> 16), multipliers[2]) +
    Math.imul(words[at + 9] & LOW_HALF, multipliers[3]);
  return ((hash ^ (hash >>> 15)) >>> (32 - SLOT_BITS)) * SLOT_WORDS;
}

/** Whether a slot is that of the plain frame at `at`, which came in on `port`. */
export function isOf(slots: Int32Array, slot: number, words: Int32Array, at: number, port: number): boolean {
  // First what mostly differs between flows.
  if (words[at + 8] !== slots[slot + 7] || words[at + 7] !== slots[slot + 6]) return false;
  const word5 = words[at + 5];
  const flagBits = word5 >>> 24 === TCP ? TCP_FLAG_BITS : 0;
  const differs =
    (words[at] ^ slots[slot]) |
    (words[at + 1] ^ slots[slot + 1]) |
    (words[at + 2] ^ slots[slot + 2]) |
    (words[at + 3] ^ slots[slot + 3]) |
    ((word5 ^ slots[slot + 4]) & FRAGMENT_PROTOCOL_BITS) |
    ((words[at + 6] ^ slots[slot + 5]) & HIGH_HALF) |
    ((words[at + 9] ^ slots[slot + 8]) & LOW_HALF) |
    ((words[at + 11] ^ slots[slot + 9]) & flagBits) |
    (slots[slot + AT_PORT] ^ (port + 1));
  return differs === 0;
}

/**
 * Gives a slot to the plain frame at `at`, with the answer that begins at `answer` of `answers`. Returns false where that is too
 * long: the slot is as it was.
 */
export function takeSlot(
  slots: Int32Array,
  slot: number,
  words: Int32Array,
  at: number,
  port: number,
  answers: Int32Array,
  answer: number,
): boolean {
  const count = answers[answer];
  if (count > RANKS_MAX) return false;
  slots[slot] = words[at];
  slots[slot + 1] = words[at + 1];
  slots[slot + 2] = words[at + 2];
  slots[slot + 3] = words[at + 3];
  slots[slot + 4] = words[at + 5];
  slots[slot + 5] = words[at + 6];
  slots[slot + 6] = words[at + 7];
  slots[slot + 7] = words[at + 8];
  slots[slot + 8] = words[at + 9];
  slots[slot + 9] = words[at + 11];
  slots[slot + AT_PORT] = port + 1;
  for (let k = 0; k <= count; k++) slots[slot + MEMO_ANSWER + k] = answers[answer + k];
  return true;
}

/**
 * How many frames of a burst, from `i` on to `count`, are of one flow: the first of them is plain, and begins at word `at`; each
 * next one begins `stride` words on.
 */
export function runLength(
  words: Int32Array,
  at: number,
  stride: number,
  length: Int32Array,
  i: number,
  count: number,
): number {
  const word0 = words[at];
  const word1 = words[at + 1];
  const word2 = words[at + 2];
  const word3 = words[at + 3];
  const word5 = words[at + 5];
  const word6 = words[at + 6];
  const word7 = words[at + 7];
  const word8 = words[at + 8];
  const word9 = words[at + 9];
  const word11 = words[at + 11];
  const flagBits = word5 >>> 24 === TCP ? TCP_FLAG_BITS : 0;
  let next = i + 1;
  for (let b = at + stride; next < count; b += stride) {
    // First what mostly differs between flows.
    if (words[b + 8] !== word8 || words[b + 7] !== word7) break;
    const differs =
      (words[b] ^ word0) |
      (words[b + 1] ^ word1) |
      (words[b + 2] ^ word2) |
      (words[b + 3] ^ word3) |
      ((words[b + 5] ^ word5) & FRAGMENT_PROTOCOL_BITS) |
      ((words[b + 6] ^ word6) & HIGH_HALF) |
      ((words[b + 9] ^ word9) & LOW_HALF) |
      ((words[b + 11] ^ word11) & flagBits);
    if (differs !== 0 || !isWhole(words[b + 4], length[next])) break;
    next++;
  }
  return next - i;
}
