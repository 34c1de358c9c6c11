// HOT
// Compiled rules as a worker runs them: its own flow cache and key, the shared tables, and the functions made of the source.
//
//   key -> probe: known flow? -----------------------------------------> answer in the flow cache
//            \-> broad: like a known flow in all that matters? --------> answer in the broad cache -> kept for probe
//                  \-> find: all tuples, ranks that continue noted -> settle: in order, up to the one that ends -> kept for both
//
// One thread's own; swapped between two bursts. Functions are kept by their source, since the JIT's work hangs on them.

import { RingyardError } from "../../core/errors.ts";
import {
  CHECK_END,
  CHECK_LENGTH,
  RANK_NONE,
  SIGN,
  TABLES_AT_MAGIC,
  TABLES_AT_SIZE,
  TABLES_MAGIC,
} from "./compile-layout.ts";
import {
  BROAD_ENTRIES,
  BROAD_ENTRY_WORDS,
  BROAD_TAGS,
  FLOW_ENTRIES,
  FLOW_MULTIPLIERS,
  FLOW_SCRATCH,
  FLOW_SEEDS,
  FLOW_TAGS,
  FLOW_WORDS,
  forgetFlows,
  takePlace,
} from "./flow-cache.ts";
import { KEY_WORDS } from "./key.ts";

/** Sources whose functions a program keeps: rules that go back and forth find theirs again. */
const SOURCES_KEPT = 4;

/** What the source makes. */
interface Functions {
  /** The rank that ends the search, or RANK_NONE; ranks that continue are noted. */
  find(p: RuleProgram): number;
  /** Where the answer for the key is, or -1. */
  probe(p: RuleProgram): number;
  broad(p: RuleProgram): number;
  write(at: number): void;
  writeBroad(at: number): void;
  /** Which bits of both ports matter for a frame of TCP or UDP in plain IPv4. */
  matterPorts(tables: Int32Array, ports: number): number;
  /** For each word of a key the bits that rules look at. */
  readonly asked: readonly number[];
  /** Words of an entry of the flow cache, where an answer starts in entries of both, and how many ranks fit. */
  readonly entrySize: number;
  readonly entryAnswer: number;
  readonly entryRanks: number;
  readonly broadAnswer: number;
  readonly broadRanks: number;
}

export interface ProgramOptions {
  /** Multipliers of the caches' hashes, FLOW_MULTIPLIERS of them; random unless a test wants its own. */
  seeds?: Int32Array;
}

export class RuleProgram {
  /** parse.ts writes the frame's key here, `decide` reads it. */
  readonly key = new Int32Array(KEY_WORDS);
  /** Where answers lie: flow-cache.ts draws it. */
  readonly flows = new Int32Array(FLOW_WORDS);
  readonly seeds = new Int32Array(FLOW_SEEDS);
  tables: Int32Array;
  functions: Functions;
  find: Functions["find"];
  probe: Functions["probe"];
  broad: Functions["broad"];
  // Of a key that `probe`, or `broad`, did not find: its hash, the first tag of its set, and the tag of another with that hash, or -1.
  hash = 0;
  set = 0;
  twin = -1;
  hashBroad = 0;
  setBroad = 0;
  twinBroad = -1;
  /** How many ranks `find` has put into scratch space. */
  noted = 0;
  dice = 1;
  readonly #kept = new Map<string, Functions>();

  constructor(tables: Int32Array, source: string, { seeds = randomSeeds() }: ProgramOptions = {}) {
    this.seeds.set(seeds.subarray(0, FLOW_MULTIPLIERS));
    this.tables = tables;
    this.functions = this.#functionsOf(source);
    this.find = this.functions.find;
    this.probe = this.functions.probe;
    this.broad = this.functions.broad;
    this.swap(tables, source);
  }

  /** Cold. Runs these rules from now on; the flow cache forgets what it knew. */
  swap(tables: Int32Array, source: string): void {
    if (tables[TABLES_AT_MAGIC] !== TABLES_MAGIC || tables[TABLES_AT_SIZE] > tables.length) {
      throw new RingyardError(
        "BAD_OPTION",
        "rules: these are no tables of rules",
        "pass those of RuleCompiler.compile",
      );
    }
    this.functions = this.#functionsOf(source);
    this.find = this.functions.find;
    this.probe = this.functions.probe;
    this.broad = this.functions.broad;
    this.tables = tables;
    forgetFlows(this.flows, this.seeds);
  }

  /**
   * Cold. Functions are made for this program: what is one object for good, the key and the flow cache, is a constant of their
   * machine code.
   */
  #functionsOf(source: string): Functions {
    let functions = this.#kept.get(source);
    if (functions === undefined) {
      functions = new Function("K", "F", "S", "follow", source)(this.key, this.flows, this.seeds, follow) as Functions;
      if (this.#kept.size >= SOURCES_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? "");
    }
    this.#kept.delete(source);
    this.#kept.set(source, functions);
    return functions;
  }
}

/** Cold. */
function randomSeeds(): Int32Array {
  return crypto.getRandomValues(new Int32Array(FLOW_MULTIPLIERS)).map((seed) => seed | 1);
}

/**
 * Finds what the rules say of the frame in `program.key`. Returns where in `program.flows` the answer starts: count of
 * ranks, then the ranks in order. It holds until the next call.
 */
export function decide(program: RuleProgram): number {
  const at = program.probe(program);
  return at >= 0 ? at : decideNew(program);
}

/** The same for a caller that has caches of its own (plain-broad.ts): those here are neither asked nor told. */
export function decideAlone(program: RuleProgram): number {
  program.noted = 0;
  const best = program.find(program);
  const flows = program.flows;
  flows[FLOW_SCRATCH] = program.noted === 0 ? put(flows, 0, best) : settle(flows, program.noted, best);
  return FLOW_SCRATCH;
}

function decideNew(program: RuleProgram): number {
  const known = program.broad(program);
  const from = known >= 0 ? known : search(program);
  const { entrySize, entryAnswer, entryRanks } = program.functions;
  if (program.flows[from] > entryRanks) return from;
  const place = takePlace(program.flows, program.seeds, program.set, program.hash, program.twin, roll(program));
  if (place < 0) return from;
  const at = FLOW_ENTRIES + (place - FLOW_TAGS) * entrySize;
  program.functions.write(at);
  return copyAnswer(program.flows, from, at + entryAnswer);
}

/** Searches the rules; the answer is in the broad cache, or in scratch space if that does not take it. */
function search(program: RuleProgram): number {
  decideAlone(program);
  const flows = program.flows;
  const { broadAnswer, broadRanks } = program.functions;
  if (flows[FLOW_SCRATCH] > broadRanks) return FLOW_SCRATCH;
  const place = takePlace(flows, program.seeds, program.setBroad, program.hashBroad, program.twinBroad, roll(program));
  if (place < 0) return FLOW_SCRATCH;
  const at = BROAD_ENTRIES + (place - BROAD_TAGS) * BROAD_ENTRY_WORDS;
  program.functions.writeBroad(at);
  return copyAnswer(flows, FLOW_SCRATCH, at + broadAnswer);
}

/** Another number each time. */
function roll(program: RuleProgram): number {
  program.dice = (Math.imul(program.dice, 1664525) + 1013904223) | 0;
  return program.dice >>> 16;
}

function copyAnswer(flows: Int32Array, from: number, to: number): number {
  const count = flows[from];
  for (let i = 0; i <= count; i++) flows[to + i] = flows[from + i];
  return to;
}

function put(flows: Int32Array, count: number, rank: number): number {
  if (rank === RANK_NONE) return count;
  flows[FLOW_SCRATCH + 1 + count] = rank;
  return count + 1;
}

/** Puts the noted ranks in order, each once, those before `best` only, and `best` behind them. Returns how many that makes. */
function settle(flows: Int32Array, noted: number, best: number): number {
  const first = FLOW_SCRATCH + 1;
  sort(flows, first, noted);
  let count = 0;
  let last = -1;
  for (let i = first; i < first + noted && flows[i] < best; i++) {
    if (flows[i] === last) continue;
    last = flows[i];
    count = put(flows, count, last);
  }
  return put(flows, count, best);
}

/** Shell's sort: in place, and mostly of two or three numbers that are in order. */
function sort(words: Int32Array, first: number, count: number): void {
  let gap = 1;
  while (gap < count / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap = (gap / 3) | 0) {
    for (let i = first + gap; i < first + count; i++) {
      const word = words[i];
      let at = i;
      for (; at >= first + gap && words[at - gap] > word; at -= gap) words[at] = words[at - gap];
      words[at] = word;
    }
  }
}

/** What a slot answers: the better of it and `best`; a rule that continues is noted instead. */
function follow(program: RuleProgram, answer: number, best: number): number {
  if (answer >= 0) {
    const rank = answer >> 1;
    if (rank >= best) return best;
    if ((answer & 1) === 0) return rank;
    note(program, rank);
    return best;
  }
  const tables = program.tables;
  for (let at = ~answer; ; at += 2) {
    const each = tables[at];
    const rank = each >> 1;
    if (each < 0 || rank >= best) return best;
    if (tables[at + 1] !== 0 && !holds(program, tables[at + 1])) continue;
    if ((each & 1) === 0) return rank;
    note(program, rank);
  }
}

function note(program: RuleProgram, rank: number): void {
  program.noted++;
  program.flows[FLOW_SCRATCH + program.noted] = rank;
}

function holds(program: RuleProgram, checks: number): boolean {
  const tables = program.tables;
  const key = program.key;
  for (let at = checks; tables[at] !== CHECK_END; at += CHECK_LENGTH) {
    const word = (key[tables[at]] & tables[at + 1]) ^ SIGN;
    if (word < tables[at + 2] || word > tables[at + 3]) return false;
  }
  return true;
}
