// The latency client's meter over ways whose times are known: what a pause costs, and what a loss.

import { expect, test } from "bun:test";
import { LOST_NS, maximum, open, paced } from "../../bench/peers/latency-meter.ts";
import { LIMIT, type Trip } from "../../bench/peers/latency-trip.ts";

const PER_SECOND = 20_000;
const COUNT = 4_000;
const PAUSE_MS = 40;
const TURN_NS = 100_000;

/** A way that brings each frame home in the next turn, but those that `loses` names. `before` a turn anything may happen. */
class KnownTrip implements Trip {
  readonly home = new Int32Array(LIMIT);
  readonly sent: number[] = [];
  private unseen: number[] = [];
  most = 0;

  constructor(
    private readonly loses: (nth: number) => boolean = () => false,
    private readonly before: (sent: number) => void = () => {},
  ) {}

  send(n: number): void {
    this.unseen.push(n);
    this.sent.push(n);
  }

  flush(): void {}

  turn(): number {
    this.before(this.sent.length);
    this.most = Math.max(this.most, this.unseen.length);
    const home = this.unseen.splice(0).filter((n) => !this.loses(n - this.sent[0]));
    this.home.set(home);
    return home.length;
  }

  check(): void {}
}

function pacedTimes(trip: Trip, count: number): Uint32Array {
  const times = new Uint32Array(count);
  paced(trip, PER_SECOND, times);
  return times;
}

/** Runs `use` by another clock. */
function timedBy<T>(clock: () => number, use: () => T): T {
  const nanoseconds = Bun.nanoseconds;
  Bun.nanoseconds = clock;
  try {
    return use();
  } finally {
    Bun.nanoseconds = nanoseconds;
  }
}

test("frames that a pause kept from leaving count it, each as much as it had to wait", () => {
  let paused = false;
  const trip = new KnownTrip(undefined, (sent) => {
    if (paused || sent < COUNT / 2) return;
    paused = true;
    for (const until = performance.now() + PAUSE_MS; performance.now() < until; );
  });
  const times = pacedTimes(trip, COUNT);
  // Half of those that were meant to leave within the pause waited for half of it and longer.
  const waited = times.filter((time) => time >= (PAUSE_MS / 2) * 1e6).length;
  expect(waited).toBeGreaterThanOrEqual((PER_SECOND * PAUSE_MS) / 1000 / 2 - 1);
  expect(Math.max(...times)).toBeGreaterThanOrEqual((PAUSE_MS - 1) * 1e6);
  expect(trip.most).toBeLessThanOrEqual(LIMIT);
});

test("a frame that does not come home has no time, and the others go on", () => {
  // More than may be under way at a time.
  const lost = LIMIT * 2;
  const times = pacedTimes(new KnownTrip((nth) => nth % ((COUNT / lost) | 0) === 0), COUNT);
  const missing = times.filter((time) => time === 0).length;
  expect(missing).toBeGreaterThanOrEqual(lost);
  expect(missing).toBeLessThan(COUNT / 2);
});

test("a frame that takes longer than 32 bits hold is as late as a lost one", () => {
  let clock = 0;
  const trip = new KnownTrip(undefined, () => {
    clock += 5e9;
  });
  const times = timedBy(
    () => (clock += 1000),
    () => pacedTimes(trip, 1),
  );
  expect([...times]).toEqual([LOST_NS]);
});

test("strangers of the measurement before do not count", () => {
  const trip = new KnownTrip();
  pacedTimes(trip, 10);
  const old = trip.sent[0];
  let mixed = false;
  const next = new KnownTrip(undefined, () => {});
  const turn = next.turn.bind(next);
  next.turn = () => {
    const home = turn();
    if (home > 0 && !mixed) [mixed, next.home[0]] = [true, old];
    return home;
  };
  expect([...pacedTimes(next, 10)].filter((time) => time === 0)).toHaveLength(1);
});

test("the most is what comes home, however many frames are lost", () => {
  // LIMIT frames come home in each turn, and all time passes in turns.
  const most = (LIMIT * 1e9) / TURN_NS;
  const measured = (loses: (nth: number) => boolean) => {
    let clock = 0;
    const trip = new KnownTrip(loses, () => {
      clock += TURN_NS;
    });
    return timedBy(
      () => clock,
      () => maximum(trip, 1),
    );
  };
  const lossless = measured(() => false);
  // Of those that are meant to leave at once, the first has a turn for itself.
  expect(lossless).toBeGreaterThan(0.99 * most);
  expect(lossless).toBeLessThanOrEqual(most);
  // A way that loses all of its first frames opens again, in the first half, which is not measured, and is as fast then.
  expect(measured((nth) => nth < LIMIT)).toBe(lossless);
});

test("a way that brings nothing home is said to", () => {
  let clock = 0;
  const opening = () =>
    timedBy(
      () => (clock += 1e8),
      () => open(new KnownTrip(() => true)),
    );
  expect(opening).toThrow("no frame comes back");
});
