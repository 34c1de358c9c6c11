// What a script, a bench or a test run does before a signal ends it. Main thread.

/** How a shell counts a program that such a signal ended: 128 and the signal's number. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Ctrl-C and its like: `action` first, then the process ends as it would have. A second one ends it at once. */
export function beforeSignalsEnd(action: () => unknown): void {
  for (const [signal, code] of Object.entries(CODES)) {
    process.once(signal, async () => {
      await action();
      process.exit(code);
    });
  }
}
