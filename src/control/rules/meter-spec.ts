// Meters in TOML, JSON and on a line: a rate and a burst, numbers with units. k, M, G, T are powers of 1000. Pure.
//
//   [meters]                            [meters.web]                       { rate = 10_000_000, unit = "bits" }
//   web = "100 Mbit/s"                  rate = "100 Mbit/s"                { rate = "10M", unit = "bits", burst = "2M" }
//   dns = "1000 frames/s"               burst = "1 Mbit"
//
// Printed in one way: { rate: "100 Mbit/s", burst: "10 Mbit" }. Where no burst is given it is what the rate makes in a tenth of a
// second: TCP sends up to a round trip's worth at once, and a bucket that cannot hold that keeps it below the rate; few round
// trips are longer. But never less than what comes at once without anybody's fault: a super-frame of 64 KiB, or as many
// frames as a worker fetches together.

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import { TOKENS_MAX } from "../../dataplane/rules/meter.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import { BURST } from "../../mem/batch.ts";
import { suggest } from "../nearest.ts";
import { nameAdvice, portName } from "../options.ts";

/** The canonical object; plain data. */
export interface MeterObject {
  rate: string;
  burst: string;
}

type Unit = MeterSpec["unit"];
type Meter = Omit<MeterSpec, "name">;

/** No port is faster than a terabit a second, by far; products of it stay exact. */
const RATE_MAX = 1e12;
/** What a bucket holds (meter.ts): bytes or frames. A burst of less than one would never fill it. */
const BURST_MIN: Readonly<Record<Unit, number>> = { bits: 8, frames: 1 };
const BURST_MAX: Readonly<Record<Unit, number>> = { bits: TOKENS_MAX * 8, frames: TOKENS_MAX };
const BURST_LEAST_DEFAULT: Readonly<Record<Unit, number>> = { bits: 65_536 * 8, frames: BURST };
const BURSTS_A_SECOND = 10;

const PREFIXES = ["", "k", "M", "G", "T"];
const QUANTITY = /^(\d{1,15})(?:\.(\d{1,12}))?\s{0,4}([kMGT]?)(bits?|frames?)?(\/s)?$/;
const examples = "write for example 100 Mbit/s or 1000 frames/s";

const quantity = z.union([z.string(), z.number()], { error: `expected a number with a unit: ${examples}` });
const table = z.strictObject(
  {
    rate: quantity,
    unit: z.enum(["bits", "frames"], { error: "expected bits or frames" }).optional(),
    burst: quantity.optional(),
  },
  { error: `expected a rate or a table: ${examples}` },
);

/** A meter without its name. */
export const meterSchema = z
  .unknown()
  .transform((value) => (typeof value === "string" ? { rate: value } : value))
  .pipe(table)
  .transform((given, context): Meter => {
    const fail = (key: keyof typeof given, message: string) => {
      context.addIssue({ code: "custom", path: [key], message });
      return z.NEVER;
    };
    const rate = readQuantity(given.rate, true);
    if (rate === undefined) return fail("rate", `${quoted(given.rate)} is no rate: ${examples}`);
    const unit = given.unit ?? rate.unit;
    if (unit === undefined) return fail("rate", `${quoted(given.rate)} lacks its unit: ${examples}`);
    if (rate.unit !== undefined && rate.unit !== unit) return fail("rate", `${quoted(given.rate)} is not in ${unit}`);
    if (!(rate.number >= 1 && rate.number <= RATE_MAX)) return fail("rate", `expected 1 to 10^12 a second`);
    if (given.burst === undefined) return { unit, rate: rate.number, burst: defaultBurst(unit, rate.number) };
    const burst = readQuantity(given.burst, false);
    if (burst === undefined)
      return fail("burst", `${quoted(given.burst)} is no burst: write for example 1 Mbit or 64 frames`);
    if (burst.unit !== undefined && burst.unit !== unit)
      return fail("burst", `${quoted(given.burst)} is not in ${unit}, as the rate is`);
    const [least, most] = [BURST_MIN[unit], BURST_MAX[unit]];
    if (!(burst.number >= least && burst.number <= most)) return fail("burst", `expected ${least} to ${most} ${unit}`);
    return { unit, rate: rate.number, burst: burst.number };
  });

function defaultBurst(unit: Unit, rate: number): number {
  return Math.min(Math.max(Math.ceil(rate / BURSTS_A_SECOND), BURST_LEAST_DEFAULT[unit]), BURST_MAX[unit]);
}

function readQuantity(given: string | number, isRate: boolean): { number: number; unit?: Unit } | undefined {
  if (typeof given === "number") return Number.isSafeInteger(given) ? { number: given } : undefined;
  const match = QUANTITY.exec(given.trim());
  if (match === null) return undefined;
  const [, whole, fraction = "", prefix, noun, perSecond] = match;
  // A burst is no rate; a rate may go without where it goes without its noun.
  if (isRate ? noun !== undefined && perSecond === undefined : perSecond !== undefined) return undefined;
  const scaled = BigInt(whole + fraction) * 1000n ** BigInt(PREFIXES.indexOf(prefix));
  const parts = 10n ** BigInt(fraction.length);
  if (scaled % parts !== 0n) return undefined;
  const unit = noun === undefined ? undefined : noun.startsWith("bit") ? "bits" : "frames";
  return { number: Number(scaled / parts), unit };
}

/** Throws RingyardError that names the meter and the key. */
export function meterFromObject(name: string, value: unknown): MeterSpec {
  const named = portName.safeParse(name);
  if (!named.success) {
    throw new RingyardError("BAD_RULE", `${quoted(name)} is not the name of a meter`, nameAdvice(name));
  }
  const parsed = meterSchema.safeParse(value);
  if (parsed.success) return { name, ...parsed.data };
  const [issue] = parsed.error.issues;
  const place = issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  const message = issue.code === "unrecognized_keys" ? unknownKey(issue.keys[0]) : issue.message;
  throw new RingyardError("BAD_RULE", `meter ${name}: ${place}${message}`);
}

function unknownKey(key: string): string {
  return `unknown key ${quoted(key)}: ${suggest(key, "known:", ["rate", "unit", "burst"])}`;
}

export function meterToObject(meter: Meter): MeterObject {
  return { rate: formatRate(meter), burst: formatBurst(meter) };
}

/** `100 Mbit/s`, `1000 frames/s`. */
export function formatRate({ rate, unit }: Meter): string {
  return `${formatQuantity(rate, unit)}/s`;
}

/** `10 Mbit`, `64 frames`. */
export function formatBurst({ burst, unit }: Meter): string {
  return formatQuantity(burst, unit);
}

/** Exact, in the largest unit that leaves a whole number; frames are counted in ones. */
function formatQuantity(number: number, unit: Unit): string {
  if (unit === "frames") return `${number} frames`;
  let power = 0;
  while (power < PREFIXES.length - 1 && number % 1000 === 0) {
    number /= 1000;
    power++;
  }
  return `${number} ${PREFIXES[power]}bit`;
}
