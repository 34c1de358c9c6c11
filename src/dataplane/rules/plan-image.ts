// A plan as the bytes that workers read: compiled matches, what becomes of a frame at each rank (plan-ranks.ts), meters, source text,
// policies, one behind the other in one mapping (plan.ts has the picture). All of it is numbers that were checked, but for the source,
// which the compiler wrote from numbers. Control thread.

import { RingyardError } from "../../core/errors.ts";
import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import type { BridgePolicy } from "../bridge/policy.ts";
import type { CompiledRules } from "./compile.ts";
import { METER_BUCKET, METER_BURST, METER_BYTES, METER_LENGTH, METER_PER_MS, TOKENS_MAX } from "./meter.ts";
import type { Piece, PlanConfig } from "./plan.ts";
import type { EncodedRanks } from "./plan-ranks.ts";
import type { MeterSpec } from "./rule.ts";

const LINE = 64;
const BITS_PER_BYTE = 8;
const MS_PER_S = 1000;

/** A plan in memory of its own, for all workers. */
export class PlanImage {
  readonly config: PlanConfig["image"];
  private mapped = true;

  /**
   * `buckets[m]` belongs to `meters[m]`. Throws RingyardError BAD_OPTION or LIMIT for what the meters ask, SysError where there is no
   * memory.
   */
  constructor(
    compiled: CompiledRules,
    { ranks, actions }: EncodedRanks,
    meters: readonly MeterSpec[],
    buckets: readonly number[],
    policy: BridgePolicy | null = null,
  ) {
    const parts = [
      bytesOf(compiled.tables),
      bytesOf(ranks),
      bytesOf(actions),
      bytesOf(encodeMeters(meters, buckets)),
      new TextEncoder().encode(compiled.source),
      new TextEncoder().encode(policy === null ? "" : JSON.stringify(policy)),
    ];
    let end = 0;
    const pieces = parts.map(({ length }): Piece => {
      const at = end;
      end += Math.ceil(length / LINE) * LINE;
      return { at, size: length };
    });
    const size = Math.max(LINE, end);
    const address = mapAnonymous(size);
    const bytes = new Uint8Array(viewOf(address, 0, size));
    for (const [k, part] of parts.entries()) bytes.set(part, pieces[k].at);
    const [matches, rankPiece, actionPiece, meterPiece, source, policyPiece] = pieces;
    this.config = {
      address,
      size,
      matches,
      ranks: rankPiece,
      actions: actionPiece,
      meters: meterPiece,
      source,
      policy: policyPiece,
    };
  }

  /** No worker runs the plan any more. Idempotent. */
  close(): void {
    if (!this.mapped) return;
    this.mapped = false;
    unmap(this.config.address, this.config.size);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array | Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function encodeMeters(meters: readonly MeterSpec[], buckets: readonly number[]): Float64Array {
  const words = new Float64Array(meters.length * METER_LENGTH);
  meters.forEach((meter, m) => {
    const at = m * METER_LENGTH;
    words[at + METER_BUCKET] = buckets[m];
    words[at + METER_BYTES] = meter.unit === "bits" ? 1 : 0;
    words[at + METER_PER_MS] = meter.rate / (meter.unit === "bits" ? BITS_PER_BYTE : 1) / MS_PER_S;
    words[at + METER_BURST] = meterTokens(meter);
  });
  return words;
}

/** Tokens of a full bucket. */
export function meterTokens({ name, unit, rate, burst }: MeterSpec): number {
  const tokens = Math.floor(unit === "bits" ? burst / BITS_PER_BYTE : burst);
  if (!(rate > 0) || !(tokens >= 1)) {
    const next = "give it a rate above 0 and a burst of at least one frame";
    throw new RingyardError("BAD_OPTION", `meter ${name} lets nothing through`, next);
  }
  if (tokens > TOKENS_MAX || rate > Number.MAX_SAFE_INTEGER) {
    throw new RingyardError("LIMIT", `meter ${name} has a burst above 2 GiB`, "choose a smaller one");
  }
  return tokens;
}
