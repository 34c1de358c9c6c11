// What the bridge tells the control thread by the plan's event ring (rules/event-ring.ts), beside EVENT_LOGGED (1) of rules. Payloads
// are int32 words. A ring may be full, since whoever can make a rule log can fill it: so an event asks for nothing that a worker
// would not say again. Kind 2 is free: the loop guard's probes have words of their own that cannot overflow (loop-guard.ts).
//
//   EVENT_MAC_LIMIT   | port |   the port met its limit of addresses, and its policy says "shutdown": the control thread blocks it

export const EVENT_MAC_LIMIT = 3;
/** Bytes of its payload. */
export const MAC_LIMIT_SIZE = 4;
