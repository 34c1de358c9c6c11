// A result in frames, and back, and the same for a request's arguments. The first part has everything that is not an array; the
// elements of the arrays follow, as many in a frame as fit. Frames are made one by one, as fast as the other side reads
// them, and so are the elements where they are `Rows` (rows.ts): a table of a million addresses never stands anywhere as a whole. Pure.

import { RingyardError } from "../core/errors.ts";
import { phrase } from "../core/quote.ts";
import { encodeFrame, encodeItem, FRAME_SIZE_MAX, FrameError } from "./frame.ts";
import type { Reply, Request } from "./protocol.ts";
import { Rows } from "./rows.ts";

type Fields = Record<string, unknown>;
/** The message that carries a part. */
type Envelope = (part: Fields, more: boolean) => Reply | Request;

/** An array's head grows by at most so much when elements are added: 5 bytes for 2^32 of them, 1 for none. */
const ARRAY_HEAD_GROWTH = 4;
/** 8 MiB of a request's arguments: all the rules that there may be, of 120 characters each. */
export const REQUEST_PARTS_MAX = 512;

/**
 * The frames that answer request `id` with `result`, whose arrays may be Rows; throws LIMIT where a single thing is longer than a frame.
 * Undefined stands where there is no frame yet, but some work was done: behind an array, or a piece of one.
 */
export function resultFrames(id: number, result: Fields): Generator<Uint8Array | undefined> {
  return frames(result, "answer", (part, more) => ({ id, ok: true, ...(more && { more }), result: part }));
}

/** The frames that ask for `op`; throws LIMIT as above. */
export function* requestFrames(id: number, op: string, args: Fields): Generator<Uint8Array> {
  const all = frames(args, "request", (part, more) => ({ id, op, args: part, ...(more && { more }) }));
  for (const frame of all) if (frame !== undefined) yield frame;
}

function* frames(fields: Fields, what: string, envelope: Envelope): Generator<Uint8Array | undefined> {
  const lists = Object.entries(fields).filter(([, value]) => isList(value)) as [string, List][];
  let part: Fields = { ...fields, ...Object.fromEntries(lists.map(([key]) => [key, []])) };
  let size = sizeOf(part, envelope);
  for (const [key, list] of lists) {
    const keySize = encodeItem(key).length + 1 + ARRAY_HEAD_GROWTH;
    for (const piece of list instanceof Rows ? list.pieces : [list]) {
      for (const element of piece) {
        const elementSize = encodeItem(element).length;
        if (size + elementSize + (part[key] === undefined ? keySize : 0) > FRAME_SIZE_MAX) {
          yield partFrame(envelope(part, true), part, what);
          part = {};
          size = sizeOf(part, envelope);
        }
        if (part[key] === undefined) {
          part[key] = [];
          size += keySize;
        }
        (part[key] as unknown[]).push(element);
        size += elementSize;
      }
      yield undefined;
    }
  }
  yield partFrame(envelope(part, false), part, what);
}

type List = readonly unknown[] | Rows<unknown>;

function isList(value: unknown): value is List {
  return Array.isArray(value) || value instanceof Rows;
}

/** Appends a part to what came before. */
export function mergePart(whole: Fields, part: Fields): void {
  for (const [key, value] of Object.entries(part)) {
    const before = whole[key];
    if (Array.isArray(before) && Array.isArray(value)) for (const element of value) before.push(element);
    else whole[key] = value;
  }
}

/** What a client asked for, as it came, and in how many parts. */
export interface WholeItem {
  item: unknown;
  parts: number;
}

/** Puts the requests of one client together from their parts. */
export class RequestParts {
  #whole: Request | undefined;
  #count = 0;

  /** What `item` completes; undefined where more is to come. Throws where it does not go on with what came before. */
  add(item: unknown): WholeItem | undefined {
    const part = item as Partial<Request> | null | undefined;
    const whole = this.#whole;
    if (whole === undefined) {
      if (part?.more !== true || !isFields(part.args)) return { item, parts: 1 };
      this.#whole = { ...(part as Request), more: undefined };
      this.#count = 1;
      return undefined;
    }
    if (part?.id !== whole.id || part.op !== whole.op || !isFields(part.args)) {
      throw new RingyardError("PROTOCOL", "the parts of a request do not follow each other");
    }
    if (++this.#count > REQUEST_PARTS_MAX) {
      const mebibytes = (REQUEST_PARTS_MAX * FRAME_SIZE_MAX) / 2 ** 20;
      throw new RingyardError("LIMIT", `a request of more than ${mebibytes} MiB`, "ask for less at a time");
    }
    mergePart(whole.args, part.args);
    if (part.more === true) return undefined;
    this.#whole = undefined;
    return { item: whole, parts: this.#count };
  }
}

/** What arguments are, and results. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The size of a frame with this part, and room for its arrays' heads to grow. */
function sizeOf(part: Fields, envelope: Envelope): number {
  return encodeItem(envelope(part, true)).length + Object.keys(part).length * ARRAY_HEAD_GROWTH;
}

function partFrame(message: Reply | Request, part: Fields, what: string): Uint8Array {
  try {
    return encodeFrame(message);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    const next = "shorten it; what is a list goes in pieces";
    throw new RingyardError("LIMIT", `the ${what}: ${longest(part)} is longer than ${FRAME_SIZE_MAX} bytes`, next);
  }
}

/** What a part has most of, for a person: `uri`, or of a list `policy: source-guard`. */
function longest(part: Fields): string {
  const sizes = Object.entries(part).map(([key, value]) => ({ key, value, size: encodeItem(value).length }));
  const { key, value } = sizes.reduce((most, each) => (each.size > most.size ? each : most));
  const of = Array.isArray(value) && isFields(value[0]) ? value[0].key : undefined;
  return typeof of === "string" ? `${phrase(key)}: ${phrase(of)}` : phrase(key);
}
