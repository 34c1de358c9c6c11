// HOT
// Probes of the loop guard (probe.ts) where they come back: a worker knows them by their token, notes at which port, and drops them.
//
//   tokens  4 words for each port          written by the control thread
//   seen    1 word for each port           1 + the port whose probe came in here last; workers store it, the control thread clears it
//
// Words and no events: a loop carries frames at the speed of the wire, and what logs them may fill the ring; a word has always room.

import { publish32 } from "../../mem/access.ts";
import { slotStart } from "../rules/header-arena.ts";
import { CLASS_INNER, CLASS_VLAN, KEY_CLASS, KEY_TYPE } from "../rules/key.ts";
import type { Plan } from "../rules/plan.ts";
import { MAX_PORTS } from "../shared.ts";
import {
  PROBE_DESTINATION_WORD,
  PROBE_PORT_WORD,
  PROBE_TOKEN_END,
  PROBE_TOKEN_WORD,
  PROBE_TYPE,
  TOKEN_WORDS,
} from "./probe.ts";

const TOKENS_LENGTH = MAX_PORTS * TOKEN_WORDS;
/** Bytes of memory for all of it. */
export const PROBES_SIZE = (TOKENS_LENGTH + MAX_PORTS) * 4;

export class Probes {
  readonly tokens: Int32Array;
  readonly seen: Int32Array;

  /** A view of PROBES_SIZE bytes of `buffer`, from `at` on. */
  constructor(buffer: ArrayBuffer, at: number) {
    this.tokens = new Int32Array(buffer, at, TOKENS_LENGTH);
    this.seen = new Int32Array(buffer, at + TOKENS_LENGTH * 4, MAX_PORTS);
  }
}

/**
 * Whether form `i` of the arena, whose key is the program's, is a probe of this switch; then it is noted. With a tag or two it is one,
 * too: what lies beyond a port may have put them on.
 */
export function takeProbe({ tokens, seen }: Probes, plan: Plan, i: number): boolean {
  const { arena, program } = plan;
  const { words } = arena;
  if (program.key[KEY_TYPE] >>> 16 !== PROBE_TYPE) return false;
  const start = slotStart(i) >> 2;
  if (words[start] !== PROBE_DESTINATION_WORD) return false;
  const classes = program.key[KEY_CLASS];
  const tags = (classes & CLASS_INNER) !== 0 ? 2 : (classes & CLASS_VLAN) !== 0 ? 1 : 0;
  if (arena.judged.length[i] < PROBE_TOKEN_END + 4 * tags) return false;
  const from = (words[start + PROBE_PORT_WORD + tags] >>> 16) & 0xff;
  const said = start + PROBE_TOKEN_WORD + tags;
  const own = from * TOKEN_WORDS;
  for (let k = 0; k < TOKEN_WORDS; k++) if (words[said + k] !== tokens[own + k]) return false;
  publish32(seen, plan.port, 1 + from);
  return true;
}
