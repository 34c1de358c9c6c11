// Names that both halves of the VDUSE suite use: the one on the host, and the one inside the virtual machine.

export const TCP = "TCP, one stream";
export const PING_MIN = "ping, least";
export const PING_MEDIAN = "ping, median";
export const PING_MEAN = "ping, mean";
export const SMALL = "64 B frames";
/** ringyard's with so many ports, beside itself with two. */
export const costOf = (ports: number) => `a frame's cost, one worker, ${ports} ports`;
export const MANY = 16;
export const MANY_IN_SMOKE = 4;
export const TWO_PORTS = "ringyard-2-ports";
