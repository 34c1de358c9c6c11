// The object form: the words of the text as keys, and mistakes that name the key.

import { describe, expect, test } from "bun:test";
import { formatRule } from "../../../src/control/rules/format-rule.ts";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { RuleObjectError, ruleFromObject, ruleSchema, ruleToObject } from "../../../src/control/rules/rule-object.ts";
import { RuleSyntaxError } from "../../../src/control/rules/syntax-error.ts";

const actions = ["drop"];

describe("an object and its text", () => {
  const cases: [text: string, object: object][] = [
    [
      "id 7 prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop",
      { id: 7, prio: 100, in: ["vm1"], ip: { dst: ["10.0.0.0/8"] }, tcp: { dport: [80, 443] }, actions },
    ],
    ["prio 1 drop", { prio: 1, actions }],
    [
      "prio 1 eth src 02:00:00:00:00:01 type arp,0x88b5 drop",
      { prio: 1, eth: { src: ["02:00:00:00:00:01"], type: ["arp", "0x88b5"] }, actions },
    ],
    ["prio 1 vlan any inner none drop", { prio: 1, vlan: "any", inner: "none", actions }],
    ["prio 1 vlan 10,20-30 drop", { prio: 1, vlan: [10, "20-30"], actions }],
    ["prio 1 vlan 10 pcp 3 inner pcp 4 drop", { prio: 1, vlan: { id: [10], pcp: [3] }, inner: { pcp: [4] }, actions }],
    [
      "prio 1 arp op request spa 10.0.0.0/24 drop",
      { prio: 1, arp: { op: ["request"], spa: ["10.0.0.0/24"] }, actions },
    ],
    ["prio 1 ip6 tcp none drop", { prio: 1, ip6: "any", tcp: "none", actions }],
    ["prio 1 tcp dport 443 flags syn,!ack drop", { prio: 1, tcp: { dport: [443], flags: ["syn", "!ack"] }, actions }],
    [
      "prio 1 meter web set vlan 10 pcp 1 log 1/100 forward a,b",
      { prio: 1, actions: ["meter web", "set vlan 10 pcp 1", "log 1/100", "forward a,b"] },
    ],
  ];
  test.each(cases)("%s", (text, object) => {
    expect(ruleToObject(parseRule(text)) as object).toEqual(object);
    expect(formatRule(ruleFromObject(object))).toBe(text);
  });
});

describe("other ways to write an object", () => {
  const cases: [object: unknown, text: string][] = [
    ["tcp dport 80 drop", "prio 1000 tcp dport 80 drop"],
    [{ rule: "tcp dport 80 drop" }, "prio 1000 tcp dport 80 drop"],
    [{ tcp: { dport: 80 }, actions: "drop" }, "prio 1000 tcp dport 80 drop"],
    [{ tcp: { dport: "80, 443 ,8000-8100" }, actions }, "prio 1000 tcp dport 80,443,8000-8100 drop"],
    [{ tcp: { dport: ["80,443", 8000] }, actions }, "prio 1000 tcp dport 80,443,8000 drop"],
    [{ in: "vm1,vm2", actions }, "prio 1000 in vm1,vm2 drop"],
    [{ id: "7", prio: "0x10", actions }, "id 7 prio 16 drop"],
    [{ vlan: 10, pcp: 3, actions }, "prio 1000 vlan 10 pcp 3 drop"],
    [{ pcp: "0-3", actions }, "prio 1000 vlan pcp 0-3 drop"],
    [{ vlan: "10,20", actions }, "prio 1000 vlan 10,20 drop"],
    [{ vlan: { pcp: 3, id: 10 }, actions }, "prio 1000 vlan 10 pcp 3 drop"],
    [{ vlan: true, inner: false, arp: {}, actions }, "prio 1000 vlan any inner none arp drop"],
    [{ vlan: {}, inner: {}, actions }, "prio 1000 vlan any inner any drop"],
    [{ tcp: { flags: "syn,!ack" }, actions }, "prio 1000 tcp flags syn,!ack drop"],
    [{ actions: "count set vlan 5 drop" }, "prio 1000 count set vlan 5 drop"],
    [{ actions: ["count log", "drop"] }, "prio 1000 count log drop"],
  ];
  test.each(cases)("%j", (object, text) => {
    expect(formatRule(ruleFromObject(object))).toBe(text);
  });
});

describe("a mistake", () => {
  const cases: [object: unknown, path: string, line: string][] = [
    [5, "", "rule: expected a table, or the text of a rule, found 5"],
    [null, "", "rule: expected a table, or the text of a rule, found null"],
    [["drop"], "", 'rule: expected a table, or the text of a rule, found ["drop"]'],
    [{ rule: 5 }, "rule", "rule: rule: expected the text of a rule, found 5"],
    [{ rule: "drop", id: 5 }, "id", 'rule: id: "id" stands beside the text of the rule: write it into the text'],
    [
      { tpc: {}, actions },
      "tpc",
      'rule: tpc: unknown key "tpc": did you mean tcp? known: actions, arp, eth, icmp, icmp6, id, in, inner, ip, ip6, pcp, prio, sctp, tcp, udp, vlan',
    ],
    [
      { tcp: { dprot: 80 }, actions },
      "tcp.dprot",
      'rule: tcp.dprot: unknown key "dprot": did you mean dport? known: dport, flags, sport',
    ],
    [{ tcp: 80, actions }, "tcp", 'rule: tcp: expected "any", "none" or a table of sport, dport, flags, found 80'],
    [{ eth: 80, actions }, "eth", "rule: eth: expected a table of src, dst, type, found 80"],
    [{ eth: true, actions }, "eth", "rule: eth: eth alone says nothing: write one of src, dst, type behind it"],
    [{ vlan: null, actions }, "vlan", 'rule: vlan: expected "any", "none", VLAN ids or a table of id, pcp, found null'],
    [
      { tcp: { dport: {} }, actions },
      "tcp.dport",
      "rule: tcp.dport: expected a word, a number or a list of them, found {}",
    ],
    [
      { tcp: { dport: [] }, actions },
      "tcp.dport",
      "rule: tcp.dport: expected a word, a number or a list of them, found []",
    ],
    [{ in: "", actions }, "in", 'rule: in: expected a word, a number or a list of them, found ""'],
    [
      { tcp: { dport: [80, 99999] }, actions },
      "tcp.dport.1",
      'rule: tcp.dport.1: "99999" is not a port from 0 to 65535: write for example 80,443 or 8000-8100',
    ],
    [
      { tcp: { dport: 1.5 }, actions },
      "tcp.dport",
      'rule: tcp.dport: "1.5" is not a port from 0 to 65535: write for example 80,443 or 8000-8100',
    ],
    [
      { vlan: 4095, actions },
      "vlan",
      'rule: vlan: "4095" is not a VLAN id from 0 to 4094: write for example 10 or 10,20-30',
    ],
    [{ prio: -1, actions }, "prio", 'rule: prio: "-1" is not a priority from 0 to 65535: write for example 100'],
    [
      { in: ["vm1 drop"], actions },
      "in.0",
      'rule: in.0: "vm1 drop" is not the name of a port: write 1 to 32 letters, digits, _ . -',
    ],
    [
      { tcp: {}, udp: {}, actions },
      "udp",
      "rule: udp: udp and tcp never match the same frame: leave one out, or make two rules",
    ],
    [{ tcp: {} }, "actions", "rule: actions: the rule lacks an action: end it with allow, drop or another"],
    [{ actions: [] }, "actions", "rule: actions: the rule lacks an action: end it with allow, drop or another"],
    [{ actions: 5 }, "actions", 'rule: actions: expected a list of actions such as ["drop"], found 5'],
    [{ actions: ["drop", "count"] }, "actions.1", "rule: actions.1: drop ends a rule: write drop last"],
    [{ actions: ["set", "vlan 5"] }, "actions.0", "rule: actions.0: set lacks its value: write set vlan 10"],
    [
      { actions: ["tcp drop"] },
      "actions.0",
      'rule: actions.0: "tcp" stands behind an action: write what shall match first, then the actions',
    ],
  ];
  test.each(cases)("%j", (object, path, line) => {
    try {
      ruleFromObject(object);
    } catch (error) {
      if (!(error instanceof RuleObjectError)) throw error;
      expect(error.code).toBe("BAD_RULE");
      expect(error.advice).toBe(line);
      expect(error.path.join(".")).toBe(path);
      return;
    }
    throw new Error("accepted");
  });

  test("in a text inside points at the word there", () => {
    for (const value of ["tcp dprot 80 drop", { rule: "tcp dprot 80 drop" }]) {
      expect(() => ruleFromObject(value)).toThrow(RuleSyntaxError);
      expect(() => ruleFromObject(value)).toThrow('rule: column 5: unknown word "dprot"');
    }
  });

  test("a list that is too long", () => {
    const dport = Array.from({ length: 257 }, (_, port) => port);
    expect(() => ruleFromObject({ tcp: { dport }, actions })).toThrow("rule: tcp.dport: a list of more than 256");
    expect(() => ruleFromObject({ tcp: { dport: dport.join() }, actions })).toThrow("a list of more than 256");
  });

  test("a value nested deeper than a line could be made of", () => {
    const deep = JSON.parse("[".repeat(100_000) + "]".repeat(100_000));
    expect(() => ruleFromObject({ tcp: { dport: deep }, actions })).toThrow(
      "rule: tcp.dport: expected a word, a number or a list of them, found something nested too deep",
    );
  });

  test("a key that no plain object can have", () => {
    const object = JSON.parse('{"__proto__": {"tcp": {}}, "actions": ["drop"]}');
    expect(() => ruleFromObject(object)).toThrow('unknown key "__proto__"');
  });
});

describe("as a part of a larger schema", () => {
  test("a rule is read", () => {
    expect(ruleSchema.parse({ tcp: {}, actions })).toEqual(parseRule("tcp drop"));
    expect(ruleSchema.array().parse(["tcp drop"])).toEqual([parseRule("tcp drop")]);
  });

  test("a mistake is an issue with its path", () => {
    const issues = (value: unknown) =>
      ruleSchema
        .array()
        .safeParse(value)
        .error?.issues.map(({ path, message }) => [path, message]);
    expect(issues([{ tcp: { dport: [99999] }, actions }])).toEqual([
      [[0, "tcp", "dport", 0], '"99999" is not a port from 0 to 65535: write for example 80,443 or 8000-8100'],
    ]);
    expect(issues(["drop", { rule: "tcp" }, "udp dropp"])).toEqual([
      [[1, "rule"], "column 4: the rule lacks an action: end it with allow, drop or another"],
      [[2], 'column 5: unknown word "dropp": did you mean drop?'],
    ]);
  });
});
