// What a promise is rejected with. `expect(promise).rejects` waits inside the call, and no message of a Worker comes in
// meanwhile (seen in Bun 1.4): a promise that needs one is never settled. Main thread of a test process.

import { RingyardError } from "../../src/core/errors.ts";

/** The RingyardError that `promise` ends in; throws where it ends otherwise. */
export async function failure(promise: Promise<unknown>): Promise<RingyardError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof RingyardError) return error;
    throw error;
  }
  throw new Error(`it went well: ${JSON.stringify(value)}`);
}
