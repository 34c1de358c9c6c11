// Traces as the switch answers them: the dataplane's steps with ports by name and rules with their texts. Pure.

import { HEADER_BYTES } from "../../dataplane/rules/key.ts";
import type { TraceStep } from "../../dataplane/rules/trace-step.ts";
import type { FrameSample, TraceInfo } from "./rules-api.ts";

/** `textOf`: the text of the rule with this id, if it is there. */
export function traceInfo(
  { step, text, data }: TraceStep,
  portName: (index: number) => string,
  textOf: (id: number | null) => string | undefined,
): TraceInfo {
  switch (step) {
    case "header":
      return { step, text, data: { ...data, port: portName(data.port) } };
    case "rule": {
      const rule = textOf(data.id);
      return { step, text, data: rule === undefined ? data : { ...data, text: rule } };
    }
    case "action":
      return { step, text, data };
    case "fdb":
      return { step, text, data: { ...data, port: data.port === null ? null : portName(data.port) } };
    case "frame":
      return { step, text, data: { ...data, ports: data.ports.map(portName) } };
    case "verdict": {
      const mirrors = data.mirrors.map(portName);
      if (data.do === "drop") return { step, text, data: { ...data, mirrors } };
      return { step, text, data: { do: data.do, ports: data.ports.map(portName), mirrors } };
    }
  }
}

/** A frame of the whole length; what is missing behind the header is not looked at. Where the header is cut, so is the frame. */
export function wholeFrame({ bytes, length = bytes.length }: FrameSample): Uint8Array {
  if (bytes.length < HEADER_BYTES || length <= bytes.length) return bytes;
  const frame = new Uint8Array(length);
  frame.set(bytes);
  return frame;
}
