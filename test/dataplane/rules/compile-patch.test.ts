// Rules that come and go one after the other: tables that are changed in place decide as the interpreter does, and as tables that are
// made anew. Some rules have the match of another, so that chains grow and shrink, and what was hidden shows again.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileRules, RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { SPARES_MAX, TABLES_AT_SPARES } from "../../../src/dataplane/rules/compile-layout.ts";
import { interpret } from "../../../src/dataplane/rules/interpret.ts";
import {
  CLASS_IP4,
  CLASS_TCP,
  KEY_CLASS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import type { RuleProgram } from "../../../src/dataplane/rules/program.ts";
import { byRank, type Constraint, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { anyFrame, anyPort } from "../../support/random-frames.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { keyOf } from "./parsed.ts";
import { programFor, programOf, ranksFor } from "./program-answers.ts";

const RUNS = sized(400, 20_000);
const LONG_MS = 3_600_000;
/** However few rules there are, and however many of them change. */
const ALWAYS = { rulesMin: 0, partMax: Number.POSITIVE_INFINITY };

/** Rules that have been there or will be, some of them with the match of another; and which of them change, step by step. */
const anyHistory = fc.record({
  rules: anyRules(24),
  alike: fc.array(fc.tuple(fc.nat(23), fc.nat(23)), { maxLength: 8 }),
  steps: fc.array(fc.array(fc.nat(23), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 14 }),
  arrivals: fc.array(fc.record({ port: anyPort, frame: anyFrame }), { minLength: 1, maxLength: 10 }),
});

function withTwins(rules: readonly Rule[], alike: readonly (readonly [number, number])[]): Rule[] {
  const all = [...rules];
  for (const [to, from] of alike) {
    if (to < all.length && from < all.length) all[to] = { ...all[to], match: all[from].match };
  }
  return all;
}

function check(
  program: RuleProgram,
  rules: readonly Rule[],
  arrivals: readonly { port: number; frame: Uint8Array }[],
): number {
  let met = 0;
  for (const { port, frame } of arrivals) {
    const expected = interpret(rules, port, frame);
    const key = keyOf(frame, port);
    expect(["new", ranksFor(program, key)]).toEqual(["new", expected]);
    expect(["known", ranksFor(program, key)]).toEqual(["known", expected]);
    met += expected.length;
  }
  return met;
}

test(
  "any history of rules ends in tables that decide as the rules do",
  () => {
    const program = programFor([]);
    const fresh = programFor([]);
    let [met, patched, sameSource, spares] = [0, 0, 0, 0];
    fc.assert(
      fc.property(anyHistory, ({ rules, alike, steps, arrivals }) => {
        const all = withTwins(rules, alike);
        const active = new Set(all.filter((_, i) => i % 2 === 0));
        const compiler = new RuleCompiler(ALWAYS);
        let last = compiler.compile([...active]);
        for (const step of steps) {
          for (const index of step) {
            const rule = all[index];
            if (rule !== undefined && !active.delete(rule)) active.add(rule);
          }
          const now = [...active].sort(byRank);
          const compiled = compiler.compile(now);
          if (compiled.tables.buffer === last.tables.buffer) patched++;
          if (compiled.source === last.source) sameSource++;
          if (compiled.tables[TABLES_AT_SPARES] !== 0) spares++;
          last = compiled;
          program.swap(compiled.tables, compiled.source);
          met += check(program, now, arrivals);
        }
        const anew = compileRules([...active].sort(byRank));
        fresh.swap(anew.tables, anew.source);
        for (const { port, frame } of arrivals) {
          const key = keyOf(frame, port);
          expect(ranksFor(program, key)).toEqual(ranksFor(fresh, key));
        }
        // And what changes left behind goes, and nothing else.
        compiler.renew();
        const renewed = compiler.compile([...active].sort(byRank));
        expect(compiler.worn).toBe(false);
        program.swap(renewed.tables, renewed.source);
        check(program, [...active].sort(byRank), arrivals);
      }),
      { numRuns: RUNS },
    );
    // Where all was made anew each time, or none met a rule, this would say little.
    expect(patched).toBeGreaterThan(RUNS);
    expect(sameSource).toBeGreaterThan(RUNS / 2);
    expect(spares).toBeGreaterThan(RUNS / 2);
    expect(met).toBeGreaterThan(RUNS);
  },
  LONG_MS,
);

/** To an address of its own, in a network of `bits`; ids and so ranks go up. */
function target(id: number, bits: number, ...more: Constraint[]): Rule {
  const mask = (0xffffffffn << BigInt(32 - bits)) & 0xffffffffn;
  const network = { field: "ip4.dst" as const, oneOf: [{ value: (BigInt(id) << 12n) & mask, mask }] };
  return { id, priority: 7, match: [network, ...more], actions: [{ do: "drop" }] };
}

const keyTo = (id: number, dport = 0) => {
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_IP4 | CLASS_TCP;
  key[KEY_IP_DST] = id << 12;
  key[KEY_PORTS] = dport;
  return key;
};

test("a tuple grows with what comes, as far as it likes", () => {
  const compiler = new RuleCompiler();
  // Every third has a range to check, so that its slot has a chain.
  const range: Constraint = { field: "tcp.dport", oneOf: [{ low: 10n, high: 29n }] };
  const isTcp: Constraint = { field: "tcp", oneOf: [{ value: 1n, mask: 1n }] };
  const rule = (id: number) => target(id, 32, id % 3 === 0 ? range : isTcp);
  const rules = Array.from({ length: 300 }, (_, i) => rule(i + 1));
  const first = compiler.compile(rules);
  for (let id = 301; id <= 1500; id += 20) {
    for (let n = 0; n < 20; n++) rules.push(rule(id + n));
    expect(compiler.compile(rules).source).toBe(first.source);
  }
  const program = programOf(compiler.compile(rules));
  for (let id = 1; id <= 1500; id++) {
    expect(ranksFor(program, keyTo(id, 29))).toEqual([id - 1]);
    expect(ranksFor(program, keyTo(id, 30))).toEqual(id % 3 === 0 ? [] : [id - 1]);
  }
  expect(ranksFor(program, keyTo(1501, 29))).toEqual([]);
});

test("the best of a tuple goes together with rules before it", () => {
  const compiler = new RuleCompiler();
  const isTcp: Constraint = { field: "tcp", oneOf: [{ value: 1n, mask: 1n }] };
  const rules = Array.from({ length: 300 }, (_, i) => target(i + 1, 32, ...(i < 290 ? [] : [isTcp])));
  // The rank that the tuple's next best gets is below that of the one that went.
  const last = { ...target(0, 0), id: 400 };
  compiler.compile([...rules, last]);
  const left = [...rules.filter(({ id }) => id > 10 && id !== 291), last];
  const program = programOf(compiler.compile(left));
  expect(ranksFor(program, keyTo(292))).toEqual([left.findIndex(({ id }) => id === 292)]);
});

test("rules that come and go again and again do not fill the tables", () => {
  const compiler = new RuleCompiler();
  const rules = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const range: Constraint = { field: "tcp.dport", oneOf: [{ low: 10n, high: 29n }] };
  let size = compiler.compile(rules).tables.length;
  for (let n = 0; n < 400; n++) {
    const guests = [target(1, 32, range), target(2, 28), target(1000 + n, 32)].map((it, i) => ({
      ...it,
      id: 5000 + i,
    }));
    compiler.compile([...rules, ...guests]);
    const { length } = compiler.compile(rules).tables;
    if (n === 20) size = length;
    // Slots that say GONE are left behind when their tuple's are moved, once in hundreds of changes.
    expect(length).toBeLessThan(3 * size);
    if (compiler.worn) compiler.renew();
  }
});

test("without a pause for what they leave behind they do not fill them either", () => {
  const compiler = new RuleCompiler();
  const rules = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const size = compiler.compile(rules).tables.length;
  for (let n = 0; n < 2_000; n++) {
    // Of a new shape each time: a spare tuple that is given up.
    const { length } = compiler.compile([...rules, target(5000 + n, 1 + (n % 31))]).tables;
    expect(length).toBeLessThan(5 * size);
    compiler.compile(rules);
  }
});

test("tables that were just made are not worn, whatever their rules are", () => {
  for (const count of [1, 8, 13, 16, 17, 100]) {
    const rules = Array.from({ length: count }, (_, i): Rule => {
      const range = { low: BigInt(1000 + 3 * i), high: BigInt(5001 + 7 * i) };
      const match: Constraint[] = [{ field: "tcp.dport", oneOf: [range] }];
      return { id: i + 1, priority: 100 - (i % 50), match, actions: [{ do: "drop" }] };
    });
    const compiler = new RuleCompiler();
    compiler.compile(rules);
    expect([count, compiler.worn]).toEqual([count, false]);
  }
});

test("shapes that are new are spare tuples as far as there is room, and then part of the source", () => {
  const compiler = new RuleCompiler();
  const base = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const { source } = compiler.compile(base);
  const rules = [...base];
  for (let n = 0; n <= SPARES_MAX; n++) {
    expect(compiler.worn).toBe(n > 0);
    rules.push(target(1000 + 4096 * n, 31 - n));
    const compiled = compiler.compile(rules);
    expect([n, compiled.source === source]).toEqual([n, n < SPARES_MAX]);
    const program = programOf(compiled);
    for (let k = 0; k <= n; k++) expect(ranksFor(program, keyTo(1000 + 4096 * k))).toEqual([300 + k]);
  }
  expect(compiler.worn).toBe(false);
});

test("a rule of a shape of its own leaves the source as it was when it goes", () => {
  const compiler = new RuleCompiler();
  const base = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const { source } = compiler.compile(base);
  for (let n = 0; n < 3 * SPARES_MAX; n++) {
    const compiled = compiler.compile([...base, target(9000, 1 + (n % 31))]);
    expect(compiled.source).toBe(source);
    expect(ranksFor(programOf(compiled), keyTo(9000))).toEqual([300]);
    expect(compiler.compile(base).tables[TABLES_AT_SPARES]).toBe(0);
  }
});

test("a bit that no rule asked for is asked for in the functions, too", () => {
  const compiler = new RuleCompiler();
  const base = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const { source } = compiler.compile(base);
  const web = target(0, 32, { field: "tcp.dport", oneOf: [{ value: 80n, mask: 0xffffn }] });
  const compiled = compiler.compile([web, ...base.map((rule) => ({ ...rule }))]);
  expect(compiled.source).not.toBe(source);
  const again = new RuleCompiler();
  again.compile(base);
  const patched = again.compile([web, ...base]);
  expect(patched.source).not.toBe(source);
  const program = programOf(patched);
  for (const [dport, ranks] of [
    [80, [0]],
    [81, []],
    [80, [0]],
  ] as const) {
    expect(ranksFor(program, keyTo(0, dport))).toEqual([...ranks]);
  }
});

test("the broad cache tells flows apart by what a spare tuple looks at", () => {
  const compiler = new RuleCompiler();
  const network = (field: "ip4.src" | "ip4.dst", address: number, bits: number): Constraint => {
    const mask = (0xffffffffn << BigInt(32 - bits)) & 0xffffffffn;
    return { field, oneOf: [{ value: BigInt(address >>> 0) & mask, mask }] };
  };
  const base = Array.from({ length: 320 }, (_, i): Rule => {
    // Scattered over the half below 128.0.0.0. Whole addresses among them: all bits are asked for.
    const address = Math.imul(i + 1, 0x9e3779b1) >>> 1;
    const lengths = [16 + (i % 16), i % 16 === 15 ? 32 : 8 + (i % 16)];
    const match = [network("ip4.dst", address, lengths[0]), network("ip4.src", address, lengths[1])];
    return { id: i + 1, priority: 7, match, actions: [{ do: "drop" }] };
  });
  const { source } = compiler.compile(base);
  const spare = { ...base[0], id: 9000, match: [network("ip4.src", 0xc0000205, 32)] };
  const compiled = compiler.compile([...base, spare]);
  expect(compiled.source).toBe(source);
  const program = programOf(compiled);
  let broad = 0;
  const { broad: original } = program;
  program.broad = (p) => {
    const at = original(p);
    if (at >= 0) broad++;
    return at;
  };
  const keyFrom = (src: number, dst: number) => {
    const key = keyTo(dst);
    key[KEY_IP_SRC] = src | 0;
    return key;
  };
  for (const [src, ranks] of [
    [0xc0000204, []],
    [0xc0000205, [320]],
    [0xc0000206, []],
  ] as const) {
    for (let dst = 0; dst < 8; dst++) expect(ranksFor(program, keyFrom(src, 0x8f000 + dst))).toEqual([...ranks]);
  }
  expect(broad).toBeGreaterThan(12);
});

test("a rule that is refused changes nothing", () => {
  const compiler = new RuleCompiler();
  const base = Array.from({ length: 300 }, (_, i) => target(i + 1, 32));
  const { buffer } = compiler.compile(base).tables;
  const bad = target(9000, 32, { field: "tcp.dport", oneOf: [{ value: 1n << 20n, mask: 1n }] });
  expect(() => compiler.compile([...base, bad])).toThrow("not one of 16 bits");
  const compiled = compiler.compile([...base, target(700, 32)]);
  expect(compiled.tables.buffer).toBe(buffer);
  expect(ranksFor(programOf(compiled), keyTo(700))).toEqual([300]);
});
