// Foreign text inside a line for a person: quoted so that it cannot break the line or speak to the terminal (C0 and C1
// controls, U+2028), and cut so that it cannot fill it. Pure.

const SHOWN_LENGTH = 200;

export function quoted(value: unknown): string {
  const text = typeof value === "string" && value.length > SHOWN_LENGTH ? `${value.slice(0, SHOWN_LENGTH)}...` : value;
  const json = jsonOf(text) ?? "nothing";
  const shown = json.length > 2 * SHOWN_LENGTH ? `${json.slice(0, SHOWN_LENGTH)}...` : json;
  return shown.replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // JSON.parse reads brackets as deep as memory goes; the way back has no more than the stack.
    if (error instanceof RangeError) return "something nested too deep";
    throw error;
  }
}

/** A word as it is, where it is one. */
export function word(text: string): string {
  return /^[\x21-\x7e]{1,64}$/.test(text) ? text : quoted(text);
}
