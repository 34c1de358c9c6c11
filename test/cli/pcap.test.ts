// One frame out of a capture: pcap in all its forms, pcapng, and whatever a file may hold instead.

import { describe, expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { nthFrame, type ReadAt, readCapture } from "../../src/cli/pcap.ts";
import { frameArgs, readHex } from "../../src/cli/trace-frame.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { useDirectories } from "../support/control.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";

const directory = useDirectories();

const FRAMES = [frame(BROADCAST, mac(1), 60), frame(mac(2), mac(1), 61, 7), frame(mac(3), mac(1), 1514)];

interface Form {
  little: boolean;
  linkType?: number;
  /** Captured bytes at most. */
  snap?: number;
}

type Words = (number | Uint8Array)[];

/** 32-bit numbers in the capture's byte order, and bytes. */
function bytes(little: boolean, ...words: Words): Uint8Array {
  return Buffer.concat(
    words.map((word) => {
      if (typeof word !== "number") return word;
      const view = new DataView(new ArrayBuffer(4));
      view.setUint32(0, word, little);
      return new Uint8Array(view.buffer);
    }),
  );
}

/** Two 16-bit numbers as one word. */
const halves = (little: boolean, first: number, second: number) =>
  little ? second * 65536 + first : first * 65536 + second;

function pcap(magic: number, { little, linkType = 1, snap = 65535 }: Form): Uint8Array {
  const records = FRAMES.flatMap((it): Words => {
    const captured = it.subarray(0, snap);
    return [1, 2, captured.length, it.length, captured];
  });
  return bytes(little, magic, halves(little, 2, 4), 0, 0, snap, linkType, ...records);
}

function block(little: boolean, type: number, ...body: Words): Uint8Array {
  const content = bytes(little, ...body);
  const padded = Buffer.concat([content, new Uint8Array((4 - (content.length % 4)) % 4)]);
  return bytes(little, type, padded.length + 12, padded, padded.length + 12);
}

function pcapng({ little, linkType = 1, snap = 65535 }: Form, packet: "enhanced" | "simple" | "old"): Uint8Array {
  const start = [
    block(little, 0x0a0d0d0a, 0x1a2b3c4d, halves(little, 1, 0), 0xffffffff, 0xffffffff),
    block(little, 1, halves(little, linkType, 0), snap),
    // A name resolution block: of no concern.
    block(little, 4, 0),
  ];
  const packets = FRAMES.map((it) => {
    const captured = it.subarray(0, snap);
    if (packet === "simple") return block(little, 3, it.length, captured);
    const port = packet === "old" ? halves(little, 0, 9) : 0;
    return block(little, packet === "old" ? 2 : 6, port, 1, 2, captured.length, it.length, captured);
  });
  return Buffer.concat([...start, ...packets]);
}

const over =
  (data: Uint8Array): ReadAt =>
  (at, size) =>
    data.subarray(at, at + size);

const forms: [string, (form: Form) => Uint8Array][] = [
  ["pcap", (form) => pcap(0xa1b2c3d4, form)],
  ["pcap with nanoseconds", (form) => pcap(0xa1b23c4d, form)],
  ["pcapng", (form) => pcapng(form, "enhanced")],
  ["pcapng with simple packets", (form) => pcapng(form, "simple")],
  ["pcapng with old packets", (form) => pcapng(form, "old")],
];

describe.each(forms)("%s", (_, make) => {
  describe.each([true, false])("little-endian: %p", (little) => {
    test("has its frames from 1", () => {
      const read = over(make({ little }));
      for (const [index, it] of FRAMES.entries()) {
        expect(nthFrame(read, index + 1, "x")).toEqual({ bytes: it, length: it.length });
      }
    });

    test("says how long a frame was that it has the beginning of", () => {
      const read = over(make({ little, snap: 96 }));
      expect(nthFrame(read, 3, "x")).toEqual({ bytes: FRAMES[2].subarray(0, 96), length: 1514 });
    });

    test("of something else than Ethernet is refused, and so is a frame that it has not", () => {
      expect(() => nthFrame(over(make({ little, linkType: 113 })), 1, "x.pcap")).toThrow(
        "x.pcap: frames of link type 113",
      );
      expect(() => nthFrame(over(make({ little })), 4, "x.pcap")).toThrow("x.pcap has 3 frames, none is number 4");
    });

    test("that ends anywhere gives what is whole, and says so of the rest", () => {
      const whole = make({ little });
      for (let size = 0; size < whole.length; size++) {
        try {
          expect(nthFrame(over(whole.subarray(0, size)), 2, "x").bytes).toEqual(FRAMES[1]);
        } catch (error) {
          if (!(error instanceof RingyardError)) throw error;
        }
      }
    });
  });
});

test("sections of a pcapng may differ in byte order and interfaces", () => {
  const both = Buffer.concat([pcapng({ little: true }, "enhanced"), pcapng({ little: false }, "enhanced")]);
  expect(nthFrame(over(both), 6, "x").bytes).toEqual(FRAMES[2]);
});

test("no file makes it do anything but give a frame or refuse", () => {
  const whole = pcapng({ little: true }, "enhanced");
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 });
  const check = (data: Uint8Array) => {
    try {
      nthFrame(over(data), 3, "x");
    } catch (error) {
      if (!(error instanceof RingyardError)) throw error;
    }
  };
  fc.assert(
    fc.property(damage, (places) => {
      const data = whole.slice();
      for (const [at, value] of places) data[at] = value;
      check(data);
    }),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 1000 });
});

test("a file of many frames is read through", () => {
  const path = join(directory(), "many.pcap");
  const records = Array.from({ length: 5000 }, (_, n) => {
    const it = frame(mac(n), mac(1), 60 + (n % 900));
    return bytes(true, 0, 0, it.length, it.length, it);
  });
  writeFileSync(path, Buffer.concat([pcap(0xa1b2c3d4, { little: true }).subarray(0, 24), ...records]));
  expect(readCapture(path, 5000).bytes).toEqual(frame(mac(4999), mac(1), 60 + (4999 % 900)));
  expect(() => readCapture(join(directory(), "none"), 1)).toThrow(/^cannot read .*none: ENOENT$/);
});

test("what opens but cannot be read at an offset is named, too", async () => {
  const pipe = join(directory(), "pipe");
  await Bun.$`mkfifo ${pipe}`;
  // With a writer there, opening it to read does not wait.
  const writer = openSync(pipe, "r+");
  try {
    for (const [path, code] of [
      [directory(), "EISDIR"],
      [pipe, "ESPIPE"],
    ]) {
      const { advice } = await failure(frameArgs("a", `${path}:1`));
      expect(advice).toBe(`cannot read ${path}: ${code}: name the file of a capture`);
    }
  } finally {
    closeSync(writer);
  }
});

describe("a frame on the command line", () => {
  test.each(["0123abcd", "01 23 ab CD", "01:23:ab:cd", "0123 abcd\n", "01-23-ab-cd"])("%j is hex", (text) => {
    expect(readHex(text)).toEqual(Uint8Array.of(0x01, 0x23, 0xab, 0xcd));
  });

  test.each(["", "012", "0x01", "hello", "x.pcap:1"])("%j is not", (text) => {
    expect(readHex(text)).toBeNull();
  });

  test("is sent as its beginning and its length", async () => {
    const path = join(directory(), "x.pcapng");
    writeFileSync(path, pcapng({ little: true, snap: 80 }, "enhanced"));
    const head = FRAMES[2].subarray(0, 80);
    expect(await frameArgs("a", `${path}:3`)).toEqual({ port: "a", frame: head.slice(), length: 1514 });
    expect(await frameArgs("a", Buffer.from(FRAMES[0]).toString("hex"))).toEqual({ port: "a", frame: FRAMES[0] });
    const long = await frameArgs("a", "00".repeat(9000));
    expect([long.frame.length, long.length]).toEqual([4096, 9000]);
  });

  test("is refused where it is none", async () => {
    expect((await failure(frameArgs("a", "hello"))).advice).toBe(
      'FRAME: "hello" is no frame: write hex digits, or FILE.pcap:N for the Nth frame of a capture',
    );
    expect((await failure(frameArgs("a", "00112233"))).advice).toBe(
      "FRAME: a frame of 4 bytes: two addresses and a type are 14",
    );
    const text = join(directory(), "notes.txt");
    writeFileSync(text, "not a capture");
    expect((await failure(frameArgs("a", `${text}:1`))).message).toEndWith("is no pcap or pcapng file, or broken");
    expect((await failure(frameArgs("a", `${text}:0`))).message).toEndWith("frames are counted from 1");
  });
});
