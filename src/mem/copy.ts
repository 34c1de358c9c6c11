// HOT
// Copying packet bytes between windows. Both ends are checked against their windows first: an out-of-range typed-array
// access is harmless, a raw memcpy is not.
//
// Short, 4-byte aligned pieces go word by word (Int32: copying through floats rewrites NaN patterns); the rest is libc's
// memcpy through FFI, whose call costs about 10 ns. Measured switch-over on an EPYC: 64 B 6 against 12 ns, 128 B equal,
// 256 B 20 against 14 ns.

import { copyAt } from "../sys/fd.ts";
import type { WindowTable } from "./window.ts";

const WORD_COPY_MAX = 128;

/** Copies `length` bytes; returns false, having touched nothing, where either end leaves its window. */
export function copyBytes(
  windows: WindowTable,
  toWindow: number,
  toOffset: number,
  fromWindow: number,
  fromOffset: number,
  length: number,
): boolean {
  const size = windows.size;
  const room = (size[toWindow] - length) | 0;
  const rest = (size[fromWindow] - length) | 0;
  if ((toOffset | fromOffset | length | room | rest) < 0 || toOffset > room || fromOffset > rest) return false;
  if (length > WORD_COPY_MAX || ((toOffset | fromOffset) & 3) !== 0) {
    copyAt(windows.address[toWindow] + toOffset, windows.address[fromWindow] + fromOffset, length);
    return true;
  }
  copyWords(windows.i32[toWindow], toOffset >> 2, windows.i32[fromWindow], fromOffset >> 2, length >> 2);
  if ((length & 3) !== 0) copyTail(windows.u8[toWindow], toOffset, windows.u8[fromWindow], fromOffset, length);
  return true;
}

function copyWords(to: Int32Array, toWord: number, from: Int32Array, fromWord: number, count: number): void {
  for (let word = 0; word < count; word++) to[toWord + word] = from[fromWord + word];
}

/** The last one to three bytes of a copy whose whole words are done. */
function copyTail(to: Uint8Array, toOffset: number, from: Uint8Array, fromOffset: number, length: number): void {
  for (let byte = length & ~3; byte < length; byte++) to[toOffset + byte] = from[fromOffset + byte];
}
