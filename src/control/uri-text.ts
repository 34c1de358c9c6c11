// The text of a URI's parts: percent-encoding, and option values as a URI carries them. Pure.

import { fitsLine } from "../core/quote.ts";

/** Percent-encodes what would end a part of the URI or is not printable ASCII. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(/%(2F|3A|2C|40)/g, (escaped) => decodeURIComponent(escaped));
}

/** Undoes it; null where that gives no text that a line could show. */
export function decode(text: string): string | null {
  try {
    const decoded = decodeURIComponent(text);
    return fitsLine(decoded) ? decoded : null;
  } catch {
    return null;
  }
}

/** A value as its schema would read it back; an empty list is `none`. */
export function valueText(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  return value.length === 0 ? "none" : value.join(",");
}
