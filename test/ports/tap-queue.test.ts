// A TAP lane's reads and writes, byte for byte, with a FIFO in the device's place: no privilege is needed, a full pipe
// refuses as a full device does, and anything at all can be read from it.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BURST, MAX_FRAME, OFFLOAD_ALL, OFFLOAD_CSUM, OFFLOAD_TSO4 } from "../../src/mem/batch.ts";
import { RX_BYTES, RX_FRAMES, TX_BYTES, TX_FRAMES } from "../../src/mem/counters.ts";
import type { Lane } from "../../src/ports/port.ts";
import { createTapLane } from "../../src/ports/tap/lane.ts";
import { closeFd, O_NONBLOCK, O_RDWR, openFd, readAt, writeAt } from "../../src/sys/fd.ts";
import { libc } from "../../src/sys/libc.ts";
import { mapAnonymous, unmap, viewOf } from "../../src/sys/memory.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { LaneBench, pattern } from "./lane-bench.ts";

const F_SETFL = 4;
const O_DIRECT = 0x4000;
const PIPE_SIZE = 64 * 1024; // pipe(7)
const SCRATCH_SIZE = 256 * 1024;

let folder: string;
let fd: number;
let bench: LaneBench;
let lane: Lane;
let scratch: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringyard-fifo-"));
  const path = join(folder, "device");
  Bun.spawnSync(["mkfifo", path]);
  fd = openFd(path, O_RDWR | O_NONBLOCK);
  bench = new LaneBench();
  lane = open();
  scratch = mapAnonymous(SCRATCH_SIZE);
});

afterEach(() => {
  lane.close();
  bench.give();
  closeFd(fd);
  unmap(scratch, SCRATCH_SIZE);
  rmSync(folder, { recursive: true });
});

function open(accepts = OFFLOAD_ALL, owner = true): Lane {
  return createTapLane({ driver: "tap", fd, accepts }, bench.context({ owner }));
}

/** What the device was given. */
function written(): Uint8Array<ArrayBuffer> {
  const size = readAt(fd, scratch, SCRATCH_SIZE);
  return new Uint8Array(viewOf(scratch, 0, SCRATCH_SIZE)).slice(0, Math.max(size, 0));
}

/** Lets the next read find these bytes. */
function feed(bytes: Uint8Array): void {
  new Uint8Array(viewOf(scratch, 0, SCRATCH_SIZE)).set(bytes);
  expect(writeAt(fd, scratch, bytes.length)).toBe(bytes.length);
}

const PLAIN = new Uint8Array(12);
const record = (header: Uint8Array, frame: Uint8Array) => new Uint8Array([...header, ...frame]);

describe("deliver", () => {
  test("writes the header and then every piece, and counts", () => {
    bench.put(pattern(14, 1), pattern(1000, 2), pattern(3, 3));
    expect(lane.deliver(bench.batch, bench.all, 1)).toBe(1);
    expect(written()).toEqual(
      new Uint8Array([...PLAIN.subarray(0, 10), 1, 0, ...pattern(14, 1), ...pattern(1000, 2), ...pattern(3, 3)]),
    );
    expect([bench.counters[TX_FRAMES], bench.counters[TX_BYTES]]).toEqual([1, 1017]);
    expect(bench.drops).toEqual({});
  });

  test("keeps the order of the list, not of the batch", () => {
    const [first, second] = [bench.put(pattern(60, 1)), bench.put(pattern(60, 2))];
    lane.deliver(bench.batch, Int32Array.of(second, first), 2);
    const bytes = written();
    expect(bytes.slice(12, 72)).toEqual(pattern(60, 2));
    expect(bytes.slice(84)).toEqual(pattern(60, 1));
  });

  test("tells the kernel what is left to do: checksum and segmentation", () => {
    const i = bench.put(pattern(3000));
    const { batch } = bench;
    batch.needs[i] = OFFLOAD_CSUM | OFFLOAD_TSO4;
    batch.flags[i] = 1;
    batch.gsoType[i] = 1;
    batch.gsoSize[i] = 1448;
    batch.csumStart[i] = 34;
    batch.csumOffset[i] = 16;
    lane.deliver(batch, bench.all, 1);
    const header = new DataView(written().buffer);
    expect([header.getUint8(0), header.getUint8(1)]).toEqual([1, 1]);
    const [gsoSize, csumStart, csumOffset] = [4, 6, 8].map((at) => header.getUint16(at, true));
    expect([gsoSize, csumStart, csumOffset]).toEqual([1448, 34, 16]);
  });

  test("says that a checksum was verified only where checksums are not asked for", () => {
    const i = bench.put(pattern(60));
    bench.batch.flags[i] = 2;
    lane.deliver(bench.batch, bench.all, 1);
    expect(written()[0]).toBe(2);
    lane.close();
    lane = open(0);
    lane.deliver(bench.batch, bench.all, 1);
    expect(written()[0]).toBe(0);
  });

  test("drops what finds no room, and the sum adds up", () => {
    for (let n = 0; n < BURST; n++) bench.put(pattern(4000, n));
    const delivered = lane.deliver(bench.batch, bench.all, BURST);
    // A pipe gives each write pages of its own.
    expect(delivered).toBeGreaterThan(0);
    expect(delivered).toBeLessThanOrEqual(PIPE_SIZE / 4012);
    expect(bench.counters[TX_FRAMES]).toBe(delivered);
    expect(bench.drops).toEqual({ no_buffer: BURST - delivered });
  });

  for (const [what, spoil] of [
    ["ends past its window", (s: number) => (bench.batch.pool.length[s] = 1 << 20)],
    ["starts before its window", (s: number) => (bench.batch.pool.offset[s] = -4)],
    ["has a negative length", (s: number) => (bench.batch.pool.length[s] = -1)],
    ["lies in a window that is gone", (s: number) => (bench.batch.pool.window[s] = 100)],
  ] as const) {
    test(`hands nothing to the kernel of a frame with a piece that ${what}`, () => {
      bench.put(pattern(60), pattern(60));
      spoil(1);
      expect(lane.deliver(bench.batch, bench.all, 1)).toBe(0);
      expect(written()).toHaveLength(0);
      expect(bench.drops).toEqual({ malformed: 1 });
    });
  }

  test("takes 1023 pieces, the kernel's limit less the header, and not one more", () => {
    bench.put(...Array.from({ length: 1023 }, (_, n) => pattern(2, n)));
    bench.put(...Array.from({ length: 1024 }, (_, n) => pattern(2, n)));
    expect(lane.deliver(bench.batch, bench.all, 2)).toBe(1);
    expect(written()).toHaveLength(12 + 1023 * 2);
    expect(bench.drops).toEqual({ malformed: 1 });
  });
});

describe("fetch", () => {
  test("finds nothing where nothing waits", () => {
    expect(lane.fetch(bench.batch)).toBe(0);
    expect(bench.counters[RX_FRAMES]).toBe(0);
  });

  test("takes a frame whole, and its header into the batch", () => {
    const header = new Uint8Array([1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
    feed(record(header, pattern(3000)));
    expect(lane.fetch(bench.batch)).toBe(1);
    expect(bench.frame(0)).toEqual(pattern(3000));
    const { batch } = bench;
    expect([batch.needs[0], batch.gsoType[0], batch.gsoSize[0]]).toEqual([OFFLOAD_CSUM | OFFLOAD_TSO4, 1, 1448]);
    expect([batch.csumStart[0], batch.csumOffset[0]]).toEqual([34, 16]);
    expect([bench.counters[RX_FRAMES], bench.counters[RX_BYTES]]).toEqual([1, 3000]);
  });

  const bad: [string, Uint8Array, string][] = [
    ["that is too short to have addresses", record(PLAIN, pattern(13)), "runt"],
    ["that is not even a header", pattern(5), "runt"],
    ["whose segmentation names no checksum", record(Uint8Array.of(0, 1, ...pattern(10)), pattern(60)), "bad_header"],
    [
      "whose checksum lies outside",
      record(Uint8Array.of(1, 0, 0, 0, 0, 0, 200, 0, 16, 0, 0, 0), pattern(60)),
      "bad_header",
    ],
    [
      "of an unknown kind of segmentation",
      record(Uint8Array.of(1, 3, ...PLAIN.subarray(2)), pattern(60)),
      "bad_header",
    ],
  ];
  for (const [what, bytes, reason] of bad) {
    test(`counts and leaves out a frame ${what}`, () => {
      feed(bytes);
      expect(lane.fetch(bench.batch)).toBe(0);
      expect(bench.batch.pool.count).toBe(0);
      expect(bench.counters[RX_FRAMES]).toBe(1);
      expect(bench.drops).toEqual({ [reason]: 1 });
    });
  }

  test("does not let a frame wait for a read that finds none, and takes bursts at once", () => {
    // Each write is one read's (pipe(7), packet mode).
    libc.fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK | O_DIRECT);
    const taken = () => {
      bench.batch.reset();
      return lane.fetch(bench.batch);
    };
    const burst = (count: number) => {
      for (let n = 0; n < count; n++) feed(record(PLAIN, pattern(60, n)));
    };
    burst(12);
    expect([taken(), taken(), taken(), taken()]).toEqual([1, 2, 4, 5]);
    expect(bench.frame(4)).toEqual(pattern(60, 11));
    burst(9);
    expect([taken(), taken(), taken()]).toEqual([5, 4, 0]);
    burst(2);
    expect([taken(), taken(), taken()]).toEqual([1, 1, 0]);
    expect(bench.counters[RX_FRAMES]).toBe(23);
  });

  test("is the owner's: a worker that only delivers takes nothing", () => {
    const other = open(OFFLOAD_ALL, false);
    feed(record(PLAIN, pattern(60)));
    expect(other.fetch(bench.batch)).toBe(0);
    expect([other.wakeFd, lane.wakeFd]).toEqual([-1, fd]);
    other.close();
    expect(lane.fetch(bench.batch)).toBe(1);
  });
});

for (const [size, frames, drops] of [
  [MAX_FRAME, 1, {}],
  [MAX_FRAME + 1, 0, { oversized: 1 }],
] as const) {
  test(`a frame of ${size} bytes: ${frames} of ${MAX_FRAME} at most`, () => {
    // A pipe takes less than that at once; a file stands in for the device.
    const path = join(folder, "file");
    writeFileSync(path, record(PLAIN, pattern(size)));
    const file = openFd(path, O_RDWR);
    const other = createTapLane({ driver: "tap", fd: file, accepts: 0 }, bench.context());
    expect(other.fetch(bench.batch)).toBe(frames);
    if (frames === 1) expect(Buffer.compare(bench.frame(0), pattern(size))).toBe(0);
    expect(bench.drops).toEqual(drops);
    other.close();
    closeFd(file);
  });
}

test("close gives the window and the mapping back, and leaves the descriptor", () => {
  const before = holdings();
  for (let round = 0; round < 20; round++) {
    const other = open();
    other.close();
  }
  expect(heldDifference(before, holdings())).toEqual([]);
  expect(bench.windows.size.filter((size) => size > 0)).toHaveLength(2);
});
