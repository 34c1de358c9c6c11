// What docs/RULES.md and README.md say that one can write is what the switch reads.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkNames, parseConfig } from "../../src/control/config.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { resolveRule } from "../../src/control/rules/resolve.ts";
import { RuleSyntaxError } from "../../src/control/rules/syntax-error.ts";
import { kinds } from "../../src/control/wiring.ts";
import { interpret } from "../../src/dataplane/rules/interpret.ts";

const read = (path: string) => readFileSync(join(import.meta.dir, "../..", path), "utf8");
const RULES = read("docs/RULES.md");

/** The rule that is shown with its mistake. */
const WRONG = "in vm1 tcp dprot 80 drop";

test("rules on command lines", () => {
  const texts = [...`${RULES}${read("README.md")}`.matchAll(/ringyard rule (?:add|test) '([^']+)'/g)].map(
    ([, text]) => text,
  );
  expect(texts.length).toBeGreaterThan(4);
  for (const text of texts) {
    if (text === WRONG) expect(() => parseRule(text)).toThrow(RuleSyntaxError);
    else parseRule(text);
  }
});

test("configurations", () => {
  const blocks = [...RULES.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, block]) =>
    parseConfig(block, "RULES.md", kinds),
  );
  expect(blocks.map(({ rules, meters }) => [rules.length, meters.size])).toEqual([
    [3, 1],
    [2, 0],
  ]);
  checkNames(blocks[0], blocks[0].ports.keys(), blocks[0].meters.keys());
});

test("words of a match", () => {
  const examples = ["vlan 10,20-30 pcp 5", "vlan any", "vlan none", "pcp 5", "tcp none", "tcp flags syn,!ack"];
  for (const text of examples) parseRule(`${text} drop`);
  const table = RULES.slice(RULES.indexOf("## The words of a match"), RULES.indexOf("## Meters"));
  for (const [, header, words] of table.matchAll(/^\| `(\w+)`(?:, `\w+`)? \| ([^|]*) \|/gm)) {
    for (const [, own] of words.matchAll(/`(\w+)`/g)) {
      // A value is missing, but the word is known.
      expect(() => parseRule(`${header} ${own}`)).toThrow(/lacks its value/);
    }
  }
});

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(" ", ""));
const MACS = "020000000001 020000000002";
const TCP = "c350 0016 00000001 00000002 5012 ffff 0000 0000";
/** Of 10.0.0.1 to 10.1.2.3. */
const ip4 = (protocol: string, total: string, fragment = "0000") =>
  `4500 ${total} 0001 ${fragment} 40${protocol} 0000 0a000001 0a010203`;
const ip6 = (next: string, payload: string) =>
  `60000000 ${payload} ${next}40 fe80${"00".repeat(13)}01 20010db8${"00".repeat(11)}02`;
const ARP = "0001 0800 0604 0002 020000000002 0a000001 020000000001 0a0000";
const UDP = "c350 0035 0008 00";
const PADDING = "00".repeat(18);

describe("what hides from rules", () => {
  const drops = [...RULES.matchAll(/ringyard rule add '(prio 60000 in vm1 [^']+)'/g)].map(([, text], k) =>
    resolveRule({ ...parseRule(text), id: k + 1 }, { port: () => 0, meter: () => 0 }),
  );
  const services = [
    "tcp dport 22 drop",
    "udp dport 53 drop",
    "arp spa 10.0.0.1 drop",
    "ip dst 10.1.2.0/24 icmp drop",
  ].map((text, k) => resolveRule({ ...parseRule(text), id: k + 1 }, { port: () => 0, meter: () => 0 }));

  test.each([
    ["behind a third tag", `${MACS} 8100 0000 8100 0000 8100 0000 0800 ${ip4("06", "0028")} ${TCP}`],
    ["in SNAP", `${MACS} 0030 aaaa03 000000 0800 ${ip4("06", "0028")} ${TCP}`],
    ["in a first fragment of 8 bytes", `${MACS} 0800 ${ip4("06", "001c", "2000")} ${TCP.slice(0, 18)} ${PADDING}`],
    ["behind long options", `${MACS} 86dd ${ip6("3c", "006c")} 060a${"00".repeat(86)} ${TCP}`],
    ["behind nine headers", `${MACS} 86dd ${ip6("3c", "005c")} ${"3c00000000000000".repeat(8)}0600000000000000 ${TCP}`],
    ["behind an IPv6 fragment header", `${MACS} 86dd ${ip6("2c", "0010")} 0600000100000001 ${TCP.slice(0, 18)}`],
    ["in UDP without its last byte", `${MACS} 0800 ${ip4("11", "001c")} ${UDP}`],
    ["in ICMP without its last bytes", `${MACS} 0800 ${ip4("01", "0024")} 0800`],
    ["in IPv4 without its last byte", `${MACS} 0800 ${ip4("01", "001c").slice(0, -2)}`],
    ["in IPv6 without its last byte", `${MACS} 86dd ${ip6("3a", "0008").slice(0, -2)}`],
    ["in ARP without its last byte", `${MACS} 0806 ${ARP}`],
  ])("%s is dropped by the rules that are given for it", (_, hex) => {
    expect(interpret(services, 0, bytes(hex))).toEqual([]);
    expect(interpret(drops, 0, bytes(hex))).toHaveLength(1);
  });

  test.each([
    ["TCP", `${MACS} 0800 ${ip4("06", "0028")} ${TCP}`],
    ["TCP behind two tags", `${MACS} 88a8 0005 8100 0007 0800 ${ip4("06", "0028")} ${TCP}`],
    ["a first fragment", `${MACS} 0800 ${ip4("06", "0028", "2000")} ${TCP}`],
    ["a later fragment", `${MACS} 0800 ${ip4("06", "001c", "0005")} ${"ab".repeat(8)}`],
    ["a later fragment of IPv6", `${MACS} 86dd ${ip6("2c", "0010")} 3c000008 00000001 ${"ab".repeat(8)}`],
    ["short UDP", `${MACS} 0800 ${ip4("11", "001c")} ${UDP}00`],
    ["TCP behind options of IPv6", `${MACS} 86dd ${ip6("3c", "001c")} 0600000000000000 ${TCP}`],
    ["GRE", `${MACS} 0800 ${ip4("2f", "0018")} 00000800`],
    ["ARP", `${MACS} 0806 ${ARP}02`],
    ["LLDP", `${MACS} 88cc ${PADDING}`],
  ])("%s is not dropped by them", (_, hex) => {
    expect(interpret(drops, 0, bytes(hex))).toEqual([]);
  });
});
