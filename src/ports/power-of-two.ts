// An option of a port that is a size of rings: a power of two, in plain decimal digits. Pure; for the kinds of ports.

import { z } from "zod";

export function powerOfTwo(min: number, max: number) {
  return z.string().transform((text, context) => {
    const count = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (count >= min && count <= max && (count & (count - 1)) === 0) return count;
    context.addIssue({ code: "custom", message: `expected a power of two from ${min} to ${max}` });
    return z.NEVER;
  });
}
