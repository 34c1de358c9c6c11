// When an address counts as flapping: five moves in ten seconds, said once a minute, each VLAN by itself.

import { expect, test } from "bun:test";
import { FlapWatch } from "../../src/control/flapping.ts";
import type { Move } from "../../src/dataplane/fdb-moves.ts";

const MAC = "02:00:00:00:00:01";

/** A watch, and the moves that it will be told of next. */
function watched(): { watch: FlapWatch; moves: Move[] } {
  const moves: Move[] = [];
  return { watch: new FlapWatch({ take: () => moves.splice(0) }), moves };
}

/** Moves between two ports in this second. */
function moves(count: number, second: number, other: Partial<Move> = {}): Move[] {
  return Array.from({ length: count }, (_, turn) => {
    const [from, to] = turn % 2 === 0 ? [4, 2] : [2, 4];
    return { mac: MAC, vid: 0, from, to, second, ...other };
  });
}

test("four moves are none, the fifth within ten seconds is", () => {
  const { watch, moves: next } = watched();
  next.push(...moves(4, 100));
  expect(watch.look(100)).toEqual([]);
  next.push(...moves(1, 109));
  const flap = { mac: MAC, vid: 0, ports: [2, 4], moves: 5 };
  expect(watch.look(109)).toEqual([flap]);
  expect(watch.flapping()).toEqual([flap]);
  // The first four are ten seconds old.
  expect([watch.look(110), watch.flapping()]).toEqual([[], []]);
});

test("moves that are spread over more than ten seconds are none, however many", () => {
  const { watch, moves: next } = watched();
  for (let second = 0; second < 100; second += 3) {
    next.push(...moves(1, second));
    expect(watch.look(second)).toEqual([]);
  }
});

test("an address is said to flap once a minute while it does, and listed all the time", () => {
  const { watch, moves: next } = watched();
  const said: number[] = [];
  for (let second = 0; second < 130; second++) {
    next.push(...moves(2, second));
    if (watch.look(second).length > 0) said.push(second);
    expect(watch.flapping()).toHaveLength(second < 2 ? 0 : 1);
  }
  expect(said).toEqual([2, 62, 122]);
});

test("each VLAN's stations are their own, and ports are those of the moves", () => {
  const { watch, moves: next } = watched();
  next.push(...moves(4, 1, { vid: 10 }), ...moves(4, 1, { vid: 20 }), ...moves(1, 1, { vid: 20, from: 9 }));
  expect(watch.look(1)).toEqual([{ mac: MAC, vid: 20, ports: [2, 4, 9], moves: 5 }]);
});

test("of a port that goes nothing is left, looked at or not; what moved between others is", () => {
  const { watch, moves: next } = watched();
  next.push(...moves(5, 1), ...moves(5, 1, { from: 2, to: 3 }));
  const other = "02:00:00:00:00:02";
  next.push(...moves(6, 1, { mac: other }));
  watch.look(1);
  expect(watch.flapping().map(({ ports }) => ports)).toEqual([
    [2, 3, 4],
    [2, 4],
  ]);
  next.push(...moves(9, 2), ...moves(1, 2, { from: 3, to: 2 }));
  watch.forget(4);
  const left = [{ mac: MAC, vid: 0, ports: [2, 3], moves: 6 }];
  expect(watch.flapping()).toEqual(left);
  expect([watch.look(3), watch.flapping()]).toEqual([[], left]);
});
