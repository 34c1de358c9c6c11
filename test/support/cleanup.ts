// What a test made is undone even when the test fails, times out or is interrupted. `bun test` runs afterAll hooks after
// a failure and a timeout, and signal handlers on Ctrl-C, but no process "exit" handlers: so both of the former are used.
//
//   const defer = useCleanup();          at the top of a file or a describe
//   defer(() => process.kill(pid));      last registered runs first
//
// Main thread of a test process.

import { afterAll } from "bun:test";
import { beforeSignalsEnd } from "../../scripts/signals.ts";
import { PATIENCE } from "./until.ts";

type Undo = () => unknown;

const stacks = new Set<Undo[]>();
let trapped = false;

/** For all of a file's or block's undoing. Without it, bun's limit for a test (`--timeout`) would hold for the hook, too. */
const UNWIND_LIMIT_MS = 60_000 * PATIENCE;

/** Runs a stack of undo functions, last one first; one that fails does not stop the others. */
async function unwind(stack: Undo[]): Promise<void> {
  const failures: unknown[] = [];
  for (let undo = stack.pop(); undo !== undefined; undo = stack.pop()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, "clean-up failed");
}

function trapSignals(): void {
  if (trapped) return;
  trapped = true;
  beforeSignalsEnd(async () => {
    for (const stack of stacks) await unwind(stack).catch((error) => console.error(error));
  });
}

/** Returns `defer`: what it is given runs when the surrounding file or describe block ends, however it ends. */
export function useCleanup(): (undo: Undo) => void {
  const stack: Undo[] = [];
  stacks.add(stack);
  trapSignals();
  afterAll(async () => {
    try {
      await unwind(stack);
    } finally {
      stacks.delete(stack);
    }
  }, UNWIND_LIMIT_MS);
  return (undo) => void stack.push(undo);
}
