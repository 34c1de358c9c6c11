// The ring between a worker and the control thread: every record comes out whole, once and in order, or is counted as lost.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  EventRing,
  lostEvents,
  publishEvent,
  readEvents,
  reserveEvent,
  ringBytes,
} from "../../../src/dataplane/rules/event-ring.ts";

const SIZE = 1024;

function newRing(): { writer: EventRing; reader: EventRing } {
  const memory = new SharedArrayBuffer(64 + ringBytes(SIZE));
  return { writer: new EventRing(memory, 64, SIZE), reader: new EventRing(memory, 64, SIZE) };
}

function write(ring: EventRing, kind: number, bytes: Uint8Array): boolean {
  const at = reserveEvent(ring, kind, bytes.length);
  if (at < 0) return false;
  expect(at % 8).toBe(0);
  ring.bytes.set(bytes, at);
  publishEvent(ring);
  return true;
}

function read(ring: EventRing): { kind: number; bytes: Uint8Array }[] {
  const found: { kind: number; bytes: Uint8Array }[] = [];
  readEvents(ring, (kind, at, size) => void found.push({ kind, bytes: ring.bytes.slice(at, at + size) }));
  return found;
}

const record = (kind: number, size: number) => ({ kind, bytes: new Uint8Array(size).fill(kind) });

describe("records", () => {
  test("of any size come out as they went in, over the ring's end too", () => {
    const { writer, reader } = newRing();
    const anyStep = fc.oneof(
      { weight: 3, arbitrary: fc.nat(SIZE / 8) },
      { weight: 1, arbitrary: fc.constant("read" as const) },
    );
    let kind = 0;
    let lost = 0;
    let waiting: ReturnType<typeof record>[] = [];
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60, size: "max" }), (steps) => {
        for (const step of steps) {
          if (step === "read") {
            expect(read(reader)).toEqual(waiting);
            waiting = [];
          } else {
            kind = (kind + 1) & 0x7f;
            const next = record(kind, step);
            if (write(writer, kind, next.bytes)) waiting.push(next);
            else lost++;
          }
        }
      }),
      { numRuns: 300 },
    );
    expect(read(reader)).toEqual(waiting);
    expect(lostEvents(reader)).toBe(lost);
    expect(lost).toBeGreaterThan(0);
  });

  test("fill the ring to its last byte", () => {
    const { writer, reader } = newRing();
    for (let k = 0; k < 8; k++) expect(write(writer, k, record(k, 120).bytes)).toBe(true);
    expect(write(writer, 9, new Uint8Array(0))).toBe(false);
    expect(read(reader).length).toBe(8);
    expect(write(writer, 9, new Uint8Array(0))).toBe(true);
    expect(read(reader)).toEqual([record(9, 0)]);
  });
});

test("counts of bytes may run over", () => {
  const { writer, reader } = newRing();
  const near = 0x7fffffff - (0x7fffffff % SIZE);
  for (const ring of [writer, reader]) ring.words[0] = ring.words[16] = near;
  writer.written = writer.read = near;
  let expected = 0;
  for (let k = 0; k < 100; k++) {
    expect(write(writer, k, record(k, 100).bytes)).toBe(true);
    for (const found of read(reader)) expect(found).toEqual(record(expected++, 100));
  }
  expect(expected).toBe(100);
  expect(writer.written).toBeLessThan(0);
});

test("a view that is made later goes on where the ring is", () => {
  const { writer, reader } = newRing();
  write(writer, 1, record(1, 10).bytes);
  const second = new EventRing(writer.words.buffer, writer.words.byteOffset, SIZE);
  write(second, 2, record(2, 20).bytes);
  expect(read(reader)).toEqual([record(1, 10), record(2, 20)]);
});
