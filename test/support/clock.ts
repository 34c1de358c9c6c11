// A clock of the test's own in place of performance.now(): token buckets earn what the test lets pass. One thread.

import { afterEach, spyOn } from "bun:test";

export class TestClock {
  /** Milliseconds. */
  nowMs = 1000;

  pass(ms: number): void {
    this.nowMs += ms;
  }
}

/** Returns a function that stops the clock of this thread until the test's end. */
export function useTestClock(): () => TestClock {
  const stopped: (() => void)[] = [];
  afterEach(() => {
    for (const start of stopped.splice(0)) start();
  });
  return () => {
    const clock = new TestClock();
    const spy = spyOn(performance, "now").mockImplementation(() => clock.nowMs);
    stopped.push(() => spy.mockRestore());
    return clock;
  };
}
