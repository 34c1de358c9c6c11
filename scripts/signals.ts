// What a script, a bench or a test run does before a signal ends it. Main thread.

/** How a shell counts a program that such a signal ended: 128 and the signal's number. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const actions: (() => unknown)[] = [];

/**
 * Ctrl-C and its like: `action` first, then the process ends as it would have. Where there are several, it ends when all of them are done. A
 * second signal of the same kind ends it at once.
 */
export function beforeSignalsEnd(action: () => unknown): void {
  if (actions.push(action) > 1) return;
  for (const [signal, code] of Object.entries(CODES)) {
    process.once(signal, async () => {
      const ended = await Promise.allSettled(actions.map(async (each) => each()));
      for (const each of ended) if (each.status === "rejected") console.error(each.reason);
      process.exit(code);
    });
  }
}
