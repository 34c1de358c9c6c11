// TOML read beside the control thread, where the text is long: the parser has no place to stop at, and takes a third of a second for
// 65,000 rules. What it found comes back by a copy. Control thread.

import { readToml, type Toml, type TomlData, type TomlSyntaxError, tomlOf } from "./config-toml.ts";

/** Shorter ones are read in less time than a thread takes to start. In UTF-16 units. */
const ASIDE_MIN = 256 * 1024;

/** The same as `readToml`, while others have their turn. */
export async function readTomlAside(text: string): Promise<Toml | TomlSyntaxError> {
  if (text.length < ASIDE_MIN) return readToml(text);
  const worker = new Worker(new URL("./config-toml-entry.ts", import.meta.url).href);
  try {
    const read = await new Promise<TomlData | TomlSyntaxError | undefined>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<TomlData | TomlSyntaxError>) => resolve(data);
      // No thread to be had, or none that lived.
      worker.addEventListener("error", () => resolve(undefined));
      worker.addEventListener("close", () => resolve(undefined));
      worker.postMessage(text);
    });
    return read === undefined ? readToml(text) : tomlOf(read);
  } finally {
    worker.terminate();
  }
}
