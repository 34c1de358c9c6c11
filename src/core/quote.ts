// Foreign text inside a line for a person: quoted so that it cannot break the line or speak to the terminal (C0 and C1
// controls, U+2028), and cut so that it cannot fill it. Pure.

const SHOWN_LENGTH = 200;

export function quoted(value: unknown): string {
  const text = typeof value === "string" && value.length > SHOWN_LENGTH ? `${value.slice(0, SHOWN_LENGTH)}...` : value;
  const json = jsonOf(text) ?? "nothing";
  const shown = json.length > 2 * SHOWN_LENGTH ? `${json.slice(0, SHOWN_LENGTH)}...` : json;
  return escaped(shown);
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

/** What another program says, as one line: not quoted, since it is a sentence. */
export function oneLine(text: string): string {
  const lines = text.split(/[\n\r\u2028\u2029]/).map((line) => line.trim());
  return escaped(lines.filter((line) => line !== "").join(" "));
}

/** A line that has others' words in it already. */
export function escaped(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Whether a line for a person may hold the text as it is. */
export function fitsLine(text: string): boolean {
  return !/[\p{Cc}\u2028\u2029]/u.test(text) && text.isWellFormed();
}

/** A path or the like as it is, blanks and all, where a line may hold it. */
export function phrase(text: string): string {
  return fitsLine(text) ? text : quoted(text);
}

/** A word as it is, where it is one. */
export function word(text: string): string {
  return /^[\x21-\x7e]{1,64}$/.test(text) ? text : quoted(text);
}
