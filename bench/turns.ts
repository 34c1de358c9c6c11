// One round of a suite: every system once, each with an Undo of its own, unwound before the next begins.
//
//   round 0: a b c     round 1: b c a     round 2: c a b        so that none is always behind the same other

import type { Context } from "./suite.ts";
import { Undo } from "./undo.ts";

/** Calls `measure` for each of `systems` that are asked for; a failure is told with `what` and does not stop the others. */
export async function inTurns<S extends { readonly name: string }>(
  systems: readonly S[],
  round: number,
  context: Context,
  measure: (system: S, undo: Undo) => Promise<void>,
  what = ({ name }: S) => name,
): Promise<void> {
  const wanted = systems.filter(({ name }) => context.systems.includes(name));
  for (let turn = 0; turn < wanted.length; turn++) {
    const system = wanted[(round + turn) % wanted.length];
    const undo = new Undo();
    const unwind = context.undo.defer(() => undo.unwind());
    try {
      await measure(system, undo);
    } catch (error) {
      context.failed(what(system), error);
    } finally {
      await unwind();
    }
  }
}
