// Names that both halves of the VDUSE suite use: the one on the host, and the one inside the virtual machine.

export const TCP = "TCP, one stream";
export const PING_MIN = "ping, least";
export const PING_MEDIAN = "ping, median";
export const PING_MEAN = "ping, mean";
export const SMALL = "64 B frames";
/** ringyard's with MANY ports, beside itself with two. */
export const COST = "a frame's cost, one worker, 16 ports";
export const MANY = 16;
export const TWO_PORTS = "ringyard-2-ports";
