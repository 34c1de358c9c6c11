// Work in steps (src/dataplane/fdb-steps.ts), all at once, for tests in which nothing happens between two of them.

export function allSteps<T>(steps: Generator<void, T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}
