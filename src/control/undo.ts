// What undoes a change that got only half of its way, and what it says where afterwards not all is as it was. Pure but for what it is given.

import { errorLine, RingyardError } from "../core/errors.ts";

/** What undoes one step. */
export interface Undo {
  what: string;
  run: () => Promise<void> | void;
  /** The port that it makes anew. */
  anew?: string;
}

/** A change that failed, and was undone: not without a trace. */
export class UndoneError extends RingyardError {
  constructor(
    cause: unknown,
    /** Ports that had gone and were made anew: counters and what others had set at their devices began again. */
    readonly anew: readonly string[],
    /** What could not be put back, and why. */
    readonly lost: readonly string[],
  ) {
    const whole = lost.length === 0;
    const said = cause instanceof RingyardError ? cause : new RingyardError("SYSTEM", errorLine(cause));
    super(
      said.code,
      whole ? said.message : `${said.advice}; and could not put back ${lost.join("; ")}`,
      whole ? said.next : undefined,
    );
  }
}

/** Runs everything, last one first; returns which ports are there anew, and what failed. */
export async function unwind(undo: Undo[]): Promise<{ anew: string[]; lost: string[] }> {
  const [anew, lost]: [string[], string[]] = [[], []];
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    try {
      await step.run();
      if (step.anew !== undefined) anew.unshift(step.anew);
    } catch (error) {
      lost.push(`${step.what} (${errorLine(error).replace(`${step.what}: `, "")})`);
    }
  }
  return { anew, lost };
}
