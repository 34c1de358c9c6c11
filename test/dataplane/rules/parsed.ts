// A frame through the fast parser, as fields by name: what parse tests compare. A key starts out full of noise, and the bytes
// that parse.ts may see end where the memory does: a word not written and a byte too far both show.

import { FIELDS, fieldValue } from "../../../src/dataplane/rules/fields.ts";
import type { Fields } from "../../../src/dataplane/rules/interpret-fields.ts";
import { type FieldName, HEADER_BYTES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";

const NOISE = 0x5aa5c33c;

/** The key of a frame that lies `at` bytes into memory that ends with it, or with what of it is looked at. */
export function keyOf(frame: Uint8Array, port: number, at = 0): Int32Array {
  const seen = frame.subarray(0, HEADER_BYTES);
  const memory = new Uint8Array(at + seen.length).fill(0x81);
  memory.set(seen, at);
  const key = new Int32Array(KEY_WORDS).fill(NOISE);
  parseKey(new DataView(memory.buffer), at, frame.length, port, key);
  return key;
}

/** Every field that the key says is present. */
export function fieldsIn(key: Int32Array): Fields {
  const fields: Fields = new Map();
  for (const name of Object.keys(FIELDS) as FieldName[]) {
    const value = fieldValue(key, name);
    if (value !== undefined) fields.set(name, value);
  }
  return fields;
}

/** Bytes from hex digits; whatever else the pieces contain, spaces and bars, is for the reader. */
export function hex(...pieces: string[]): Uint8Array {
  const digits = pieces.join("").replace(/[^0-9a-f]/g, "");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
