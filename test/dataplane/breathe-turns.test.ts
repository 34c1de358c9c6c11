// Who is served when: lanes take turns in being first, and one whose frames have to be converted for their receivers waits for what that
// took. Lanes are stubs that note when they are asked.

import { afterEach, describe, expect, test } from "bun:test";
import { breatheOnce } from "../../src/dataplane/breathe.ts";
import { Fallback } from "../../src/dataplane/fallback.ts";
import { allocateFdb } from "../../src/dataplane/fdb-layout.ts";
import { MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "../../src/dataplane/shared.ts";
import { Tables } from "../../src/dataplane/tables.ts";
import { type Batch, MAX_FRAME, OFFLOAD_ALL } from "../../src/mem/batch.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { readNetHeader } from "../../src/virtio/net-header.ts";
import { BROADCAST, frame, mac, offloaded } from "../support/frames.ts";
import { pattern, spec4 } from "./offload/reference.ts";

const MEMORY_SIZE = 1 << 20;
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Put = (bytes: Uint8Array, header?: Uint8Array) => void;

/** A worker whose ports send, in each burst, the frames that `sends` has for them. */
function startWorker(sends: ((put: Put) => void)[]) {
  const windows = new WindowTable();
  const shared = SharedState.allocate(1);
  const tables = new Tables(windows, allocateFdb(1024), shared.control, shared, 0);
  const fallback = new Fallback(windows);
  const address = mapAnonymous(MEMORY_SIZE);
  const window = windows.add(address, MEMORY_SIZE);
  const asked: number[] = [];
  ends.push(() => {
    fallback.close();
    windows.remove(window);
    unmap(address, MEMORY_SIZE);
  });
  const put = (batch: Batch, at: number, bytes: Uint8Array, header: Uint8Array = new Uint8Array(12)) => {
    const i = batch.count++;
    batch.first[i] = batch.pool.count;
    batch.segments[i] = 1;
    batch.length[i] = bytes.length;
    const s = batch.pool.count++;
    batch.pool.window[s] = window;
    batch.pool.offset[s] = at;
    batch.pool.length[s] = bytes.length;
    windows.u8[window].set(bytes, at);
    expect(readNetHeader(new DataView(header.slice().buffer), 0, batch, i, OFFLOAD_ALL, false)).toBe(true);
  };
  for (const [port, send] of sends.entries()) {
    const lane: Lane = {
      ...{ wakeFd: -1, wakeEdge: false, delivers: true, accepts: 0 },
      fetch(batch) {
        asked.push(port);
        let at = 0;
        send((bytes, header) => {
          put(batch, at, bytes, header);
          at += bytes.length;
        });
        return batch.count;
      },
      deliver: (_batch, _list, count) => count,
      release() {},
      arm: () => false,
      disarm() {},
      close() {},
    };
    tables.set(port * MAX_PAIRS, lane, true);
    shared.control[SharedState.portWord(port, PORT_UP)] = 1;
    shared.control[SharedState.portWord(port, PORT_MAX_FRAME)] = MAX_FRAME;
  }
  const numbers = new Float64Array(64);
  return {
    /** A port's driver has its rings made anew. */
    reopen(port: number): void {
      const lane = tables.lane(port * MAX_PAIRS) as Lane;
      tables.clear(port * MAX_PAIRS);
      tables.set(port * MAX_PAIRS, lane, true);
    },
    /** The ports that were asked for frames in one breath, in their order. */
    breath(): number[] {
      asked.length = 0;
      breatheOnce(tables, fallback, numbers, false, false);
      return [...asked];
    },
  };
}

const nothing = () => {};

describe("in as many breaths as there are orders", () => {
  test.each([1, 2, 3, 5])("%d lanes are each first as often, and before one another as often", (count) => {
    const worker = startWorker(Array.from({ length: count }, () => nothing));
    const breaths = Array.from({ length: 2 * count }, () => worker.breath());
    const every = Array.from({ length: count }, (_, port) => port);
    for (const asked of breaths) expect(asked.toSorted()).toEqual(every);
    for (const port of every) {
      expect(breaths.filter(([first]) => first === port)).toHaveLength(2);
      for (const other of every.filter((each) => each !== port)) {
        const before = breaths.filter((asked) => asked.indexOf(port) < asked.indexOf(other));
        expect(before).toHaveLength(count);
      }
    }
  });

  test("none is asked where there is none", () => {
    expect(startWorker([]).breath()).toEqual([]);
  });
});

describe("a lane whose frames are cut for receivers", () => {
  const super4 = offloaded(BROADCAST, mac(66), spec4({ payload: pattern(40_000) }), 1400);
  const costly = (put: Put) => put(super4.bytes, super4.header);
  const cheap = (put: Put) => put(frame(BROADCAST, mac(1)));

  test("waits while others send, the longer the more of it there is", () => {
    const shares = [3, 6].map((ports) => {
      const others = Array.from({ length: ports - 2 }, () => nothing);
      const worker = startWorker([costly, cheap, ...others]);
      const breaths = Array.from({ length: 600 }, () => worker.breath());
      for (const asked of breaths) expect(asked).toContain(1);
      return breaths.filter((asked) => asked.includes(0)).length;
    });
    // Two receivers of 40 kB are 20 breaths' worth, five are 50.
    expect(shares).toEqual([Math.ceil(600 / 21), Math.ceil(600 / 51)]);
  });

  test.each([0, 1])("waits as long where port %d has its rings made anew all the time", (port) => {
    const worker = startWorker([costly, cheap, nothing]);
    const breaths = Array.from({ length: 210 }, () => {
      worker.reopen(port);
      return worker.breath();
    });
    expect(breaths.filter((asked) => asked.includes(0))).toHaveLength(10);
  });

  test("does not wait where nobody else has anything", () => {
    const worker = startWorker([costly, nothing, nothing]);
    const asked = Array.from({ length: 100 }, () => worker.breath()).filter((ports) => ports.includes(0));
    expect(asked).toHaveLength(50);
  });

  test("is as the others where receivers take its frames as they are", () => {
    const worker = startWorker([cheap, cheap]);
    for (let n = 0; n < 20; n++) expect(worker.breath().toSorted()).toEqual([0, 1]);
  });
});
