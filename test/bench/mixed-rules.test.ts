// The rules that the bench measures with: the same list for both systems, or the comparison says nothing; and one that the bench's own
// frames pass, or it would measure drops.

import { describe, expect, test } from "bun:test";
import { flowFrame, macOf, setFlow } from "../../bench/flow-frames.ts";
import { maskedRange, mixedRules, openFlowFile, ringyardFile, SEED } from "../../bench/mixed-rules.ts";
import { CLIENT_MACS } from "../../bench/peers/system.ts";
import type { NamedConstraint } from "../../src/control/rules/named-rule.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { resolveRule } from "../../src/control/rules/resolve.ts";
import { RuleCompiler } from "../../src/dataplane/rules/compile.ts";
import { interpret } from "../../src/dataplane/rules/interpret.ts";
import { sized } from "../support/scale.ts";
import { type Asked, ask, askedByFlow, portsOf } from "./openflow.ts";

const COUNT = sized(2_000, 10_000);
const rules = mixedRules(COUNT, SEED);
const resolved = rules.map(({ text }, k) =>
  resolveRule({ ...parseRule(text), id: k + 1 }, { port: (name) => Number(name.slice(1)), meter: () => undefined }),
);

/** What the flows of one rule ask together. */
function askedByFlows(flows: readonly string[]): Asked {
  const asked: Asked = new Map();
  for (const flow of flows) askedByFlow(asked, flow);
  return asked;
}

/** What a rule of ringyard asks. */
function askedByRule(match: readonly NamedConstraint[]): Asked {
  const asked: Asked = new Map();
  for (const constraint of match) {
    for (const value of constraint.oneOf) {
      if (typeof value === "string") ask(asked, constraint.field, value);
      else if ("low" in value) {
        for (let port = value.low; port <= value.high; port++) ask(asked, constraint.field, `${port}`);
      } else if (constraint.field.endsWith("port")) ask(asked, constraint.field, `${value.value}`);
      else ask(asked, constraint.field, `${value.value}/${value.mask}`);
    }
  }
  return asked;
}

test("each rule and its flows ask the same of a frame", () => {
  for (const { text, flows } of rules) {
    expect([text, askedByFlows(flows)]).toEqual([text, askedByRule(parseRule(text).match)]);
  }
});

test("of a rule's flows, only one field differs, so that together they are the rule and no more", () => {
  for (const { text, flows } of rules) {
    const columns = flows[0].split(",").map((_, k) => new Set(flows.map((flow) => flow.split(",")[k])));
    expect(columns.filter(({ size }) => size > 1).length, text).toBeLessThanOrEqual(1);
  }
});

test("priorities and actions are the same, and no two rules have one priority", () => {
  const priorities = new Set<number>();
  for (const { text, flows } of rules) {
    const { priority, actions } = parseRule(text);
    priorities.add(priority);
    const last = actions.at(-1)?.do as string;
    const [table, action] = { continue: [0, "resubmit(,1)"], allow: [1, "NORMAL"], drop: [1, "drop"] }[
      last
    ] as string[];
    for (const flow of flows) {
      expect(flow).toStartWith(`table=${table},priority=${priority},`);
      expect(flow).toEndWith(`,actions=${action}`);
    }
  }
  expect(priorities.size).toBe(COUNT);
});

test("no rule that goes on has a flow in table 0 behind one of table 1: the order of tables is that of priorities", () => {
  const tables = rules.map(({ flows }) => Number(flows[0][6]));
  expect(tables).toEqual(tables.toSorted());
});

test("a range is cut into blocks that are all of it", () => {
  for (const [low, high] of [
    [0, 65535],
    [1, 65534],
    [2000, 2009],
    [5000, 5999],
    [80, 80],
  ]) {
    const ports = maskedRange(low, high).flatMap(portsOf).map(Number);
    expect(ports).toEqual(Array.from({ length: high - low + 1 }, (_, k) => low + k));
  }
});

describe("no drop is met by", () => {
  const frames = [0, 1].map((port) => flowFrame(64, macOf(CLIENT_MACS[port]), macOf(CLIENT_MACS[1 - port])));

  /** How many frames of `count` from either port met a rule that counts, and one that allows. */
  function meet(count: number, become: (frame: Uint8Array, n: number) => void) {
    const met = { counted: 0, allowed: 0 };
    for (const [port, frame] of frames.entries()) {
      for (let n = 0; n < count; n++) {
        become(frame, n);
        for (const rank of interpret(resolved, port, frame)) {
          const action = resolved[rank].actions.at(-1)?.do;
          expect(action, rules[rank].text).not.toBe("drop");
          met[action === "allow" ? "allowed" : "counted"]++;
        }
      }
    }
    return met;
  }

  test("testpmd's frames, of which half are counted, an eighth allowed before the end", () => {
    // Sources 198.18.0.3, 198.18.1.3, …; both ports 9.
    const met = meet(64, (frame, n) => {
      frame.set([198, 18, n * 4, 3], 26);
      frame.set([0, 9, 0, 9], 34);
    });
    expect(met).toEqual({ counted: 64, allowed: 16 });
  });

  test("ours, of which some are counted, some allowed", () => {
    const count = 100;
    const met = meet(count, (frame, n) => setFlow(new Uint16Array(frame.buffer), 0, n * 77_777));
    for (const frames of [met.counted, met.allowed]) {
      expect(frames).toBeGreaterThan(0);
      expect(frames).toBeLessThan(count);
    }
  });
});

test("flows do not repeat, and neighbours differ", () => {
  const halves = new Uint16Array(flowFrame(64, macOf(CLIENT_MACS[0]), macOf(CLIENT_MACS[1])).buffer);
  const seen = new Set<string>();
  for (let n = 0; n < 50_000; n++) {
    setFlow(halves, 0, n);
    const bytes = new Uint8Array(halves.buffer);
    expect(bytes[26]).toBe(198);
    expect(bytes[27] >> 1).toBe(18 >> 1);
    seen.add(bytes.subarray(26, 36).join());
  }
  expect(seen.size).toBe(50_000);
});

test("10,000 rules have about as many shapes as such lists have", () => {
  const shapes = new Set<string>();
  for (const { text } of mixedRules(10_000, SEED)) {
    const kinds = (oneOf: NamedConstraint["oneOf"]) =>
      oneOf.map((value) => (typeof value === "string" ? "port" : "mask" in value ? value.mask : "range"));
    shapes.add(
      parseRule(text)
        .match.map(({ field, oneOf }) => `${field} ${[...new Set(kinds(oneOf))]}`)
        .join(),
    );
  }
  expect(shapes.size).toBeGreaterThan(250);
  expect(shapes.size).toBeLessThan(350);
});

test("a seed says all: the same list for the same, another for another, all of it compiles", () => {
  expect(ringyardFile(mixedRules(100, 1))).toBe(ringyardFile(mixedRules(100, 1)));
  expect(ringyardFile(mixedRules(100, 1))).not.toBe(ringyardFile(mixedRules(100, 2)));
  expect(openFlowFile(rules).split("\n").length).toBeGreaterThan(COUNT);
  expect(new RuleCompiler().compile(resolved).tables.length).toBeGreaterThan(COUNT);
});
