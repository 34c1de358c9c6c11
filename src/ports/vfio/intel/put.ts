// HOT
// Writing transmit descriptors: what the copying way (transmit.ts) and the direct one (direct.ts) have in common. Nothing here is
// the device's before its tail is told.

import { DESC_SHIFT, E1000_ADVTXD_PAYLEN_SHIFT, E1000_TXD_CMD_EOP } from "./descriptors.ts";
import { TX_CONTEXT, TX_CONTEXT_KNOWN } from "./layout.ts";
import type { Transmitter } from "./transmitter.ts";

/** Shorter frames hang both devices (82576 data sheet 7.2.1.2); the device pads to 64 bytes by itself. */
export const LEAST_SIZE = 17;

/** What every descriptor of a plain frame of `size` bytes says; offloads add to it. */
export function beginFrame(tx: Transmitter, size: number): void {
  tx.command = tx.dataCommand;
  tx.options = tx.advanced ? size << E1000_ADVTXD_PAYLEN_SHIFT : 0;
  tx.needsContext = false;
}

/** A data descriptor for `size` bytes at an IOVA. Returns the next slot. */
export function putData(tx: Transmitter, slot: number, low: number, high: number, size: number, last: boolean): number {
  const words = tx.words;
  const word = tx.ringWord + (slot << DESC_SHIFT);
  words[word] = low;
  words[word + 1] = high;
  words[word + 2] = tx.command | size | (last ? E1000_TXD_CMD_EOP : 0);
  words[word + 3] = tx.options;
  return (slot + 1) & tx.mask;
}

/** Whether the device has this context from an earlier frame: neighbours in a flow ask the same. */
export function contextKnown(tx: Transmitter): boolean {
  const own = tx.own;
  return (
    own[TX_CONTEXT_KNOWN] !== 0 &&
    own[TX_CONTEXT] === tx.context0 &&
    own[TX_CONTEXT + 1] === tx.context1 &&
    own[TX_CONTEXT + 2] === tx.context2 &&
    own[TX_CONTEXT + 3] === tx.context3
  );
}

export function putContext(tx: Transmitter, slot: number): number {
  const { own, words } = tx;
  const word = tx.ringWord + (slot << DESC_SHIFT);
  own[TX_CONTEXT_KNOWN] = 1;
  words[word] = own[TX_CONTEXT] = tx.context0;
  words[word + 1] = own[TX_CONTEXT + 1] = tx.context1;
  words[word + 2] = own[TX_CONTEXT + 2] = tx.context2;
  words[word + 3] = own[TX_CONTEXT + 3] = tx.context3;
  return (slot + 1) & tx.mask;
}
