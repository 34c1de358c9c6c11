// A sender that changes a frame's addresses while it is classified: the frame is still one of its length.

import { expect, test } from "bun:test";
import { classify } from "../../src/dataplane/classify.ts";
import { allocateFdb } from "../../src/dataplane/fdb-layout.ts";
import { SharedState } from "../../src/dataplane/shared.ts";
import { Tables } from "../../src/dataplane/tables.ts";
import { VERDICT_FLOOD } from "../../src/dataplane/verdict.ts";
import { WindowTable } from "../../src/mem/window.ts";
import { mac } from "../support/frames.ts";

test("a frame whose addresses change between two reads keeps its length, and its first verdict", () => {
  const windows = new WindowTable();
  const shared = SharedState.allocate(1);
  const tables = new Tables(windows, allocateFdb(1024), shared.control, shared, 0);
  const bytes = new Uint8Array([...mac(2), ...mac(1), 8, 0]);
  const view = new DataView(bytes.buffer);
  const read = view.getInt32.bind(view);
  view.getInt32 = (at, littleEndian) => {
    const word = read(at, littleEndian);
    if (at === 0) bytes[5]++;
    return word;
  };
  windows.view[0] = view;
  const { batch } = tables;
  batch.count = 1;
  batch.length[0] = 9000;
  classify(tables, batch, 0);
  expect(bytes[5]).toBeGreaterThan(3);
  expect(tables.longest).toBe(9000);
  expect(batch.verdict[0]).toBe(VERDICT_FLOOD);
});
