// The operations of the control socket about captures: schemas and calls, for requests.ts. A capture belongs to the connection that opened
// it and ends with it.
//
//   capture.open -> its number      capture.read: waits a moment for frames, answers with what there is      capture.close
//
// Who reads too seldom loses frames, which are counted; the switch is not held up. Control thread.

import { z } from "zod";
import { RingyardError } from "../core/errors.ts";
import { MAX_FRAME } from "../mem/batch.ts";
import type { Capture, CaptureApi, CaptureRequest } from "./capture.ts";
import { FRAME_SIZE_MAX } from "./frame.ts";
import { shortText } from "./options.ts";
import type { CaptureArgs, Operations } from "./protocol.ts";
import { parseMatch, RULE_LENGTH_MAX } from "./rules/parse-rule.ts";
import { RuleSyntaxError } from "./rules/syntax-error.ts";

/** How long a read waits for the first frame, and how often it looks. */
const WAIT_MS = 500;
const LOOK_MS = 10;
/** An element of an answer, with room for the rest of its frame. */
const PIECE_SIZE = FRAME_SIZE_MAX - 512;

const capture = z.int({ error: "expected the number of a capture" });
const wrongSnap = { error: `expected a snap length of 1 to ${MAX_FRAME}` };

export const captureSchemas = {
  "capture.open": z.strictObject({
    of: z.enum(["port", "drops", "rule"], { error: "expected port, drops or rule" }),
    port: shortText("expected the name of a port").optional(),
    direction: z.enum(["in", "out", "both"], { error: "expected in, out or both" }).optional(),
    rule: z.int({ error: "expected the id of a rule" }).optional(),
    snap: z.int(wrongSnap).min(1, wrongSnap).max(MAX_FRAME, wrongSnap).optional(),
    filter: shortText("expected the match of a rule", RULE_LENGTH_MAX).optional(),
  }),
  "capture.read": z.strictObject({ capture }),
  "capture.close": z.strictObject({ capture }),
} satisfies { [O in CaptureOperation]: z.ZodType<Operations[O]["args"]> };

type CaptureOperation = Extract<keyof Operations, `capture.${string}`>;
type CaptureCalls = {
  [O in CaptureOperation]: (args: Operations[O]["args"], ended: AbortSignal) => Promise<Operations[O]["result"]>;
};

/** `ended` of a call tells of the end of its connection. */
export function captureCalls(api: CaptureApi): CaptureCalls {
  const captures = new Map<number, { owner: AbortSignal; capture: Capture; onEnded: () => void }>();
  let last = 0;
  const get = (number: number, owner: AbortSignal) => {
    const entry = captures.get(number);
    if (entry?.owner === owner) return entry;
    throw new RingyardError("NOT_FOUND", `no capture ${number} of this connection`, "open one");
  };
  return {
    "capture.open": async (args, ended) => {
      const capture = await api.open(requestOf(args));
      const number = ++last;
      const onEnded = () => {
        captures.delete(number);
        // Whatever becomes of it: who asked is gone.
        void capture.close().catch(() => undefined);
      };
      captures.set(number, { owner: ended, capture, onEnded });
      if (ended.aborted) onEnded();
      else ended.addEventListener("abort", onEnded, { once: true });
      return { capture: number };
    },
    "capture.read": async ({ capture: number }, owner) => {
      const { capture } = get(number, owner);
      const deadline = performance.now() + WAIT_MS;
      let batch = capture.read();
      while (batch.records.length === 0 && batch.ended === undefined && !owner.aborted) {
        if (performance.now() >= deadline) break;
        await Bun.sleep(LOOK_MS);
        batch = capture.read();
      }
      return { ...batch, records: piecesOf(batch.records) };
    },
    "capture.close": ({ capture: number }, owner) => {
      const { capture, onEnded } = get(number, owner);
      captures.delete(number);
      // The listener would keep the capture's memory as long as the connection lasts.
      owner.removeEventListener("abort", onEnded);
      return capture.close();
    },
  };
}

function requestOf({ of, port, direction, rule, snap = MAX_FRAME, filter }: CaptureArgs): CaptureRequest {
  const match = filter === undefined ? {} : { filter: matchOf(filter) };
  if (of === "port" && port !== undefined && rule === undefined) {
    return { what: { of, port, direction: direction ?? "both" }, snap, ...match };
  }
  if (of === "rule" && rule !== undefined && port === undefined && direction === undefined) {
    return { what: { of, id: rule }, snap, ...match };
  }
  if (of === "drops" && rule === undefined && port === undefined && direction === undefined) {
    return { what: { of }, snap, ...match };
  }
  throw new RingyardError(
    "BAD_REQUEST",
    `capture.open: not what a capture of ${of} takes`,
    "port and direction, or rule",
  );
}

function matchOf(text: string) {
  try {
    return parseMatch(text);
  } catch (error) {
    if (!(error instanceof RuleSyntaxError)) throw error;
    throw new RingyardError(error.code, `filter: column ${error.at + 1}: ${error.problem}`, error.next);
  }
}

function piecesOf(records: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < records.length; at += PIECE_SIZE) pieces.push(records.subarray(at, at + PIECE_SIZE));
  return pieces;
}
