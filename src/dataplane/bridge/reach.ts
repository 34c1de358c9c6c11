// HOT
// Which ports may send to which: isolated ports and groups (split horizon), and which floods a port takes.
//
//   bits[(from << 3) + (to >> 5)], bit to & 31   1: frames may go from port `from` to port `to`
//   flood[to]                                    FLOOD_* bits of the floods that go out of it

import { MAX_PORTS } from "../shared.ts";
import type { BridgePolicy } from "./policy.ts";

export const FLOOD_BROADCAST = 1;
export const FLOOD_MULTICAST = 2;
export const FLOOD_UNKNOWN = 4;
const FLOOD_ALL = 7;

const WORDS_PER_PORT_LOG2 = 3; // 256 ports in words of 32 bits

export class Reach {
  readonly bits = new Int32Array(MAX_PORTS << WORDS_PER_PORT_LOG2).fill(-1);
  readonly flood = new Int32Array(MAX_PORTS).fill(FLOOD_ALL);

  constructor({ ports }: BridgePolicy) {
    for (const { port, floodBroadcast, floodMulticast, floodUnknown } of ports) {
      this.flood[port] =
        (floodBroadcast ? FLOOD_BROADCAST : 0) |
        (floodMulticast ? FLOOD_MULTICAST : 0) |
        (floodUnknown ? FLOOD_UNKNOWN : 0);
    }
    for (const a of ports) {
      for (const b of ports) {
        const apart = (a.isolated && b.isolated) || a.groups.some((group) => b.groups.includes(group));
        if (apart && a !== b) this.bits[(a.port << WORDS_PER_PORT_LOG2) + (b.port >> 5)] &= ~(1 << (b.port & 31));
      }
    }
  }
}

/** Whether frames may go from one port to the other. */
export function reaches({ bits }: Reach, from: number, to: number): boolean {
  return ((bits[(from << WORDS_PER_PORT_LOG2) + (to >> 5)] >>> (to & 31)) & 1) !== 0;
}
