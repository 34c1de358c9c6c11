// The messages of linux/vduse.h to and from bytes: each type, with the offsets written out here from the header once more.

import { describe, expect, test } from "bun:test";
import {
  needsNoWaiting,
  REQUEST_SIZE,
  RESPONSE_SIZE,
  readRequest,
  writeResponse,
} from "../../../src/ports/vduse/message.ts";

/** struct vduse_dev_request: type, id, four reserved words, then a union of 32 words. */
function request(type: number, id: number, ...words: number[]): DataView {
  const view = new DataView(new ArrayBuffer(REQUEST_SIZE));
  [type, id, 0, 0, 0, 0, ...words].forEach((word, n) => {
    view.setUint32(n * 4, word, true);
  });
  return view;
}

describe("a request", () => {
  test.each([
    ["GET_VQ_STATE", request(0, 7, 3), { id: 7, type: "get-vq-state", queue: 3 }],
    ["SET_STATUS", request(1, 8, 15), { id: 8, type: "set-status", status: 15 }],
    ["UPDATE_IOTLB", request(2, 9, 0, 0, 0xffffffff, 0xffffffff), { id: 9, type: "update-iotlb" }],
    ["SET_VQ_GROUP_ASID", request(3, 10, 2, 5), { id: 10, type: "set-vq-group-asid", group: 2, asid: 5 }],
    ["SET_VQ_READY", request(4, 11, 1, 1), { id: 11, type: "set-vq-ready", queue: 1, ready: true }],
    ["SET_VQ_READY 0", request(4, 12, 1, 0), { id: 12, type: "set-vq-ready", queue: 1, ready: false }],
    ["SUSPEND", request(5, 13), { id: 13, type: "suspend" }],
    ["a type of tomorrow", request(77, 0xffffffff), { id: 0xffffffff, type: "unknown", number: 77 }],
  ])("%s", (_name, bytes, read) => {
    expect(readRequest(bytes)).toEqual(read as ReturnType<typeof readRequest>);
  });

  test("is answered without waiting only where nothing is taken away", () => {
    const without = (view: DataView) => needsNoWaiting(readRequest(view));
    expect([1, 3, 11, 15, 128].map((status) => without(request(1, 1, status)))).toEqual(Array(5).fill(true));
    expect(
      [request(1, 1, 0), request(0, 1), request(2, 1), request(3, 1), request(5, 1), request(9, 1)].map(without),
    ).toEqual(Array(6).fill(false));
  });
});

describe("a response", () => {
  const view = new DataView(new ArrayBuffer(RESPONSE_SIZE));
  const halves = () => Array.from({ length: RESPONSE_SIZE / 2 }, (_, n) => view.getUint16(n * 2, true));
  const head = (id: number, result: number) => [id, 0, result, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const padded = (start: number[]) => [...start, ...Array(RESPONSE_SIZE / 2 - start.length).fill(0)];

  test("is 152 bytes of id and result", () => {
    expect([REQUEST_SIZE, RESPONSE_SIZE]).toEqual([152, 152]);
    for (let at = 0; at < RESPONSE_SIZE; at++) view.setUint8(at, 0xff);
    writeResponse(view, 5, true);
    expect(halves()).toEqual(padded(head(5, 0)));
    writeResponse(view, 6, false);
    expect(halves()).toEqual(padded(head(6, 1)));
  });

  test("tells where a split ring stands, or the four fields of a packed one", () => {
    writeResponse(view, 7, true, 1, { availIndex: 0xfedc });
    expect(halves()).toEqual(padded([...head(7, 0), 1, 0, 0xfedc]));
    const packed = { lastAvailCounter: 1, lastAvailIdx: 2, lastUsedCounter: 0, lastUsedIdx: 0x7fff };
    writeResponse(view, 8, true, 3, packed);
    expect(halves()).toEqual(padded([...head(8, 0), 3, 0, 1, 2, 0, 0x7fff]));
  });
});
