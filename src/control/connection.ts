// One client of the control socket, seen from the switch. Requests are answered in order, one at a time; a reply is made
// frame by frame and the next frame only when the last has left, so a connection holds at most one frame of output (and the rows of
// which the next is made, rows.ts) and PENDING_MAX requests of input, together of REQUEST_PARTS_MAX frames, beside one that is not whole
// yet, whatever its client does. One that reads as fast as frames are made has others wait no longer than a turn (core/turns.ts). A client that
// sends nothing or takes nothing is let go. Control thread.

import type { Socket } from "bun";
import { RingyardError } from "../core/errors.ts";
import { othersTurn, turnIsOver } from "../core/turns.ts";
import { encodeFrame, FrameError, FrameReader } from "./frame.ts";
import { isFields, REQUEST_PARTS_MAX, RequestParts, resultFrames, type WholeItem } from "./parts.ts";
import type { ReplyError, Request } from "./protocol.ts";

/** Answers a request, or throws; a RingyardError reaches the client as it is. `ended` tells of the end of the client's connection. */
export type Handler = (request: Request, ended: AbortSignal) => Promise<object>;

export interface ConnectionLimits {
  /** Without a request. */
  idleMs: number;
  /** For a frame of a reply to be taken. */
  slowMs: number;
}

export const LIMITS: ConnectionLimits = { idleMs: 300_000, slowMs: 10_000 };

/** Requests that a client may send ahead of their answers. */
const PENDING_MAX = 64;

export interface ConnectionHost {
  handle: Handler;
  limits: ConnectionLimits;
  countRequest(): void;
  countError(name: string): void;
}

export class Connection {
  readonly #reader = new FrameReader();
  readonly #parts = new RequestParts();
  readonly #pending: WholeItem[] = [];
  #answering = false;
  #answers: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #ended = new AbortController();
  #drained: (() => void) | null = null;
  #timer: Timer;

  constructor(
    readonly socket: Socket<Connection>,
    readonly host: ConnectionHost,
  ) {
    this.#timer = setTimeout(() => this.#drop("idle"), host.limits.idleMs);
  }

  receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#timer.refresh();
    try {
      this.#reader.push(bytes, (item) => this.#take(item));
    } catch (error) {
      if (error instanceof RingyardError) {
        this.#refuse("bad_parts", { code: error.code, message: error.message, next: error.next });
        return;
      }
      if (!(error instanceof FrameError)) throw error;
      this.#refuse(error.problem, { code: "PROTOCOL", message: error.message });
      return;
    }
    const parts = this.#pending.reduce((sum, whole) => sum + whole.parts, 0);
    if (this.#pending.length > PENDING_MAX || parts > PENDING_MAX + REQUEST_PARTS_MAX) {
      const message = `more than ${PENDING_MAX} requests at once`;
      this.#refuse("backlog", { code: "LIMIT", message, next: "wait for answers" });
    } else if (!this.#answering) this.#answers = this.#answerAll();
  }

  #take(item: unknown): void {
    const whole = this.#parts.add(item);
    if (whole !== undefined) this.#pending.push(whole);
  }

  /** Resolves when every request that came has its answer. */
  settled(): Promise<void> {
    return this.#answers;
  }

  drain(): void {
    this.#drained?.();
  }

  /** The socket has ended, from either side. */
  close(): void {
    if (!this.#closed && this.#reader.partial) this.host.countError("cut_off");
    this.#closed = true;
    this.#pending.length = 0;
    clearTimeout(this.#timer);
    this.#drained?.();
    this.#ended.abort();
  }

  async #answerAll(): Promise<void> {
    this.#answering = true;
    for (let whole = this.#pending.shift(); whole !== undefined && !this.#closed; whole = this.#pending.shift()) {
      await this.#answer(whole.item);
    }
    this.#answering = false;
  }

  async #answer(item: unknown): Promise<void> {
    let id = 0;
    try {
      const request = readRequest(item);
      id = request.id;
      this.host.countRequest();
      const result = await this.host.handle(request, this.#ended.signal);
      for (const frame of resultFrames(id, result as Record<string, unknown>)) {
        if (frame !== undefined && !(await this.#send(frame))) return;
        if (turnIsOver()) await othersTurn();
        if (this.#closed) return;
      }
    } catch (error) {
      const { code, message, next } =
        error instanceof RingyardError ? error : new RingyardError("SYSTEM", String(error));
      if (code === "BAD_REQUEST") this.host.countError("bad_request");
      await this.#send(errorFrame(id, next === undefined ? { code, message } : { code, message, next }));
    }
  }

  /** Sends a frame whole; false where the connection ended first. */
  async #send(frame: Uint8Array): Promise<boolean> {
    let rest = frame;
    while (!this.#closed) {
      const sent = this.socket.write(rest);
      if (sent < 0) return false;
      rest = rest.subarray(sent);
      if (rest.length === 0) {
        this.#timer.refresh();
        return true;
      }
      const slow = setTimeout(() => this.#drop("slow_reader"), this.host.limits.slowMs);
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
      this.#drained = null;
      clearTimeout(slow);
    }
    return false;
  }

  /** One error reply where there is room for it, and the end. */
  #refuse(name: string, error: ReplyError): void {
    this.host.countError(name);
    // In the middle of a reply's frame an error would only garble it.
    const midFrame = this.#drained !== null;
    this.#end(() => (midFrame ? this.socket.terminate() : void this.socket.end(errorFrame(0, error))));
  }

  #drop(name: string): void {
    this.host.countError(name);
    this.#end(() => this.socket.terminate());
  }

  #end(how: () => void): void {
    this.#closed = true;
    this.close();
    how();
  }
}

/** The frame that says why a request, or a connection, was refused. */
export function errorFrame(id: number, error: ReplyError): Uint8Array {
  // A message may repeat what a client sent; a reply that is too long would be none.
  return encodeFrame({ id, ok: false, error: { ...error, message: error.message.slice(0, 2000) } });
}

function readRequest(item: unknown): Request {
  const { id, op, args = {} } = (item ?? {}) as Partial<Request>;
  const whole = typeof id === "number" && Number.isSafeInteger(id) && id > 0;
  if (whole && typeof op === "string" && isFields(args)) return { id, op, args };
  throw new RingyardError("BAD_REQUEST", "not a request", "send { id, op, args } with an id from 1");
}
