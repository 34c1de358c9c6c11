// Frames that leave as others than they came, as steps of a trace: one for each form, with the ports that get it. Each crosses the control
// socket by itself, so that neither ports nor the length of a frame make an answer too long. Pure.

import type { TraceStep } from "./trace-step.ts";
import { headerText, namesText } from "./trace-text.ts";

/** Bytes of a frame that are shown. What rules and VLANs change is at its beginning. */
export const FRAME_SHOWN = 2048;

interface Leaving {
  port: number;
  frame: Uint8Array;
}

/** Of what leaves by `sent` after `received` came in on `port`. */
export function frameSteps(
  sent: readonly Leaving[],
  received: Uint8Array,
  port: number,
  portName: (index: number) => string,
): TraceStep[] {
  const forms: { ports: number[]; frame: Uint8Array }[] = [];
  for (const { port: out, frame } of sent) {
    if (isSame(frame, received)) continue;
    const form = forms.find((known) => isSame(known.frame, frame));
    if (form === undefined) forms.push({ ports: [out], frame });
    else form.ports.push(out);
  }
  return forms.map(({ ports, frame }) => ({
    step: "frame",
    text: `to ${namesText(ports.map(portName))}: ${frame.length} bytes${headerText(frame, port)}`,
    data: {
      ports,
      length: frame.length,
      frame: Buffer.from(frame.subarray(0, FRAME_SHOWN)).toString("hex"),
    },
  }));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
