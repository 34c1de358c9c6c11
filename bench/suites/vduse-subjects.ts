// Names that both halves of the VDUSE suite use: the one on the host, and the one inside the virtual machine.

import type { Sample } from "../suite.ts";

export const TCP = "TCP, one stream";
export const PING_MIN = "ping, least";
export const PING_MEDIAN = "ping, median";
export const PING_MEAN = "ping, mean";
export const SMALL = "64 B frames";
/** ringyard's with MANY ports, beside itself with two. */
export const COST = "a frame's cost, one worker, 16 ports";
export const MANY = 16;
export const TWO_PORTS = "ringyard-2-ports";

/** What the half inside prints, one JSON object a line. */
export type Line = { sample: Sample } | { failed: [what: string, message: string] } | { say: string };
