// The counters of one lane (a queue pair): one Float64Array row in shared memory per worker and lane, written by that
// worker only, read by the control thread at any time (an aligned 64-bit store is not torn on x86-64 and arm64). The sum
// over workers and lanes obeys the law of the switch, once no frame is in flight:
//
//   RX_FRAMES + COPIES = TX_FRAMES + every DROP_*
//
// RX counts everything taken from the sender, malformed chains included; COPIES the extra frames made by flooding, by
// mirrors and rules, and by segmentation. Drops found on the way in are counted at the sender's lane, the receiver's refusals at the receiver's.

export const RX_FRAMES = 0;
export const RX_BYTES = 1;
export const TX_FRAMES = 2;
export const TX_BYTES = 3;
export const COPIES = 4;
/** Interrupts (calls) sent to the driver. */
export const CALLS = 5;
/** Of TX_FRAMES at a NIC's lane: those that the NIC reads in their sender's memory, and those copied for it. */
export const TX_ZERO_COPY = 6;
export const TX_COPIED = 7;

/** First index that counts drops; every later one does. */
export const FIRST_DROP = 8;

// The receiver's refusals.
export const DROP_NO_BUFFER = 8;
export const DROP_BUFFER_TOO_SMALL = 9;
export const DROP_OVERSIZED = 10;
export const DROP_LINK_DOWN = 11;
export const DROP_OFFLOAD = 12;
// The switch's decisions.
export const DROP_BAD_SOURCE = 13;
export const DROP_OWN_PORT = 14;
export const DROP_RESERVED = 15;
export const DROP_NO_DESTINATION = 16;
// What is wrong with a frame or its descriptors.
export const DROP_MALFORMED = 17;
export const DROP_RUNT = 18;
export const DROP_BAD_HEADER = 19;
export const DROP_DESC_LOOP = 20;
export const DROP_DESC_INDEX = 21;
export const DROP_DESC_ADDRESS = 22;
export const DROP_DESC_LENGTH = 23;
export const DROP_DESC_DIRECTION = 24;
export const DROP_DESC_NESTED = 25;
export const DROP_DESC_INDIRECT = 26;
// What the operator asked for. Indices up to FIRST_FAULT are room for more of it.
export const DROP_RULE = 27;
export const DROP_METER = 28;
/** Its port does not take or send frames of this VLAN, or with this tag. */
export const DROP_VLAN = 29;
/** Between ports that are kept apart. */
export const DROP_ISOLATED = 30;
export const DROP_STORM = 31;
export const DROP_POLICED = 32;
/** The port's queues were full. */
export const DROP_QUEUE_FULL = 33;
export const DROP_SOURCE_GUARD = 34;
export const DROP_DHCP_GUARD = 35;
export const DROP_RA_GUARD = 36;
/** A probe of the loop guard that came back. What meets a blocked port is LINK_DOWN. */
export const DROP_LOOP = 37;
export const DROP_MAC_LIMIT = 38;
/** From an address that stays at another port. */
export const DROP_STICKY = 39;

/** Faults of a ring as a whole or of posted receive buffers: no frame is lost by them, so they are not in the sum. */
export const FIRST_FAULT = 48;
export const FAULT_AVAIL_INDEX = 48;
export const FAULT_AVAIL_HEAD = 49;
export const FAULT_BUFFER = 50;
/** A NIC reported a buffer that it did not have, or more bytes than it holds. */
export const FAULT_COMPLETION = 51;

/** A multiple of 8: every lane's row begins with a cache line of its own. */
export const COUNTER_COUNT = 56;

/** Names of drops and faults, as `port show` and `stats` print them; index = counter. */
export const COUNTER_NAMES: readonly (string | undefined)[] = (() => {
  const names: (string | undefined)[] = new Array(COUNTER_COUNT).fill(undefined);
  names[DROP_NO_BUFFER] = "no_buffer";
  names[DROP_BUFFER_TOO_SMALL] = "buffer_too_small";
  names[DROP_OVERSIZED] = "oversized";
  names[DROP_LINK_DOWN] = "link_down";
  names[DROP_OFFLOAD] = "offload";
  names[DROP_BAD_SOURCE] = "bad_source";
  names[DROP_OWN_PORT] = "own_port";
  names[DROP_RESERVED] = "reserved";
  names[DROP_NO_DESTINATION] = "no_destination";
  names[DROP_MALFORMED] = "malformed";
  names[DROP_RUNT] = "runt";
  names[DROP_BAD_HEADER] = "bad_header";
  names[DROP_DESC_LOOP] = "desc_loop";
  names[DROP_DESC_INDEX] = "desc_index";
  names[DROP_DESC_ADDRESS] = "desc_address";
  names[DROP_DESC_LENGTH] = "desc_length";
  names[DROP_DESC_DIRECTION] = "desc_direction";
  names[DROP_DESC_NESTED] = "desc_nested";
  names[DROP_DESC_INDIRECT] = "desc_indirect";
  names[DROP_RULE] = "rule";
  names[DROP_METER] = "meter";
  names[DROP_VLAN] = "vlan";
  names[DROP_ISOLATED] = "isolated";
  names[DROP_STORM] = "storm";
  names[DROP_POLICED] = "policed";
  names[DROP_QUEUE_FULL] = "queue_full";
  names[DROP_SOURCE_GUARD] = "source_guard";
  names[DROP_DHCP_GUARD] = "dhcp_guard";
  names[DROP_RA_GUARD] = "ra_guard";
  names[DROP_LOOP] = "loop";
  names[DROP_MAC_LIMIT] = "mac_limit";
  names[DROP_STICKY] = "sticky";
  names[FAULT_AVAIL_INDEX] = "avail_index";
  names[FAULT_AVAIL_HEAD] = "avail_head";
  names[FAULT_BUFFER] = "bad_buffer";
  names[FAULT_COMPLETION] = "bad_completion";
  return names;
})();
