// A stream that carries one command's output after another, each ended by a mark: a random word that the output itself cannot
// contain. Bytes are handed on as they come; only what may be the beginning of the mark is held back.
// Pure; one per stream.

export type Sink = (bytes: Uint8Array) => void;

export class MarkedStream {
  #held: Buffer = Buffer.alloc(0);
  #mark: Buffer | undefined;
  #sink: Sink = () => {};
  #ended: () => void = () => {};

  /** Hands what comes to `sink` until `mark` comes; resolves then. One at a time. */
  until(mark: string, sink: Sink): Promise<void> {
    this.#mark = Buffer.from(mark);
    this.#sink = sink;
    return new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  /** What comes while no command runs is from something that one left behind: it has no reader. */
  push(chunk: Uint8Array): void {
    if (this.#mark === undefined) return;
    const bytes = Buffer.concat([this.#held, chunk]);
    const at = bytes.indexOf(this.#mark);
    const end = at < 0 ? bytes.length - partialLength(bytes, this.#mark) : at;
    if (end > 0) this.#sink(bytes.subarray(0, end));
    this.#held = at < 0 ? bytes.subarray(end) : Buffer.alloc(0);
    if (at < 0) return;
    this.#mark = undefined;
    this.#ended();
  }
}

/** How many of the last bytes are a beginning of the mark. */
function partialLength(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(mark.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}
