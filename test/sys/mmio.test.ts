// Register access as a device would see it: another thread plays the device, since plain memory cannot tell how it was accessed.
// Loads must not be hoisted out of a polling loop (a plain typed-array load is: with one in `poll` the test fails), stores must all arrive.

import { expect, test } from "bun:test";
import { closeFd, preadWord, pwriteWord } from "../../src/sys/fd.ts";
import { mapAnonymous, memfd, PAGE_SIZE, unmap, viewOf } from "../../src/sys/memory.ts";
import { load8, load16, load32 } from "../../src/sys/mmio.ts";
import { useCleanup } from "../support/cleanup.ts";

const defer = useCleanup();

function page(): { address: number; words: Uint32Array } {
  const address = mapAnonymous(PAGE_SIZE);
  defer(() => unmap(address, PAGE_SIZE));
  return { address, words: new Uint32Array(viewOf(address, 0, PAGE_SIZE)) };
}

/** A thread that runs `body` with `words` (shared memory at `address`) once, and says that it began. */
async function device(address: number, body: string): Promise<Worker> {
  const memory = new URL("../../src/sys/memory.ts", import.meta.url).href;
  const source = `import { viewOf } from ${JSON.stringify(memory)};
    const words = new Int32Array(viewOf(${address}, 0, 4096)); postMessage("up"); ${body}; postMessage("done");`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  defer(() => worker.terminate());
  await new Promise((resolve) => worker.addEventListener("message", resolve, { once: true }));
  return worker;
}

test("each width, at any offset", () => {
  const { address, words } = page();
  words[2] = 0x89abcdef;
  expect(load32(address, 8)).toBe(0x89abcdef);
  expect(load16(address, 10)).toBe(0x89ab);
  expect(load8(address, 9)).toBe(0xcd);
});

/** Polls until word 0 is `wanted`; hot enough to be compiled while it waits. */
function poll(address: number, wanted: number, limit: number): number {
  let turns = 0;
  while (load32(address, 0) !== wanted && turns < limit) turns++;
  return turns;
}

test("a load in a loop sees what the other side wrote meanwhile, also when compiled", async () => {
  const { address } = page();
  const LIMIT = 2_000_000_000;
  for (let round = 0; round < 200; round++) poll(address, 1, 10_000);
  await device(
    address,
    "while (Atomics.load(words, 1) < 10_000_000) Atomics.add(words, 1, 1); Atomics.store(words, 0, 7)",
  );
  expect(poll(address, 7, LIMIT)).toBeLessThan(LIMIT);
});

/** Writes the same value again and again, as a doorbell is: the other side takes it away each time. Returns how often. */
function ring(address: number, words: Uint32Array, times: number): number {
  for (let done = 0; done < times; done++) {
    words[0] = 1;
    for (let turn = 0; load32(address, 0) !== 0; turn++) if (turn > 500_000_000) return done;
  }
  return times;
}

test("equal stores all arrive, and a load after a store sees it or what became of it", async () => {
  const { address, words } = page();
  const times = 20_000;
  await device(
    address,
    `for (let seen = 0; seen < ${times}; ) if (Atomics.load(words, 0) === 1) { seen++; Atomics.store(words, 0, 0); }`,
  );
  expect(ring(address, words, times)).toBe(times);
}, 60_000);

test("words of a file are read and written at their offset, beyond 4 GiB too", () => {
  const at = 7 * 2 ** 40;
  const fd = memfd("mmio-test", at + 16);
  defer(() => closeFd(fd));
  expect(pwriteWord(fd, at, 4, 0xdeadbeef)).toBe(true);
  expect(pwriteWord(fd, at + 1, 1, 0x1ff)).toBe(true);
  expect([preadWord(fd, at, 4), preadWord(fd, at, 2), preadWord(fd, at + 3, 1)]).toEqual([0xdeadffef, 0xffef, 0xde]);
  expect(preadWord(fd, at + 14, 4)).toBe(-1);
  expect(pwriteWord(-1, 0, 4, 1)).toBe(false);
});
