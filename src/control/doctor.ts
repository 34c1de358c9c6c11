// What this machine can do: each port kind, why not, and what would enable it, beside the facts of the machine. Needs no
// running switch. Control thread.

import type { PortKind, PortProbe } from "../ports/port.ts";
import { type HostFact, hostFacts } from "./host.ts";
import type { Kinds } from "./uri.ts";

export interface DoctorReport {
  host: HostFact[];
  kinds: (PortProbe & { kind: string; summary: string })[];
  /** At least one kind of port works here. */
  usable: boolean;
}

export function examine(kinds: Kinds): DoctorReport {
  const probed = Object.values(kinds).map((kind) => ({ kind: kind.kind, summary: kind.summary, ...safely(kind) }));
  return { host: hostFacts(), kinds: probed, usable: probed.some(({ available }) => available) };
}

/** A probe that fails is an answer too. */
function safely(kind: PortKind): PortProbe {
  try {
    return kind.probe();
  } catch (error) {
    return { available: false, reason: String(error) };
  }
}
