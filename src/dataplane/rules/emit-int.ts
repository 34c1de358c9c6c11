// The one way for a number into generated text: it is a 32-bit integer or it does not get there. Cold; control thread.

import { RingyardError } from "../../core/errors.ts";

/** Decimal digits, perhaps with a minus before them. Takes anything, since types do not hold where data comes from outside. */
export function int(value: unknown): string {
  if (typeof value !== "number" || (value | 0) !== value || Object.is(value, -0)) {
    throw new RingyardError("BAD_REQUEST", "a number of the rules is no 32-bit integer", "report this: it is a defect");
  }
  return value.toString(10);
}
