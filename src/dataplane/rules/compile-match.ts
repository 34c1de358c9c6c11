// A rule's match as entries: each a mask and a value over the words of a key, and ranges that are left to check.
//
//   vlan 5,6  tcp dport 80,1000-1999    two lists multiply to
//     vlan.id=5 tcp.dport=80  |  vlan.id=5 + check 1000-1999  |  vlan.id=6 tcp.dport=80  |  vlan.id=6 + check 1000-1999
//
// A range that is one prefix is a mask. Others stay checks, since prefixes would give a rule up to 30 entries of 16 shapes,
// and each shape costs every new flow; compile.ts asks for the narrowest range of a rule to be cut into prefixes all the same
// where many such rules would have to be checked one after the other. Ranges of fields that span words are always cut.
// This is also where values are validated: what leaves here is int32. Cold; control thread.

import { RingyardError } from "../../core/errors.ts";
import { RULE_ENTRIES_MAX, SIGN } from "./compile-layout.ts";
import { type Shape, type Shapes, sliceOf } from "./compile-shape.ts";
import { FIELDS, type Field, type Piece } from "./fields.ts";
import { KEY_CLASS, KEY_WORDS } from "./key.ts";
import type { Action, Constraint, FieldValue, Rule } from "./rule.ts";
import { RuleLimitError } from "./rule-limit.ts";

/** What a rule compiles to, but for its rank. */
export interface Expansion {
  readonly continues: boolean;
  /** Of each entry. */
  readonly shapes: readonly Shape[];
  /** What the entries' slots say, one after the other. */
  readonly words: readonly number[];
  /** Of each entry: word, mask, low, high for each range; empty for most. */
  readonly checks: readonly (readonly number[])[];
}

/** One way to satisfy a constraint. */
interface Way {
  /** word, mask, value, and so on. */
  readonly asks: readonly number[];
  /** Nothing, or word, mask, low, high. */
  readonly check: readonly number[];
}

/** A field, and what is needed of it for each value. */
interface Layout extends Field {
  /** Values are below it. */
  readonly limit: bigint;
  /** Bits of the field below each of its pieces. */
  readonly below: readonly number[];
}

const LAYOUTS: ReadonlyMap<string, Layout> = new Map(
  Object.entries(FIELDS).map(([name, field]) => [name, layoutOf(field)]),
);
/** Numbers are exact up to here, and faster than bigints: only IPv6 addresses are wider. */
const NUMBER_BITS = 53;

function layoutOf(field: Field): Layout {
  const below = field.pieces.map((_, i) => field.pieces.slice(i + 1).reduce((sum, { bits }) => sum + bits, 0));
  return { ...field, limit: 1n << BigInt(field.width), below };
}

type Range = Extract<FieldValue, { low: bigint }>;

/** What is collected from constraint to constraint. */
interface Entry {
  readonly mask: Int32Array;
  readonly value: Int32Array;
  checks: readonly number[];
}

const NO_CHECK: readonly number[] = [];
const ENDS = new Set<Action["do"]>(["allow", "drop", "forward", "flood"]);

/** `cut` turns one constraint's ranges into prefixes where that is possible within the limit. */
export function expand(rule: Rule, shapes: Shapes, cut: boolean): Expansion {
  let entries: Entry[] = [{ mask: new Int32Array(KEY_WORDS), value: new Int32Array(KEY_WORDS), checks: NO_CHECK }];
  for (const ways of waysOf(rule, cut)) {
    if (entries.length * ways.length > RULE_ENTRIES_MAX) {
      if (cut) return expand(rule, shapes, false);
      const problem = `its lists make more than ${RULE_ENTRIES_MAX} combinations`;
      throw new RuleLimitError(rule.id, problem, "split it into several rules", `rule ${rule.id}: ${problem}`);
    }
    entries = ways.length === 1 ? entries.filter((it) => add(it, ways[0])) : multiply(entries, ways);
  }
  const continues = !rule.actions.some((action) => ENDS.has(action.do));
  const words: number[] = [];
  const entryShapes = entries.map(({ mask, value }) => {
    const shape = shapes.of(mask, value);
    for (const slice of shape.slices) words.push(sliceOf(value, slice));
    return shape;
  });
  return { continues, shapes: entryShapes, words, checks: entries.map((it) => it.checks) };
}

function multiply(entries: readonly Entry[], ways: readonly Way[]): Entry[] {
  const product: Entry[] = [];
  for (const { mask, value, checks } of entries) {
    for (const way of ways) {
      const copy = { mask: mask.slice(), value: value.slice(), checks };
      if (add(copy, way)) product.push(copy);
    }
  }
  return product;
}

/** False where no key satisfies both: a bit is asked to be 0 and 1. */
function add(entry: Entry, { asks, check }: Way): boolean {
  const { mask, value } = entry;
  for (let at = 0; at < asks.length; at += 3) {
    const word = asks[at];
    if ((mask[word] & asks[at + 1] & (value[word] ^ asks[at + 2])) !== 0) return false;
    mask[word] |= asks[at + 1];
    value[word] |= asks[at + 2];
  }
  if (check.length > 0) entry.checks = [...entry.checks, ...check];
  return true;
}

function waysOf(rule: Rule, cut: boolean): Way[][] {
  const ways = rule.match.map((constraint) => constraintWays(rule, constraint, false));
  if (!cut) return ways;
  let narrowest = -1;
  let fewest: Way[] = [];
  for (let i = 0; i < ways.length; i++) {
    if (ways[i].every(({ check }) => check.length === 0)) continue;
    const inPrefixes = constraintWays(rule, rule.match[i], true);
    if (narrowest < 0 || inPrefixes.length < fewest.length) [narrowest, fewest] = [i, inPrefixes];
  }
  if (narrowest >= 0) ways[narrowest] = fewest;
  return ways;
}

function constraintWays(rule: Rule, { field: name, oneOf }: Constraint, cut: boolean): Way[] {
  const field = LAYOUTS.get(name);
  if (field === undefined) throw refusal(rule, `no field is called ${JSON.stringify(name)}`);
  const ways: Way[] = [];
  for (const it of oneOf) {
    const isRange = "low" in it;
    if (!fits(field, isRange ? it.low : it.value) || !fits(field, isRange ? it.high : it.mask)) {
      throw refusal(rule, `a value of ${name} is not one of ${field.width} bits`);
    }
    addWays(ways, field, it, cut);
  }
  return ways;
}

function fits({ limit, width }: Layout, value: unknown): boolean {
  if (typeof value !== "bigint") return false;
  if (width > NUMBER_BITS) return value >= 0n && value < limit;
  const number = Number(value);
  return number >= 0 && number < 2 ** width;
}

function refusal(rule: Rule, message: string): RingyardError {
  return new RingyardError("BAD_REQUEST", `rule ${rule.id}: ${message}`, "choose values that fit the field");
}

function addWays(ways: Way[], field: Layout, it: FieldValue, cut: boolean): void {
  if (!("low" in it)) {
    ways.push({ asks: asksFor(field, it.value, it.mask), check: NO_CHECK });
  } else if (cut || field.pieces.length > 1 || isPrefix(it)) {
    for (const { value, mask } of prefixesOf(it, field.width)) {
      ways.push({ asks: asksFor(field, value, mask), check: NO_CHECK });
    }
  } else if (it.low <= it.high) {
    const [piece] = field.pieces;
    const inPlace = (value: bigint) => inWord(piece, 0, value) ^ SIGN;
    const check = [piece.word, inWord(piece, 0, ones(piece.bits)), inPlace(it.low), inPlace(it.high)];
    ways.push({ asks: asksFor(field, 0n, 0n), check });
  }
}

function asksFor({ needs, width, pieces, below }: Layout, value: bigint, mask: bigint): number[] {
  const asks = needs === 0 ? [] : [KEY_CLASS, needs, needs];
  const [values, masks] = width > NUMBER_BITS ? [value, mask] : [Number(value), Number(mask)];
  for (let i = 0; i < pieces.length; i++) {
    const wanted = inWord(pieces[i], below[i], masks);
    asks.push(pieces[i].word, wanted, inWord(pieces[i], below[i], values) & wanted);
  }
  return asks;
}

/** A piece of a field's value, where it stands in its word. */
function inWord({ shift, bits }: Piece, below: number, value: number | bigint): number {
  const piece =
    typeof value === "number" ? Math.floor(value / 2 ** below) : Number(BigInt.asUintN(bits, value >> BigInt(below)));
  return (piece & (-1 >>> (32 - bits))) << shift;
}

function isPrefix({ low, high }: Range): boolean {
  const size = high - low + 1n;
  return size > 0n && (size & (size - 1n)) === 0n && low % size === 0n;
}

/** The fewest prefixes that make up the range: from its low end, always the largest that begins there and fits. */
function prefixesOf({ low, high }: Range, width: number): { value: bigint; mask: bigint }[] {
  const prefixes: { value: bigint; mask: bigint }[] = [];
  for (let value = low; value <= high; ) {
    let free = 0;
    while (free < width && BigInt.asUintN(free + 1, value) === 0n && value + ones(free + 1) <= high) free++;
    prefixes.push({ value, mask: ones(width) ^ ones(free) });
    value += 1n << BigInt(free);
  }
  return prefixes;
}

function ones(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}
