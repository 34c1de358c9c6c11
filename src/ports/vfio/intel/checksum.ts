// HOT
// The Internet checksum (RFC 1071) over private copies of frames, for what the device cannot do: a partial checksum in a place
// that it does not know, and the pseudo-header that it wants before it cuts a super-frame.

/** Adds the big-endian 16-bit words of `bytes[from..to)` to `sum`; a last odd byte counts as the high one. */
export function addWords(bytes: Uint8Array, from: number, to: number, sum: number): number {
  let at = from;
  for (; at + 1 < to; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
  return at < to ? sum + (bytes[at] << 8) : sum;
}

/** Folds a sum of less than 2^32 to 16 bits. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
