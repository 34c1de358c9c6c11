// How the control thread speaks to a worker that never returns to its event loop: one request at a time, in shared memory.
//
//   words: 0 request number | 1 reply number | 2 request bytes | 3 reply bytes      then: request CBOR | reply CBOR
//
// The control thread writes the request, raises its number and rings the doorbell (an eventfd, in case the worker sleeps).
// The worker looks at the number once per breath, acts between two bursts, writes its reply and raises the reply number;
// the control thread awaits that with Atomics.waitAsync. Requests of one mailbox queue up in the control thread.

import { decode, encode } from "cbor-x/index-no-eval";
import { RingyardError } from "../core/errors.ts";
import { acquire32, publish32 } from "../mem/access.ts";
import { signal } from "../sys/fd.ts";

const REQUEST = 0;
const REPLY = 1;
const REQUEST_SIZE = 2;
const REPLY_SIZE = 3;
const HEADER_SIZE = 64;
/** A lane with 512 memory regions is 25 KiB of CBOR. */
const REQUEST_ROOM = 256 * 1024;
const REPLY_ROOM = 16 * 1024;

type Reply = { ok: true; value: unknown } | { ok: false; message: string; code?: string; next?: string };

function views(buffer: SharedArrayBuffer): { words: Int32Array; request: Uint8Array; reply: Uint8Array } {
  return {
    words: new Int32Array(buffer, 0, HEADER_SIZE / 4),
    request: new Uint8Array(buffer, HEADER_SIZE, REQUEST_ROOM),
    reply: new Uint8Array(buffer, HEADER_SIZE + REQUEST_ROOM, REPLY_ROOM),
  };
}

/** The control thread's end. */
export class MailboxClient {
  readonly buffer = new SharedArrayBuffer(HEADER_SIZE + REQUEST_ROOM + REPLY_ROOM);
  private readonly views = views(this.buffer);
  private tail: Promise<unknown> = Promise.resolve();

  constructor(private readonly doorbell: number) {}

  /** Sends one request and awaits its answer. Rejects with the worker's RingyardError. */
  call(request: unknown): Promise<unknown> {
    const result = this.tail.then(() => this.exchange(request));
    this.tail = result.catch(() => undefined);
    return result;
  }

  private async exchange(request: unknown): Promise<unknown> {
    const { words, request: out, reply } = this.views;
    const bytes = encode(request);
    if (bytes.length > REQUEST_ROOM) throw new RingyardError("LIMIT", "too many memory regions for one port");
    out.set(bytes);
    words[REQUEST_SIZE] = bytes.length;
    const number = (words[REQUEST] + 1) | 0;
    publish32(words, REQUEST, number);
    signal(this.doorbell);
    for (;;) {
      const seen = acquire32(words, REPLY);
      if (seen === number) break;
      // A notify may belong to the reply before: only the number counts.
      const waiting = Atomics.waitAsync(words, REPLY, seen);
      if (waiting.async) await waiting.value;
    }
    const answer = decode(reply.slice(0, words[REPLY_SIZE])) as Reply;
    if (answer.ok) return answer.value;
    throw new RingyardError((answer.code as "SYSTEM") ?? "SYSTEM", answer.message, answer.next);
  }
}

/** The worker's end. */
export class MailboxServer {
  private readonly views: ReturnType<typeof views>;
  private seen: number;

  constructor(buffer: SharedArrayBuffer) {
    this.views = views(buffer);
    this.seen = this.views.words[REPLY];
  }

  /** Whether a request waits; one load, called every breath. */
  waiting(): boolean {
    return acquire32(this.views.words, REQUEST) !== this.seen;
  }

  /** Takes the waiting request, lets `handle` act, and answers. Cold. */
  serve(handle: (request: unknown) => unknown): void {
    const { words, request, reply } = this.views;
    let answer: Reply;
    try {
      answer = { ok: true, value: handle(decode(request.slice(0, words[REQUEST_SIZE]))) };
    } catch (error) {
      const { message } = error as Error;
      answer =
        error instanceof RingyardError
          ? { ok: false, message, code: error.code, next: error.next }
          : { ok: false, message };
    }
    const bytes = encode(answer);
    reply.set(bytes);
    words[REPLY_SIZE] = bytes.length;
    this.seen = words[REQUEST];
    publish32(words, REPLY, this.seen);
    Atomics.notify(words, REPLY);
  }
}
