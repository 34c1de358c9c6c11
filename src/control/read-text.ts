// Text that a person names by a file, or gives on the standard input: read up to a limit, since a wrong name may be that of a device
// that never ends. Any thread that may wait.

import { createReadStream, statSync } from "node:fs";
import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";

const MIB = 1 << 20;
/** 65,536 rules of the greatest length that people write, and a configuration around them. */
const TEXT_SIZE_MAX = 64 * MIB;

/** `-` is the standard input, where `stdin` says so. Throws MISSING, LIMIT, or BAD_CONFIG where it is no UTF-8. */
export async function readText(
  file: string,
  next: string,
  { stdin = false, sizeMax = TEXT_SIZE_MAX } = {},
): Promise<string> {
  // Not Bun.file(): it refuses devices, /dev/null among them.
  const source: AsyncIterable<Uint8Array> = stdin && file === "-" ? Bun.stdin.stream() : createReadStream(file);
  const name = stdin && file === "-" ? "the standard input" : word(file);
  // Letters in the place of bytes that are none would make another path, or name, of what was written.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let size = 0;
  try {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > sizeMax) break;
      text += decoder.decode(chunk, { stream: true });
    }
    if (size <= sizeMax) return text + decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) {
      const line = text.split("\n").length;
      throw new RingyardError("BAD_CONFIG", `${name} is no UTF-8 text`, `save it as UTF-8; look from line ${line} on`);
    }
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new RingyardError("MISSING", `cannot read ${name}: ${code}`, next);
  }
  throw new RingyardError("LIMIT", `${name} is longer than ${sizeMax / MIB} MiB`, next);
}

/**
 * Throws UNSUPPORTED where `file` is a pipe, for one who has read it before: it says nothing any more (`-c <(…)`), which is a text, too, or
 * waits for a writer for ever.
 */
export function refusePipe(file: string): void {
  if (statSync(file, { throwIfNoEntry: false })?.isFIFO() !== true) return;
  const next = "restart the switch, or start it with a file";
  throw new RingyardError("UNSUPPORTED", `${word(file)} is a pipe and cannot be read again`, next);
}
