// The parts of captures that need no worker: records in the order of their times, records that make no sense, a switch that
// refuses, and what a connection keeps of captures that it closed.

import { expect, spyOn, test } from "bun:test";
import { getEventListeners } from "node:events";
import { CAPTURES_MAX, type CaptureBatch, CaptureService } from "../../src/control/capture.ts";
import { capturedFrames } from "../../src/control/capture-record.ts";
import { captureCalls } from "../../src/control/capture-requests.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { TapMemory } from "../../src/dataplane/bridge/tap-memory.ts";
import { COUNTER_COUNT, DROP_RULE } from "../../src/mem/counters.ts";
import { failure } from "../support/failure.ts";
import { quiet } from "../support/memory-switch.ts";

function record(what: number, reason: number, seconds: number, ...bytes: number[]): Uint8Array {
  const words = Uint32Array.of(what, 3, reason, bytes.length, bytes.length, 5, seconds, 0);
  return Uint8Array.from([...new Uint8Array(words.buffer), ...bytes]);
}

test("records of several workers come in the order of their times, however they were cut into pieces", () => {
  const all = Buffer.concat([record(0, 0, 9, 1), record(2, DROP_RULE, 11, 2, 2), record(1, 0, 10, 3)]);
  const frames = capturedFrames([all.subarray(0, 33), all.subarray(33, 34), all.subarray(34)]);
  expect(frames.map(({ what, timeUs, bytes }) => [what, timeUs, [...bytes]])).toEqual([
    ["in", 9_000_005, [1]],
    ["out", 10_000_005, [3]],
    ["drop", 11_000_005, [2, 2]],
  ]);
  expect(frames.map(({ reason }) => reason)).toEqual([undefined, undefined, "rule"]);
});

test("what makes no sense ends the list", () => {
  const good = record(0, 0, 1, 7);
  expect(capturedFrames([])).toEqual([]);
  expect(capturedFrames([good, good.slice(0, 32)])).toHaveLength(1);
  expect(capturedFrames([good, record(9, 0, 1, 7), good])).toHaveLength(1);
});

test("a switch that refuses has no capture more than before", async () => {
  let refuses = true;
  const service = new CaptureService({
    table: {
      setCaptures: async () => {
        if (refuses) throw new RingyardError("SYSTEM", "no");
      },
    },
    dispatcher: { workers: 1, counters: () => new Float64Array(COUNTER_COUNT) },
    rule: () => undefined,
    alone: (change) => change(),
    log: quiet,
  });
  for (let n = 0; n <= CAPTURES_MAX; n++) {
    expect(await failure(service.open({ what: { of: "drops" }, snap: 1 }))).toMatchObject({ code: "SYSTEM" });
  }
  refuses = false;
  const captures = [];
  for (let n = 0; n < CAPTURES_MAX; n++) captures.push(await service.open({ what: { of: "drops" }, snap: 1 }));
  expect(await failure(service.open({ what: { of: "drops" }, snap: 1 }))).toMatchObject({ code: "LIMIT" });
  for (const capture of captures) expect(await capture.close()).toEqual({ lost: 0, withoutFrame: {} });
  // The second time is the first one.
  expect(await captures[0].close()).toEqual({ lost: 0, withoutFrame: {} });
});

test("no memory goes while a worker may be told of it, and none stays for ever", async () => {
  // As the rule table does it: changes run one after the other, each with the captures of when it was asked for.
  let tail = Promise.resolve();
  const refusals: boolean[] = [];
  const ran: (readonly number[])[] = [];
  // Unmapped at the end, so that no address comes twice.
  const unmap = TapMemory.prototype.close;
  const close = spyOn(TapMemory.prototype, "close").mockImplementation(() => {});
  const gone = () => close.mock.contexts.map((it) => (it as TapMemory).address);
  const service = new CaptureService({
    table: {
      setCaptures: (captures) => {
        const run = tail.then(async () => {
          await Bun.sleep(1);
          if (refusals.shift()) throw new RingyardError("SYSTEM", "no");
          const memory = captures.map((it) => it.memory);
          expect(gone().filter((address) => memory.includes(address))).toEqual([]);
          ran.push(memory);
        });
        tail = run.catch(() => undefined);
        return run;
      },
    },
    dispatcher: { workers: 1, counters: () => new Float64Array(COUNTER_COUNT) },
    rule: () => undefined,
    alone: (change) => change(),
    log: quiet,
  });
  const open = () => service.open({ what: { of: "drops" }, snap: 1 });
  const [a, b] = [await open(), await open()];
  // The third one fails when the end of the first one, which names it, was asked for.
  refusals.push(true);
  const c = failure(open());
  await a.close();
  expect(await c).toMatchObject({ code: "SYSTEM" });
  expect(gone()).toHaveLength(2);
  // One whose end fails takes nobody's place, and goes with what comes next.
  refusals.push(true);
  expect(await failure(b.close())).toMatchObject({ code: "SYSTEM" });
  const all = [];
  for (let n = 0; n < CAPTURES_MAX; n++) all.push(await open());
  expect(gone()).toHaveLength(3);
  for (const capture of all) await capture.close();
  expect(gone()).toHaveLength(3 + CAPTURES_MAX);
  expect(ran.at(-1)).toEqual([]);
  const closed = close.mock.contexts as TapMemory[];
  close.mockRestore();
  for (const memory of closed) unmap.call(memory);
});

test("a connection keeps nothing of a capture that was closed, and closes the others when it ends", async () => {
  const closed: number[] = [];
  let opened = 0;
  const calls = captureCalls({
    open: async () => {
      const number = ++opened;
      return {
        read: (): CaptureBatch => ({ records: new Uint8Array(), ports: [], lost: 0 }),
        close: async () => {
          closed.push(number);
          return { lost: 0, withoutFrame: {} };
        },
      };
    },
  });
  const connection = new AbortController();
  const listeners = () => getEventListeners(connection.signal, "abort").length;
  for (let n = 1; n <= 3; n++) await calls["capture.open"]({ of: "drops" }, connection.signal);
  expect(listeners()).toBe(3);
  for (const capture of [2, 1]) await calls["capture.close"]({ capture }, connection.signal);
  expect(listeners()).toBe(1);
  connection.abort();
  expect(closed).toEqual([2, 1, 3]);
  await calls["capture.open"]({ of: "drops" }, connection.signal);
  expect(closed).toEqual([2, 1, 3, 4]);
});
