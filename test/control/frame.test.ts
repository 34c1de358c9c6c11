// Frames out of a stream cut anywhere, and results cut into frames.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeFrame, encodeItem, FRAME_SIZE_MAX, FrameError, FrameReader } from "../../src/control/frame.ts";
import { mergePart, requestFrames, resultFrames } from "../../src/control/parts.ts";
import type { Reply } from "../../src/control/protocol.ts";
import { Rows } from "../../src/control/rows.ts";

function readAll(chunks: Iterable<Uint8Array>): { items: unknown[]; reader: FrameReader } {
  const reader = new FrameReader();
  const items: unknown[] = [];
  for (const chunk of chunks) reader.push(chunk, (item) => items.push(item));
  return { items, reader };
}

function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

describe("the reader", () => {
  test("finds the same frames however the stream is cut", () => {
    const things = [{ a: 1 }, [1, "two", null], "x".repeat(300), 0];
    const stream = Buffer.concat(things.map(encodeFrame));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length];
          chunks.push(stream.subarray(at, at + size));
          at += size;
        }
        const { items, reader } = readAll(chunks);
        expect(items).toEqual(things);
        expect(reader.partial).toBe(false);
      }),
    );
  });

  test("takes a frame of exactly 16 KiB and none longer", () => {
    const text = "x".repeat(FRAME_SIZE_MAX - 3);
    expect(encodeItem(text).length).toBe(FRAME_SIZE_MAX);
    expect(readAll([encodeFrame(text)]).items).toEqual([text]);
    expect(() => encodeFrame(`${text}x`)).toThrow(FrameError);
    expect(() => readAll([header(FRAME_SIZE_MAX + 1)])).toThrow("frame too long");
    expect(() => readAll([header(0xffffffff)])).toThrow("frame too long");
  });

  test("refuses an empty frame", () => {
    expect(() => readAll([header(0)])).toThrow("frame empty");
  });

  test("knows that a frame has begun", () => {
    const frame = encodeFrame({ a: 1 });
    for (let size = 1; size < frame.length; size++) {
      expect(readAll([frame.subarray(0, size)]).reader.partial).toBe(true);
    }
  });
});

describe("a result in parts", () => {
  const framesOf = (result: Record<string, unknown>) => [...resultFrames(7, result)].filter((it) => it !== undefined);
  const split = (result: Record<string, unknown>) => readAll(framesOf(result)).items as Reply[];
  const merge = (replies: Reply[]) => {
    const whole: Record<string, unknown> = {};
    for (const reply of replies) if (reply.ok) mergePart(whole, reply.result);
    return whole;
  };

  test("is one frame where it fits", () => {
    expect(split({})).toEqual([{ id: 7, ok: true, result: {} }]);
    const result = { limit: 3, entries: [{ a: 1 }], none: [] };
    expect(split(result)).toEqual([{ id: 7, ok: true, result }]);
  });

  test("of 60,000 entries comes in frames of at most 16 KiB, all but the last saying that more follows", () => {
    const entries = Array.from({ length: 60_000 }, (_, index) => ({
      mac: `02:${index}`,
      port: "web",
      ageS: index,
      static: false,
    }));
    const frames = framesOf({ limit: 65536, entries, after: [1, 2] });
    for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(FRAME_SIZE_MAX + 4);
    // Packed as tightly as they go: at most one entry's room is left.
    expect(Math.min(...frames.slice(1, -1).map((frame) => frame.length))).toBeGreaterThan(FRAME_SIZE_MAX - 100);
    const replies = readAll(frames).items as Reply[];
    expect(replies.map((reply) => reply.ok && reply.more === true).indexOf(false)).toBe(replies.length - 1);
    expect(merge(replies)).toEqual({ limit: 65536, entries, after: [1, 2] });
  });

  test("has rows made as they are needed, and none that nobody takes", () => {
    const numbers = Array.from({ length: 60_000 }, (_, n) => n);
    let made = 0;
    const rows = Rows.of(numbers, (n) => {
      made++;
      return { n, text: "x".repeat(100) };
    });
    const frames = resultFrames(7, { limit: 1, rows, after: [1] });
    expect(made).toBe(0);
    let first: Uint8Array | undefined;
    while (first === undefined) first = frames.next().value ?? undefined;
    // A frame has room for 145, and they come in pieces of 64.
    expect(made).toBe(192);
    const rest = [...frames].filter((it) => it !== undefined);
    const whole = merge(readAll([first, ...rest]).items as Reply[]);
    expect(whole).toMatchObject({ limit: 1, after: [1] });
    expect((whole.rows as { n: number }[]).map(({ n }) => n)).toEqual(numbers);
  });

  test("says of rows of which there are none that there are none", () => {
    expect(split({ rows: new Rows([]), more: new Rows([[], []]) })).toEqual([
      { id: 7, ok: true, result: { rows: [], more: [] } },
    ]);
  });

  test("is whole again when merged", () => {
    const element = fc.oneof(fc.string({ maxLength: 9000, size: "max" }), fc.integer());
    const arrays = fc.array(fc.array(element, { maxLength: 12 }), { maxLength: 4 });
    fc.assert(
      fc.property(arrays, fc.string(), (lists, text) => {
        const result = { text, ...Object.fromEntries(lists.map((list, index) => [`list${index}`, list])) };
        expect(merge(split(result))).toEqual(result);
      }),
    );
  });

  test("is refused where one thing alone is longer than a frame", () => {
    const long = "x".repeat(FRAME_SIZE_MAX);
    expect(() => split({ long })).toThrow("longer than 16384 bytes");
    expect(() => split({ list: [1, long] })).toThrow("longer than 16384 bytes");
  });
});

test("what no frame can carry is named", () => {
  const long = "x".repeat(20_000);
  const ask = (args: Record<string, unknown>) => [...requestFrames(1, "port.set", { name: "a", ...args })];
  const policy = [
    { key: "vlan", value: 10 },
    { key: "source-guard", value: long },
  ];
  expect(() => ask({ policy })).toThrow("the request: policy: source-guard is longer than 16384 bytes");
  expect(() => ask({ policy: [], uri: long })).toThrow("the request: uri is longer than 16384 bytes");
  expect(() => ask({ rules: [long] })).toThrow("the request: rules is longer than 16384 bytes");
});
