// `rule test`: which constraint of a rule a frame fails, and what it has there.

import { expect, test } from "bun:test";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { testRule } from "../../src/control/rules/rule-test.ts";
import type { FrameSample } from "../../src/control/rules/rules-api.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ""), "hex"));
const ETHERNET = "020000000002 020000000001";
/** 10.0.0.1:4000 to 10.1.2.3:443, SYN. */
const IP = "4500 0028 0000 0000 4006 0000 0a000001 0a010203";
const TCP = "0fa0 01bb 00000000 00000000 5002 0000 0000 0000";

const PLAIN = hex(`${ETHERNET} 0800 ${IP} ${TCP}`);
const TAGGED = hex(`${ETHERNET} 8100 a00a 0800 ${IP} ${TCP}`);

function failed(rule: string, sample: FrameSample): string[] {
  const { matches, constraints } = testRule(parseRule(`${rule} drop`), { name: "vm1", index: 3 }, sample);
  const fails = constraints.filter(({ holds }) => !holds);
  expect(matches).toBe(fails.length === 0);
  return fails.map(({ text, found }) => `${text} | ${found}`);
}

const cases: [string, Uint8Array, string[]][] = [
  ["", PLAIN, []],
  ["in vm1,vm2 ip src 10.0.0.0/24 dst 10.1.0.0/16 tcp dport 80,400-500 flags syn", PLAIN, []],
  ["in vm2", PLAIN, ["in vm2 | in vm1"]],
  ["ip dst 10.0.0.0/16 tcp dport 80", PLAIN, ["ip dst 10.0.0.0/16 | ip dst 10.1.2.3", "tcp dport 80 | tcp dport 443"]],
  ["udp dport 443", PLAIN, ["udp | udp none", "udp dport 443 | undefined"]],
  ["eth src 02:00:00:00:00:09", PLAIN, ["eth src 02:00:00:00:00:09 | eth src 02:00:00:00:00:01"]],
  ["vlan none", PLAIN, []],
  ["vlan none", TAGGED, ["vlan none | vlan any"]],
  ["vlan 10 pcp 5 ip tcp", TAGGED, []],
  ["vlan 20-30", TAGGED, ["vlan 20-30 | vlan 10"]],
  ["ip6", PLAIN, ["ip6 | ip6 none"]],
];
test.each(cases)("%j", (rule, bytes, fails) => {
  expect(failed(rule, { bytes })).toEqual(fails);
});

test("what a capture cut off is absent", () => {
  expect(failed("tcp dport 443", { bytes: PLAIN.subarray(0, 40), length: PLAIN.length })).toEqual([
    "tcp | tcp none",
    "tcp dport 443 | undefined",
  ]);
  expect(failed("tcp dport 443", { bytes: PLAIN, length: 1500 })).toEqual([]);
});
