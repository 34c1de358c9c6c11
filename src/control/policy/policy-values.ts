// The values that settings of policies have, as schemas: each reads what TOML and JSON say as well as the text of a command line, since
// `port set vm1 isolated=true groups=dmz,web` and the file mean the same. A message that begins with "expected" gets what was
// found behind it (`valueProblem`); the others name it themselves. Pure.

import { z } from "zod";
import { IP4, IP6, prefixMask } from "../../core/ip.ts";
import { quoted } from "../../core/quote.ts";
import { type Direction, type Rate, type SourceBinding, VID_MAX } from "../../dataplane/bridge/policy.ts";
import type { ConfigProblem } from "../config.ts";
import { mac, nameAdvice, portName } from "../options.ts";
import { isPlainTable } from "../plain-table.ts";
import { formatBurst, formatRate, meterSchema } from "../rules/meter-spec.ts";
import type { PolicyValue } from "./policy-words.ts";
import { parseVidRanges, VID_MIN } from "./vid-ranges.ts";

/** A schema whose mistakes are told by throwing a text: simpler to write than issues, where one mistake is enough. */
function readBy<T>(read: (value: unknown) => T) {
  return z.unknown().transform((value, context): T => {
    try {
      return read(value);
    } catch (error) {
      if (!(error instanceof ValueMistake)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

class ValueMistake extends Error {}

function mistake(message: string): never {
  throw new ValueMistake(message);
}

/** What was said as one word. Lists and objects are none: their own toString, which JSON may bring along, is never called. */
function textOf(value: unknown): string {
  return typeof value === "object" ? "" : String(value);
}

/** What is wrong with a value, at the key that leads to it. */
export function valueProblem(
  path: ConfigProblem["path"],
  value: unknown,
  { issues: [issue] }: z.ZodError,
): ConfigProblem {
  const { message } = issue;
  return { path, message: message.startsWith("expected") ? `${message}, found ${quoted(value)}` : message };
}

export const yesOrNo = readBy((value): boolean => {
  if (typeof value === "boolean") return value;
  return value === "true" ? true : value === "false" ? false : mistake("expected true or false");
});

export function wholeNumber(what: string, min: number, max: number) {
  return readBy((value): number => {
    const number = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
    const fits = Number.isInteger(number) && min <= (number as number) && (number as number) <= max;
    return fits ? (number as number) : mistake(`expected ${what} from ${min} to ${max}`);
  });
}

export const vid = wholeNumber("a VLAN id", VID_MIN, VID_MAX);

/** One or more VLAN ids; a number is one. */
export const vidRanges = readBy((value) => {
  const text = Array.isArray(value) ? value.map(textOf).join(",") : textOf(value);
  return parseVidRanges(text) ?? mistake('expected VLAN ids from 1 to 4094 such as "10,20-30", or "all"');
});

export function oneOf<const W extends string>(...words: W[]) {
  const expected = `expected ${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  const same = (word: string, value: unknown) => word.toLowerCase() === textOf(value).toLowerCase();
  return readBy((value): W => words.find((word) => same(word, value)) ?? mistake(expected));
}

/** A list; as a text, with commas. */
export function itemsOf(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string") return undefined;
  return value.trim() === "" ? [] : value.split(",").map((item) => item.trim());
}

/** A list of some of these words, each once, in the order of `words`; `all` and `none` are lists, too. */
export function someOf<const W extends string>(...words: W[]) {
  return readBy((value): W[] => {
    if (value === "all") return words;
    if (value === "none") return [];
    const items = itemsOf(value);
    const known = items?.every((item) => words.some((word) => word === item));
    if (!known) mistake(`expected a list of ${words.join(", ")}`);
    return words.filter((word) => items?.includes(word));
  });
}

/** Names of groups, each once; `none` alone is no group, as in `port set NAME groups=none`. */
export const groupNames = readBy((value): string[] => {
  const names = (value === "none" ? [] : itemsOf(value)) ?? mistake("expected a list of groups' names");
  for (const name of names) {
    if (!portName.safeParse(name).success) mistake(`${quoted(name)} is not the name of a group: ${nameAdvice(name)}`);
  }
  return [...new Set(names as string[])].sort();
});

/** No rate is as long; and of a text without an end the pattern takes cubic time. */
const RATE_LENGTH = 128;
const BURST = /^\s*(.+?)(?:\s*,\s*|\s+)burst(?:\s+|\s*=\s*)(.+?)\s*$/;

/** `1000 frames/s`, `10 Mbit/s burst 1 Mbit`, or { rate, burst }: as meters have it. */
export const rate = readBy((value): Rate => {
  const parts = typeof value === "string" && value.length <= RATE_LENGTH ? BURST.exec(value) : null;
  const parsed = meterSchema.safeParse(parts === null ? value : { rate: parts[1], burst: parts[2] });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue.code === "unrecognized_keys")
    mistake(`${quoted(issue.keys[0])} is no part of a rate: write rate, and burst`);
  return mistake(issue.path[0] === "burst" ? `burst: ${issue.message}` : issue.message);
});

export function rateWord(rate: Rate): PolicyValue {
  const text = formatRate(rate);
  return meterSchema.safeParse(text).data?.burst === rate.burst ? text : `${text} burst ${formatBurst(rate)}`;
}

/** Ids on the wire and their VLANs: { 100 = 10 }, or `100:10,200:20`. */
export const vidMap = readBy((value): (readonly [number, number])[] => {
  const expected = 'expected ids on the wire and VLAN ids from 1 to 4094 such as { "100" = 10 }';
  const pairs = isPlainTable(value)
    ? Object.entries(value)
    : (itemsOf(value) ?? mistake(expected)).map((item) => textOf(item).split(":"));
  const map = new Map<number, number>();
  for (const pair of pairs) {
    const [wire, own] = pair.map((id) => vid.safeParse(id).data);
    if (pair.length !== 2 || wire === undefined || own === undefined) return mistake(expected);
    if (map.has(wire)) mistake(`id ${wire} is mapped twice`);
    map.set(wire, own);
  }
  return [...map].sort(([a], [b]) => a - b);
});

/** `02:00:00:00:00:01 10.0.0.5 fe80::/10`: a station, and the addresses that it may use; `nobody` is none. */
export const sourceBindings = readBy((value): SourceBinding[] => {
  const lines =
    value === "nobody" ? [] : (itemsOf(value) ?? mistake('expected a list such as ["02:00:00:00:00:01 10.0.0.5"]'));
  const bindings = lines.map(readBinding);
  const macs = new Set<string>();
  for (const { mac } of bindings) {
    if (macs.has(mac)) mistake(`${colons(mac)} stands in two entries: write its addresses into one`);
    macs.add(mac);
  }
  return bindings;
});

/** A binding goes over the control socket in one piece (policy-words.ts). */
const STATION_ADDRESSES_MAX = 128;

function readBinding(line: unknown): SourceBinding {
  if (typeof line !== "string")
    return mistake(`${quoted(line)} is no station: write its MAC address, then its IP addresses`);
  const [first, ...rest] = line.trim().split(/\s+/);
  const address = mac.safeParse(first);
  if (!address.success)
    return mistake(`${quoted(first)} is not the MAC address of a station: write for example 02:00:00:00:00:01`);
  if (rest.length > STATION_ADDRESSES_MAX)
    return mistake(`${first} has ${rest.length} addresses: write at most ${STATION_ADDRESSES_MAX}, or prefixes`);
  const ips = rest.map((text) => readPrefix(text) ?? mistake(`${quoted(text)} is no IP address or prefix`));
  return { mac: address.data.replaceAll(":", ""), ips: [...new Set(ips)] };
}

/** In the usual notation, with its length. */
function readPrefix(text: string): string | undefined {
  const [address, length, ...more] = text.split("/");
  const ip = address.includes(":") ? IP6 : IP4;
  const number = ip.parse(address);
  if (number === null || more.length > 0) return undefined;
  if (length !== undefined && !(/^\d{1,3}$/.test(length) && Number(length) <= ip.bits)) return undefined;
  const bits = Number(length ?? ip.bits);
  const network = number & prefixMask(ip.bits, bits);
  if (network === number) return `${ip.format(number)}/${bits}`;
  return mistake(
    `${quoted(text)} has bits set behind its prefix: write ${ip.format(network)}/${bits}, or ${ip.format(number)}`,
  );
}

export function bindingWord({ mac, ips }: SourceBinding): string {
  return [colons(mac), ...ips.map((ip) => ip.replace(/(?<=\..*)\/32$|(?<=:.*)\/128$/, ""))].join(" ");
}

function colons(mac: string): string {
  return mac.replace(/..(?=.)/g, "$&:");
}

const QUEUES = 8;
/** More than this between two queues is strict priority by another name. */
const WEIGHT_MAX = 1000;

/** `strict`, or a weight for each priority, that of priority 0 first. */
export const scheduler = readBy((value): "strict" | number[] => {
  if (value === "strict") return value;
  const weights = itemsOf(value)?.map((item) => wholeNumber("a weight", 1, WEIGHT_MAX).safeParse(item).data);
  if (weights?.length === QUEUES && weights.every((weight) => weight !== undefined)) return weights;
  return mistake(`expected strict, or ${QUEUES} weights from 1 to ${WEIGHT_MAX}, that of priority 0 first`);
});

/** `vm1`, `vm1:in`, `10:out`: what is mirrored, and which way. */
export function directed<T>(what: string, example: string, subject: z.ZodType<T>) {
  const next = `write for example ${example}, or ${example}:in, or ${example}:out`;
  return readBy((value): { of: T; direction: Direction }[] => {
    const items =
      typeof value === "number"
        ? [value]
        : (itemsOf(value) ?? mistake(`expected a list of ${what} such as ["${example}:in"]`));
    const found = items.map((item) => {
      const [name, way = "both", ...more] = textOf(item).split(":");
      const of = subject.safeParse(name);
      const direction = DIRECTIONS.find((known) => known === way);
      if (of.success && direction !== undefined && more.length === 0) return { of: of.data, direction };
      return mistake(`${quoted(item)} is none of ${what}: ${next}`);
    });
    const twice = firstTwice(found.map(({ of }) => of));
    if (twice !== undefined) mistake(`${String(twice)} is in the list twice: write it once, for both directions`);
    return found;
  });
}

/** The first that has been there before. */
export function firstTwice<T>(items: readonly T[]): T | undefined {
  const seen = new Set<T>();
  return items.find((item) => seen.size === seen.add(item).size);
}

const DIRECTIONS: readonly Direction[] = ["in", "out", "both"];

export function directedWord(of: string | number, direction: Direction): string {
  return direction === "both" ? String(of) : `${of}:${direction}`;
}
