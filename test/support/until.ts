// Waiting for a condition, never for a time: a probe is asked until it gives a value, or a deadline passes with a
// message that says what was waited for and what was last seen. The interval is short, since each wait is on a peer.
// For tests and benches, main thread.

/** On a host: CI's has few processors, and shares them. */
const HOST_PATIENCE = process.env.CI === "true" ? 3 : 1;
/**
 * How much longer than elsewhere things may take here: scripts/vm emulates its processors, and its host may be busy. A test's own
 * limit is multiplied by it, too, where the test waits: else bun ends the test before the wait says what it saw.
 */
export const PATIENCE = process.env.RINGYARD_VM === undefined ? HOST_PATIENCE : 6;

export interface UntilOptions {
  /** As on a machine of its own; multiplied by PATIENCE. */
  timeoutMs?: number;
  everyMs?: number;
  /** Added to the failure's message, e.g. the log of the process that was waited for. */
  context?: () => string;
}

/** Thrown by a probe: what is waited for cannot come any more. */
export class InVain extends Error {}

/**
 * Asks `probe` until it returns something other than undefined, null or false, and returns that.
 * A probe that throws counts as "not yet", and its error is shown when the deadline passes; but `InVain` is thrown on at once.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 10, context }: UntilOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const limitMs = timeoutMs * PATIENCE;
  const deadline = performance.now() + limitMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value as NonNullable<Exclude<T, false>>;
      last = value;
    } catch (error) {
      if (error instanceof InVain) throw error;
      last = error;
    }
    if (performance.now() >= deadline) {
      const seen = last instanceof Error ? last.message : String(last);
      const more = context === undefined ? "" : `\n${context()}`;
      throw new Error(`waited ${limitMs} ms for ${what}; last seen: ${seen}${more}`);
    }
    await Bun.sleep(everyMs);
  }
}
