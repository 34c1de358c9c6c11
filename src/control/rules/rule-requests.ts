// The operations of the control socket about rules and meters: the schemas of their arguments and the calls, for requests.ts.
// Rules come as texts and are read here again, whoever sent them. Control thread.

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { eachInSteps, takingTurns } from "../../core/turns.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import { MAX_FRAME } from "../../mem/batch.ts";
import { shortText } from "../options.ts";
import type { FrameArgs, MeterArgs, Operations } from "../protocol.ts";
import type { Answer } from "../rows.ts";
import type { RuleList, Running } from "../running.ts";
import { ruleText } from "./format-rule.ts";
import { type KnownRules, readRule } from "./known-rules.ts";
import { meterFromObject } from "./meter-spec.ts";
import type { NamedRule } from "./named-rule.ts";
import { parseRule } from "./parse-rule.ts";
import type { FrameSample } from "./rules-api.ts";
import { RuleSyntaxError } from "./syntax-error.ts";

/** Ethernet addresses and type: less is no frame. */
const FRAME_MIN = 14;
/** Of a frame's beginning; a request has to fit. */
const FRAME_HEAD_MAX = 4096;

const rule = z.string({ error: "expected the text of a rule" });
const name = (what: string) => shortText(`expected the name of a ${what}`);
const ids = z.array(z.int({ error: "expected ids of rules" }), { error: "expected ids of rules" });
const meter = z.strictObject(
  {
    name: name("meter"),
    rate: shortText("expected a rate such as 100 Mbit/s"),
    burst: shortText("expected a burst such as 1 Mbit").optional(),
  },
  { error: "expected a meter: its name and rate" },
);
const wrongFrame = { error: `expected ${FRAME_MIN} to ${FRAME_HEAD_MAX} bytes` };
const wrongLength = { error: `expected the length of the whole frame, up to ${MAX_FRAME}` };
const frame = {
  port: name("port"),
  frame: z
    .instanceof(Uint8Array, wrongFrame)
    .refine(({ length }) => length >= FRAME_MIN && length <= FRAME_HEAD_MAX, wrongFrame),
  length: z.int(wrongLength).min(FRAME_MIN, wrongLength).max(MAX_FRAME, wrongLength).optional(),
};

export const ruleSchemas = {
  "rule.list": z.strictObject({}),
  "rule.add": z.strictObject({ rule }),
  "rule.del": z.strictObject({ ids }),
  "rule.replace": z.strictObject({
    rules: z.array(rule, { error: "expected the texts of rules" }),
    meters: z.array(meter, { error: "expected meters" }).optional(),
  }),
  "rule.test": z.strictObject({ rule, ...frame }),
  trace: z.strictObject(frame),
  "meter.list": z.strictObject({}),
  "meter.set": meter,
  "meter.del": z.strictObject({ name: name("meter") }),
} satisfies { [O in RuleOperation]: z.ZodType<Operations[O]["args"]> };

type RuleOperation = Extract<keyof Operations, `rule.${string}` | `meter.${string}` | "trace">;
type Result<O extends RuleOperation> = Answer<Operations[O]["result"]>;
type ReplaceArgs = Operations["rule.replace"]["args"];
type RuleCalls = { [O in RuleOperation]: (args: Operations[O]["args"]) => Result<O> | Promise<Result<O>> };

export function ruleCalls(running: Running): RuleCalls {
  const { rules } = running.api;
  return {
    "rule.list": () => ({ rules: rules.rows() }),
    "rule.add": async ({ rule }) => ({ rule: await running.addRule(parseRule(rule)) }),
    "rule.del": async ({ ids }) => {
      await running.deleteRules(ids);
      return {};
    },
    "rule.replace": async (args) => {
      const replaced = await running.replaceRules(readList(running, args));
      const texts = eachInSteps(replaced.rules, ({ id, rule }) => ({ id, text: ruleText(rule) }));
      return { ...replaced, rules: await takingTurns(texts) };
    },
    "rule.test": ({ rule, port, ...sample }) => rules.test(parseRule(rule), port, sampleOf(sample)),
    trace: ({ port, ...sample }) => ({ steps: rules.trace(port, sampleOf(sample)) }),
    "meter.list": () => ({ meters: rules.meters() }),
    "meter.set": async (meter) => ({ meter: await running.setMeter(meterOf(meter)) }),
    "meter.del": async ({ name }) => {
      await running.deleteMeter(name);
      return {};
    },
  };
}

async function readList(running: Running, { rules: texts, meters = [] }: ReplaceArgs): Promise<RuleList> {
  const known = await running.knownRules();
  const rules = await takingTurns(eachInSteps(texts, (text, index) => ruleOfMany(text, index, known)));
  return { rules, meters: meters.map(meterOf) };
}

/** Among many rules the one that is meant has to be there too. */
function ruleOfMany(text: string, index: number, known: KnownRules): NamedRule {
  try {
    return readRule(text, known);
  } catch (error) {
    if (!(error instanceof RuleSyntaxError)) throw error;
    throw new RingyardError(error.code, `rules.${index}: column ${error.at + 1}: ${error.problem}`, error.next);
  }
}

function meterOf({ name, ...meter }: MeterArgs): MeterSpec {
  return meterFromObject(name, meter);
}

function sampleOf({ frame, length = frame.length }: Omit<FrameArgs, "port">): FrameSample {
  return { bytes: frame, length: Math.max(length, frame.length) };
}
