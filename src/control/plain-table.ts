// What a table of TOML, JSON or CBOR is in JavaScript: an object with keys of its own, not a list, a date or a map. Pure.

export function isPlainTable(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
