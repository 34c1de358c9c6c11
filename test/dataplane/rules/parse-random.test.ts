// The fast parser against the slow one, field by field, on frames of all kinds: whole, cut short, damaged, lying.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { fieldsOf } from "../../../src/dataplane/rules/interpret-fields.ts";
import { FIELD_NAMES, HEADER_BYTES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import { anyFrame, anyPort } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";
import { fieldsIn, keyOf } from "./parsed.ts";

const FRAMES = sized(20_000, 500_000);
const LONG_MS = 600_000;

test(
  "parse.ts reads of every frame what interpret-fields.ts reads, and not a byte behind it",
  () => {
    const values = new Map(FIELD_NAMES.map((name) => [name, new Set<bigint | undefined>()]));
    fc.assert(
      fc.property(anyFrame, anyPort, fc.nat(3), (frame, port, at) => {
        const expected = fieldsOf(frame, port);
        const found = fieldsIn(keyOf(frame, port, at));
        for (const name of FIELD_NAMES) {
          if (found.get(name) !== expected.get(name)) {
            throw new Error(`${name} is ${expected.get(name)}, parse.ts says ${found.get(name)}`);
          }
          values.get(name)!.add(expected.get(name));
        }
      }),
      { numRuns: FRAMES },
    );
    // Of a field that is always the same, or always absent, this would say nothing.
    for (const [name, { size }] of values) expect([name, size >= (name.includes(".") ? 3 : 2)]).toEqual([name, true]);
  },
  LONG_MS,
);

test("a frame cut anywhere, below Ethernet's header too", () => {
  fc.assert(
    fc.property(anyFrame, anyPort, (frame, port) => {
      for (let length = 0; length <= Math.min(frame.length, HEADER_BYTES + 4); length++) {
        const cut = frame.slice(0, length);
        expect(fieldsIn(keyOf(cut, port))).toEqual(fieldsOf(cut, port));
      }
    }),
    { numRuns: 100 },
  );
});

test("what lies behind the frame, or behind its first HEADER_BYTES, does not matter", () => {
  const noise = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(anyFrame, noise, (frame, behind) => {
      const memory = new Uint8Array(HEADER_BYTES + 64);
      const seen = frame.subarray(0, HEADER_BYTES);
      memory.set(seen);
      memory.set(behind, seen.length);
      const key = new Int32Array(KEY_WORDS);
      parseKey(new DataView(memory.buffer), 0, frame.length, 7, key);
      expect([...key]).toEqual([...keyOf(frame, 7)]);
    }),
    { numRuns: 2_000 },
  );
});
