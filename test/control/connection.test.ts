// One connection of the control socket by itself, over a socket that takes everything at once.

import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { Connection, LIMITS } from "../../src/control/connection.ts";
import { encodeFrame } from "../../src/control/frame.ts";
import { Rows } from "../../src/control/rows.ts";
import { until } from "../support/until.ts";

test("a client that takes a long answer as fast as it comes has others have their turns, and its end is the answer's", async () => {
  const MANY = 1_000_000;
  let made = 0;
  let freed = false;
  function* many(): Generator<number[]> {
    try {
      while (made < MANY) yield [made++];
    } finally {
      freed = true;
    }
  }
  const takesAll = { write: ({ length }: Uint8Array) => length, terminate() {} } as unknown as Socket<Connection>;
  const handle = async () => ({ rows: new Rows(many()) });
  const connection = new Connection(takesAll, { handle, limits: LIMITS, countRequest() {}, countError() {} });
  connection.receive(encodeFrame({ id: 1, op: "version", args: {} }));
  await until("some turns", () => made > 10_000);
  connection.close();
  await connection.settled();
  expect([made < MANY, freed]).toEqual([true, true]);
});
