// What the control thread makes of probes that came back and of ports at their limit, without a dataplane: words and events are the
// test's, and so are clock and turns.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { PortWatch } from "../../../src/control/policy/port-watch.ts";
import { EVENT_MAC_LIMIT } from "../../../src/dataplane/bridge/events.ts";
import { PROBES_SIZE, Probes } from "../../../src/dataplane/bridge/loop-guard.ts";
import { NO_POLICY, PORT_DEFAULTS, type PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { until } from "../../support/until.ts";

const [A, B, C] = [1, 2, 7];
const NAMES = new Map([
  [A, "a"],
  [B, "b"],
  [C, "c"],
]);

let nowMs: number;
let probes: Probes;
let sent: { port: number; frame: Uint8Array }[];
let forgotten: (readonly number[])[];
let warnings: string[];
let watch: PortWatch;
let drained: number;

/** Over the words, the clock and the ports of the test. */
function newWatch(drain: () => void): PortWatch {
  const named = (name: string) => ({ spec: { name }, block() {}, unblock() {} });
  return new PortWatch({
    nowMs: () => nowMs,
    port: (index) => (NAMES.has(index) ? named(NAMES.get(index) as string) : undefined),
    log: { info() {}, error() {}, warn: (facts, message) => warnings.push(`${facts.port}: ${message}`) },
    drain,
    probes: () => probes,
    delivers: (index) => watch.blocks.reason(index) === undefined,
    send: async (port, frame) => void sent.push({ port, frame }),
    forget: (ports) => forgotten.push(ports),
  });
}

function policy(ports: Record<number, Partial<PortPolicy>>): void {
  const listed = Object.entries(ports).map(([port, changes]) => ({ ...PORT_DEFAULTS, ...changes, port: Number(port) }));
  watch.setPolicy({ ...NO_POLICY, ports: listed });
}

const blocked = () => [A, B, C].filter((index) => watch.blocks.reason(index) !== undefined);

beforeEach(() => {
  [nowMs, sent, forgotten, warnings, drained] = [0, [], [], [], 0];
  probes = new Probes(new ArrayBuffer(PROBES_SIZE), 0);
  crypto.getRandomValues(probes.tokens);
  watch = newWatch(() => drained++);
});
afterEach(() => watch.stop());

test("the port where a probe came in is blocked, and what both had learned is forgotten", () => {
  policy({ [A]: { loopGuard: true }, [B]: { loopGuard: true } });
  probes.seen[B] = 1 + A;
  watch.tick();
  expect(blocked()).toEqual([B]);
  expect(forgotten).toEqual([[B, A]]);
});

test("and forgotten once more, when what was in the loop has arrived", () => {
  policy({ [A]: { loopGuard: true }, [B]: { loopGuard: true } });
  probes.seen[B] = 1 + A;
  for (let turn = 0; turn < 4; turn++) watch.tick();
  expect(forgotten).toEqual([
    [B, A],
    [B, A],
  ]);
  for (let turn = 0; turn < 9; turn++) watch.tick();
  expect(forgotten).toHaveLength(2);
});

test("of two ports that hear each other one is blocked, whenever the other's probe arrives", () => {
  policy({ [A]: { loopGuard: true }, [B]: { loopGuard: true } });
  [probes.seen[A], probes.seen[B]] = [1 + B, 1 + A];
  watch.tick();
  expect(blocked()).toEqual([A]);
  // One that was under way when A was blocked.
  probes.seen[B] = 1 + A;
  watch.tick();
  expect(blocked()).toEqual([A]);
});

test("a port that hears itself is blocked", () => {
  policy({ [A]: { loopGuard: true } });
  probes.seen[A] = 1 + A;
  watch.tick();
  expect(blocked()).toEqual([A]);
});

test("a port that is not guarded is not blocked, but named, once a minute", () => {
  policy({ [A]: { loopGuard: true } });
  const heard = () => {
    probes.seen[C] = 1 + A;
    watch.tick();
  };
  heard();
  heard();
  expect(blocked()).toEqual([]);
  expect(warnings).toEqual(["c: a loop: a probe of the loop guard came in at a port that is not guarded"]);
  nowMs += 60_000;
  heard();
  expect(warnings).toHaveLength(2);
});

test("probes leave by guarded ports that are up, every other turn, each with its own token", () => {
  policy({ [A]: { loopGuard: true }, [B]: { loopGuard: true }, [C]: { isolated: true } });
  probes.seen[B] = 1 + A;
  watch.tick();
  expect(sent.map(({ port }) => port)).toEqual([A]);
  watch.blocks.release(B);
  watch.tick();
  expect(sent).toHaveLength(1);
  watch.blocks.release(A);
  sent.length = 0;
  return Promise.resolve().then(() => {
    watch.tick();
    expect(sent.map(({ port }) => port)).toEqual([A, B]);
    for (const { port, frame } of sent) {
      expect([...frame.subarray(0, 6)]).toEqual([0x03, 0x72, 0x79, 0, 0, 1]);
      expect([frame[6] & 3, frame[11]]).toEqual([2, port]);
      expect([...frame.subarray(12, 15)]).toEqual([0x88, 0xb5, port]);
      const token = new Uint8Array(probes.tokens.buffer, port * 16, 16);
      expect([...frame.subarray(16, 32)]).toEqual([...token]);
    }
    expect(sent[0].frame.subarray(6, 11)).toEqual(sent[1].frame.subarray(6, 11));
  });
});

test("a port at its limit of addresses is blocked where its policy says so, and what it had learned is forgotten", () => {
  policy({ [A]: { limitAction: "shutdown" }, [B]: { limitAction: "drop" } });
  watch.onEvent(EVENT_MAC_LIMIT, Int32Array.of(B));
  watch.onEvent(EVENT_MAC_LIMIT + 1, Int32Array.of(A));
  expect(blocked()).toEqual([]);
  watch.onEvent(EVENT_MAC_LIMIT, Int32Array.of(A));
  expect(blocked()).toEqual([A]);
  expect(watch.blocks.info(A)).toEqual({ blocked: "mac-limit", retryS: 300, blocks: 1 });
  expect(forgotten).toEqual([[A]]);
});

test("a policy that does not ask for it any more ends a block", () => {
  policy({ [A]: { loopGuard: true }, [B]: { limitAction: "shutdown" } });
  probes.seen[A] = 1 + A;
  watch.tick();
  watch.onEvent(EVENT_MAC_LIMIT, Int32Array.of(B));
  expect(blocked()).toEqual([A, B]);
  policy({ [A]: { loopGuard: true } });
  expect(blocked()).toEqual([A]);
  policy({});
  expect(blocked()).toEqual([]);
});

test("what came back while nobody was guarded is not held against a port", () => {
  probes.seen[A] = 1 + B;
  policy({ [A]: { loopGuard: true } });
  watch.tick();
  expect(blocked()).toEqual([]);
});

test("a port's turn comes again by itself", () => {
  policy({ [A]: { loopGuard: true, recoverS: 5 } });
  probes.seen[A] = 1 + A;
  watch.tick();
  nowMs = 4_999;
  watch.tick();
  expect(blocked()).toEqual([A]);
  nowMs = 5_000;
  watch.tick();
  expect(blocked()).toEqual([]);
});

test("it looks by itself while a port may be blocked, and no longer", async () => {
  policy({ [B]: { limitAction: "shutdown" } });
  await until("a look", () => drained > 0);
  policy({ [B]: { limitAction: "drop" } });
  const before = drained;
  // A second one, as a clock.
  let looks = 0;
  const other = newWatch(() => looks++);
  other.setPolicy({ ...NO_POLICY, ports: [{ ...PORT_DEFAULTS, port: C, loopGuard: true }] });
  await until("three looks", () => looks >= 3);
  other.stop();
  expect(drained).toBe(before);
});
