// A client of the control socket: what `ringyard port list` and the like speak with, and a program may. Any thread.
//
//   const client = await ControlClient.connect(path);
//   const { ports } = await client.request("port.list", {});
//   client.close();

import type { Socket } from "bun";
import { RingyardError } from "../core/errors.ts";
import { oneLine } from "../core/quote.ts";
import { FrameReader } from "./frame.ts";
import { isFields, mergePart, requestFrames } from "./parts.ts";
import type { Operation, Operations, Reply } from "./protocol.ts";

/** Silence of the switch before or in an answer; a port that is added may take a while. */
const ANSWER_MS = 30_000;
/** The same where the kernel has to bind and unbind drivers first, or where an attach that is under way is waited for; and for all rules that there
 * may be, which take ten seconds and more where the switch shares its processor with much else. */
const LONG_ANSWER_MS = 180_000;
const LONG_OPERATIONS: readonly Operation[] = ["port.attach", "port.detach", "port.del", "rule.replace", "shutdown"];

interface Waiting {
  resolve(result: Record<string, unknown>): void;
  reject(error: RingyardError): void;
  whole: Record<string, unknown>;
  timer: Timer;
}

export class ControlClient {
  readonly #reader = new FrameReader();
  readonly #waiting = new Map<number, Waiting>();
  #socket!: Socket<undefined>;
  #output: Uint8Array[] = [];
  #ended: RingyardError | null = null;
  #lastId = 0;
  readonly #over = Promise.withResolvers<void>();

  private constructor(readonly path: string) {}

  /** Throws UNREACHABLE or PERMISSION. */
  static async connect(path: string): Promise<ControlClient> {
    const client = new ControlClient(path);
    try {
      client.#socket = await Bun.connect<undefined>({
        unix: path,
        socket: {
          data: (_, bytes) => client.#receive(bytes),
          drain: () => client.#flush(),
          close: () => client.#end("the switch closed the connection"),
        },
      });
    } catch (error) {
      throw connectError(path, (error as NodeJS.ErrnoException).code);
    }
    return client;
  }

  /** Asks, and waits for the whole answer. Throws what the switch answered, or UNREACHABLE. */
  request<O extends Operation>(op: O, args: Operations[O]["args"]): Promise<Operations[O]["result"]> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const frames = [...requestFrames(id, op, args as Record<string, unknown>)];
      const limitMs = LONG_OPERATIONS.includes(op) ? LONG_ANSWER_MS : ANSWER_MS;
      const timer = setTimeout(() => this.#end(`no answer from the switch for ${limitMs / 1000} s`), limitMs);
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, whole: {}, timer });
      this.#output.push(...frames);
      this.#flush();
    });
  }

  /** Resolves when the connection is over, whoever ended it. */
  ended(): Promise<void> {
    return this.#over.promise;
  }

  close(): void {
    this.#end("the connection was closed");
  }

  #flush(): void {
    for (let frame = this.#output.shift(); frame !== undefined; frame = this.#output.shift()) {
      const sent = this.#socket.write(frame);
      if (sent === frame.length) continue;
      if (sent >= 0) this.#output.unshift(frame.subarray(sent));
      return;
    }
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes, (item) => this.#take(item));
    } catch (error) {
      this.#endForeign(`unreadable answer: ${(error as Error).message}`);
    }
  }

  #take(reply: unknown): void {
    if (!isReply(reply)) {
      this.#endForeign("not an answer of ringyard");
      return;
    }
    if (!reply.ok) {
      const { code, message, next } = reply.error;
      const error = new RingyardError(code, oneLine(message), next === undefined ? undefined : oneLine(next));
      // Id 0 answers no request: the connection itself is refused.
      if (reply.id === 0) this.#end(error);
      else this.#settle(reply.id, (waiting) => waiting.reject(error));
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    mergePart(waiting.whole, reply.result);
    if (reply.more) waiting.timer.refresh();
    else this.#settle(reply.id, () => waiting.resolve(waiting.whole));
  }

  #settle(id: number, how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    how(waiting);
  }

  /** Somebody else may listen at the path. */
  #endForeign(what: string): void {
    this.#end(new RingyardError("UNREACHABLE", `${this.path}: ${what}`, "is this ringyard's control socket?"));
  }

  #end(why: string | RingyardError): void {
    if (this.#ended !== null) return;
    const error = typeof why === "string" ? new RingyardError("UNREACHABLE", `${this.path}: ${why}`) : why;
    this.#ended = error;
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (waiting) => waiting.reject(error));
    this.#socket.end();
    this.#over.resolve();
  }
}

/** Whether it has the form of an answer; what is in a result is believed. */
function isReply(item: unknown): item is Reply {
  if (!isFields(item) || !Number.isInteger(item.id)) return false;
  if (item.ok === true) return isFields(item.result);
  const { error } = item;
  if (item.ok !== false || !isFields(error)) return false;
  const { code, message, next } = error;
  return typeof code === "string" && typeof message === "string" && ["string", "undefined"].includes(typeof next);
}

function connectError(path: string, code: string | undefined): RingyardError {
  if (code === "EACCES" || code === "EPERM") {
    return new RingyardError("PERMISSION", `may not connect to ${path}`, "run this as the user who started the switch");
  }
  const next = "start it with ringyard up, or name its control socket with --control PATH";
  const why = code === "ECONNREFUSED" || code === "ENOENT" ? "" : ` (${code})`;
  return new RingyardError("UNREACHABLE", `no switch is running at ${path}${why}`, next);
}
