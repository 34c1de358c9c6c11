// How single values are spelled: numbers with and without names, addresses. What lists, ranges and masks are made of (values.ts),
// and what actions take one of. Everything is a whole number of `bits` bits here. Pure.
//
//   80   0x88cc   af11   10.0.0.1   2001:db8::1   02:00:00:00:00:01

import { type IpVersion, prefixMask } from "../../core/ip.ts";
import { quoted } from "../../core/quote.ts";
import { nearest } from "../nearest.ts";
import { type Names, namesByNumber, numberOf } from "./known-names.ts";
import { type Word, WordProblem } from "./word.ts";

export interface Spelling {
  /** For messages: `a VLAN id from 0 to 4094`, and what to write. */
  readonly what: string;
  readonly example: string;
  readonly bits: number;
  /** The least and the largest value that make sense. */
  readonly min: bigint;
  readonly max: bigint;
  readonly names: Names;
  /** Names that values are printed by. */
  readonly printed: ReadonlyMap<bigint, string>;
  /** Whether a mask may be a prefix length. */
  readonly hasPrefixes: boolean;
  /** Undefined where the text is no value; names aside. */
  parse(text: string): bigint | undefined;
  format(value: bigint): string;
  formatMask(mask: bigint): string;
}

interface NumberForm {
  what: string;
  example: string;
  bits: number;
  /** Default: 0, and all ones. */
  min?: number;
  max?: number;
  names?: Names;
  /** People know these by number, although some have names. */
  plain?: boolean;
  /** Printed as so many hexadecimal digits. */
  hex?: number;
}

const NO_NAMES: ReadonlyMap<bigint, string> = new Map();
const DIGITS = /^(?:\d{1,10}|0x[0-9a-f]{1,8})$/i;
const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

export function numberSpelling(form: NumberForm): Spelling {
  const { what, example, bits, min = 0, names = {}, hex } = form;
  const max = form.max ?? 2 ** bits - 1;
  return {
    what: `${what} from ${min} to ${max}`,
    example,
    bits,
    min: BigInt(min),
    max: BigInt(max),
    names,
    printed: form.plain ? NO_NAMES : namesByNumber(names),
    hasPrefixes: false,
    parse: (text) => (DIGITS.test(text) ? BigInt(text) : undefined),
    format: (value) => (hex === undefined ? String(value) : `0x${value.toString(16).padStart(hex, "0")}`),
    formatMask: (mask) => `0x${mask.toString(16)}`,
  };
}

export function ipSpelling(ip: IpVersion, example: string): Spelling {
  return {
    what: `an IPv${ip.version} address, prefix or range`,
    example,
    bits: ip.bits,
    min: 0n,
    max: prefixMask(ip.bits, ip.bits),
    names: {},
    printed: NO_NAMES,
    hasPrefixes: true,
    parse: (text) => ip.parse(text) ?? undefined,
    format: ip.format,
    formatMask: ip.format,
  };
}

export function formatMac(value: bigint): string {
  return macDigits(value).replace(/..(?=.)/g, "$&:");
}

/** As actions hold it: twelve hex digits. */
export function macDigits(value: bigint): string {
  return value.toString(16).padStart(12, "0");
}

export const macSpelling: Spelling = {
  what: "a MAC address",
  example: "02:00:00:00:00:01",
  bits: 48,
  min: 0n,
  max: prefixMask(48, 48),
  names: {},
  printed: NO_NAMES,
  hasPrefixes: false,
  parse: (text) => (MAC.test(text) ? BigInt(`0x${text.replaceAll(":", "")}`) : undefined),
  format: formatMac,
  formatMask: formatMac,
};

/** One value, by digits or by name. Throws WordProblem. */
export function readValue(word: Word, spelling: Spelling): bigint {
  const { what, example, min, max, names } = spelling;
  const named = numberOf(names, word.text);
  const value = named === undefined ? spelling.parse(word.text) : BigInt(named);
  if (value !== undefined && min <= value && value <= max) return value;
  const near = /^\d/.test(word.text) ? undefined : nearest(word.text, Object.keys(names));
  const next = near === undefined ? `write for example ${example}` : `did you mean ${near}?`;
  throw new WordProblem(word, `${quoted(word.text)} is not ${what}`, next);
}

export function writeValue(value: bigint, { printed, format }: Spelling): string {
  return printed.get(value) ?? format(value);
}
