// What a worker is told of a plan beside the compiled matches: for every rank what becomes of the frame, in int32 words.
// plan-image.ts (control thread) writes it, apply-actions.ts (workers) reads it.
//
//   ranks     rank 0: kind | row | actions ->-. | id     rank 1: ...        RANK_LENGTH words each
//   actions   ... OP_SET_VLAN mask value | OP_FORWARD 2 3 7 | OP_END ...  <-'
//
// `kind` is the terminal action and, above it, which sorts of other actions there are, so that a rule that only allows or
// drops is done with one load. `row` is where its counters are (rule-memory.ts), `id` is for the log.

export const RANK_LENGTH = 4;
export const RANK_KIND = 0;
export const RANK_ROW = 1;
export const RANK_ACTIONS = 2;
export const RANK_ID = 3;

// Kinds, lowest bits: how the search for rules ended. A rule without terminal action continues.
export const KIND_CONTINUE = 0;
export const KIND_ALLOW = 1;
export const KIND_DROP = 2;
export const KIND_FORWARD = 3;
export const KIND_FLOOD = 4;
export const KIND_TERMINAL = 7;
// And what else the rule does.
export const KIND_REWRITES = 1 << 3;
/** Looks at the frame as it was received, after others may have rewritten it. */
export const KIND_KEEPS = 1 << 4;
export const KIND_METERS = 1 << 5;
/** Any action but the terminal one. */
export const KIND_ACTS = KIND_REWRITES | KIND_KEEPS | KIND_METERS;

// Actions: an operation and its operands. Addresses are in the frame's byte order, read as little-endian words.
export const OP_END = 0;
/** port */
export const OP_MIRROR = 1;
/** mask of the tag's bits that change, their new value */
export const OP_SET_VLAN = 2;
export const OP_STRIP_VLAN = 3;
/** bytes 0-3, bytes 4-5 */
export const OP_SET_SOURCE = 4;
export const OP_SET_DESTINATION = 5;
/** the six bits, where TOS has them */
export const OP_SET_DSCP = 6;
/** index into the plan's meters */
export const OP_METER = 7;
/** one in how many */
export const OP_LOG = 8;
/** how many ports, the ports; always the last operation */
export const OP_FORWARD = 9;

// Counters of a rule at one worker: a row of doubles, a power of two of them.
export const ROW_LENGTH = 4;
export const ROW_FRAMES = 0;
export const ROW_BYTES = 1;
/** Of a rule: the clock's second of its last frame, 0 for never. */
export const ROW_LAST_S = 2;
/** Of a meter: frames that exceeded it. */
export const ROW_DROPPED = 2;
