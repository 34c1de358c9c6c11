// The trace of a frame where ports have policies: rules step by step as ever (rules/trace.ts), then what the bridge makes of it, as a dry
// run of the workers' own code tells. Control thread.
//
//   header   64 bytes in on web: ...
//   rule     no rule applies
//   frame    to uplink: 68 bytes: ...
//   verdict  sent to db, uplink (tag 10)

import { MAX_FRAME, MIN_FRAME } from "../../mem/batch.ts";
import type { PlanConfig } from "../rules/plan.ts";
import { frameSteps } from "../rules/trace-frame.ts";
import type { TraceStep } from "../rules/trace-step.ts";
import { dropText, namesText } from "../rules/trace-text.ts";
import { type DryRunParts, dryRun } from "./dry-run.ts";

/** Reasons for which a frame is dropped before it meets a rule. Where its port is down, `steps` have none. */
const BEFORE_RULES = new Set(["bad_source", "source_guard", "dhcp_guard", "ra_guard", "loop", "policed"]);
const TPIDS = [0x8100, 0x88a8];

interface Parts extends DryRunParts {
  portName(index: number): string;
}

/** `steps`: those of a switch without policies, whose rules are the same. */
export function bridgeSteps(
  parts: Parts,
  image: PlanConfig["image"],
  steps: readonly TraceStep[],
  port: number,
  frame: Uint8Array,
): TraceStep[] {
  const before = steps.at(-1);
  if (before?.step !== "verdict" || frame.length < MIN_FRAME || frame.length > MAX_FRAME) return [...steps];
  const { sent, dropped } = dryRun(parts, image, port, frame);
  const frames = sent.filter(({ isCopy }) => !isCopy);
  const isEarly = frames.length === 0 && BEFORE_RULES.has(dropped[0]);
  const kept = steps.filter(({ step }) => step === "header" || (!isEarly && (step === "rule" || step === "action")));
  const copied = [...new Set(sent.filter(({ isCopy }) => isCopy).map((it) => it.port))];
  const also = copied.length === 0 ? "" : `, mirrored to ${namesText(copied.map(parts.portName))}`;
  if (frames.length === 0) {
    const reason = dropped[0] ?? "no_destination";
    const data = { do: "drop" as const, reason, mirrors: copied };
    return [...kept, { step: "verdict", text: `${dropText(reason, frame, port)}${also}`, data }];
  }
  const names = namesText(frames.map((it) => `${parts.portName(it.port)}${tagText(it.frame)}`));
  const data = { do: "send" as const, ports: frames.map((it) => it.port), mirrors: copied };
  const changed = frameSteps(frames, frame, port, parts.portName);
  return [...kept, ...changed, { step: "verdict", text: `sent to ${names}${also}`, data }];
}

function tagText(frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 18 || !TPIDS.includes(view.getUint16(12))) return "";
  return ` (tag ${view.getUint16(14) & 0xfff})`;
}
