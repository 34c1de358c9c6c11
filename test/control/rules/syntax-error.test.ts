// Every mistake in a rule's text is one line that points at the word, and says what to write. In these tests the word stands in «».

import { describe, expect, test } from "bun:test";
import { parseRule, RULE_LENGTH_MAX } from "../../../src/control/rules/parse-rule.ts";
import { caretLines, RuleSyntaxError } from "../../../src/control/rules/syntax-error.ts";

function mistakeIn(text: string): RuleSyntaxError {
  try {
    parseRule(text);
  } catch (error) {
    if (error instanceof RuleSyntaxError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

const LEAVE = "leave one out, or make two rules";

const cases: [marked: string, problem: string, next: string][] = [
  // Words.
  ["tcp «dprot» 80 drop", 'unknown word "dprot"', "did you mean dport?"],
  ["«tpc» drop", 'unknown word "tpc"', "did you mean tcp?"],
  ["tcp «DPORT» 80 drop", 'unknown word "DPORT"', "did you mean dport?"],
  ["«dorp»", 'unknown word "dorp"', "did you mean drop?"],
  [
    "tcp «banana» drop",
    'unknown word "banana"',
    "tcp takes sport, dport, flags; known: id, prio, in, pcp, eth, vlan, inner, arp, ip, ip6, tcp, udp, sctp, icmp, icmp6, and actions",
  ],
  [
    "«banana» drop",
    'unknown word "banana"',
    "known: id, prio, in, pcp, eth, vlan, inner, arp, ip, ip6, tcp, udp, sctp, icmp, icmp6, and actions",
  ],
  [
    "«toString» drop",
    'unknown word "toString"',
    "known: id, prio, in, pcp, eth, vlan, inner, arp, ip, ip6, tcp, udp, sctp, icmp, icmp6, and actions",
  ],
  ["«dport» 80 drop", '"dport" does not belong here', "write it behind its header: tcp dport, udp dport, sctp dport"],
  [
    "ip tcp «src» 10.0.0.1 drop",
    '"src" does not belong to tcp',
    "write it behind its header: eth src, ip src, ip6 src",
  ],
  ["tcp dport 80 «443» drop", 'unknown word "443"', "join the values of a list by commas: 80,443"],
  ["tcp dport «80,» 443 drop", "nothing stands beside a comma", "write lists without spaces: 80,443"],
  ["tcp dport 80 «,443» drop", 'unknown word ",443"', "join the values of a list by commas: 80,443"],
  ["tcp dport «80,,443» drop", "nothing stands beside a comma", "write lists without spaces: 80,443"],
  ["drop «tcp»", '"tcp" stands behind an action', "write what shall match first, then the actions"],
  ["count «prio» 5", '"prio" stands behind an action', "write what shall match first, then the actions"],
  [
    "count «mirorr» a",
    'unknown action "mirorr"',
    "did you mean mirror? actions: allow, continue, count, drop, flood, forward, log, meter, mirror, set, strip",
  ],

  // The end.
  ["«»", "the rule lacks an action", "end it with allow, drop or another"],
  ["«»   ", "the rule lacks an action", "end it with allow, drop or another"],
  ["tcp dport 80«»  ", "the rule lacks an action", "end it with allow, drop or another"],
  ["tcp dport«»", "tcp dport lacks its value", "write tcp dport 80,443 or 8000-8100"],
  ["in«»", "in lacks its value", "write in PORT"],
  ["vlan«»", "vlan lacks its value", "write vlan 10 or 10,20-30"],
  ["id«»", "id lacks its value", "write id 7"],
  ["forward«»", "forward lacks its value", "write forward PORT"],
  ["set«»", "set lacks its value", "write set vlan 10"],
  ["set eth«»", "set eth lacks its value", "write set eth src MAC, or dst MAC"],
  ["set eth src 02:00:00:00:00:01 dst«»", "set eth dst lacks its value", "write set eth dst 02:00:00:00:00:01"],
  ["strip«»", "strip lacks its value", "write strip vlan"],
  ["meter«»", "meter lacks its value", "write meter NAME"],

  // Numbers and names.
  ["id «0» drop", '"0" is not an id from 1 to 2147483647', "write for example 7"],
  ["id «2147483648» drop", '"2147483648" is not an id from 1 to 2147483647', "write for example 7"],
  ["prio «65536» drop", '"65536" is not a priority from 0 to 65535', "write for example 100"],
  ["prio «high» drop", '"high" is not a priority from 0 to 65535', "write for example 100"],
  [
    "prio «99999999999999999999» drop",
    '"99999999999999999999" is not a priority from 0 to 65535',
    "write for example 100",
  ],
  ["in «a/b» drop", '"a/b" is not the name of a port', "write 1 to 32 letters, digits, _ . -"],
  ["in vm1,«vm1» drop", "port vm1 is in the list twice", "write it once"],
  ["forward a,b,«a»", "port a is in the list twice", "write it once"],
  ["mirror «a,b»", '"a,b" is not the name of a port', "write 1 to 32 letters, digits, _ . -"],
  ["meter «__proto__»", '"__proto__" is not the name of a meter', "choose another name"],
  ["meter «wéb»", '"wéb" is not the name of a meter', "write 1 to 32 letters, digits, _ . -"],
  ["«eth» drop", "eth alone says nothing", "write one of src, dst, type behind it"],
  ["eth type «lldpp» drop", '"lldpp" is not an EtherType from 0 to 65535', "did you mean lldp?"],
  ["eth type «0x10000» drop", '"0x10000" is not an EtherType from 0 to 65535', "write for example arp or 0x88cc"],
  ["eth src «02:00:00:00:00» drop", '"02:00:00:00:00" is not a MAC address', "write for example 02:00:00:00:00:01"],
  ["vlan «4095» drop", '"4095" is not a VLAN id from 0 to 4094', "write for example 10 or 10,20-30"],
  ["vlan «5000» drop", '"5000" is not a VLAN id from 0 to 4094', "write for example 10 or 10,20-30"],
  ["vlan 10-«5000» drop", '"5000" is not a VLAN id from 0 to 4094', "write for example 10 or 10,20-30"],
  ["vlan «drop»", '"drop" is not a VLAN id from 0 to 4094', "write for example 10 or 10,20-30"],
  ["pcp «8» drop", '"8" is not a priority from 0 to 7', "write for example 5"],
  ["arp op «requst» drop", '"requst" is not an ARP operation from 0 to 65535', "did you mean request?"],
  ["ip proto «tpc» drop", '"tpc" is not a protocol from 0 to 255', "did you mean tcp?"],
  ["ip dscp «64» drop", '"64" is not a DSCP from 0 to 63', "write for example ef, af11 or 46"],
  ["ip dscp «af14» drop", '"af14" is not a DSCP from 0 to 63', "did you mean af11?"],
  ["ip frag «yes» drop", '"yes" is not any, none, first or later', "write for example none,first"],
  ["ip frag «4» drop", '"4" is not any, none, first or later', "write for example none,first"],
  ["ip src «10.0.0» drop", '"10.0.0" is not an IPv4 address, prefix or range', "write for example 10.0.0.0/8"],
  ["ip src «10.0.0.010» drop", '"10.0.0.010" is not an IPv4 address, prefix or range', "write for example 10.0.0.0/8"],
  [
    "ip src «2001:db8::1» drop",
    '"2001:db8::1" is not an IPv4 address, prefix or range',
    "write for example 10.0.0.0/8",
  ],
  ["ip6 src «10.0.0.1» drop", '"10.0.0.1" is not an IPv6 address, prefix or range', "write for example 2001:db8::/32"],
  ["ip src 10.0.0.0/«33» drop", '"33" is not a prefix length from 0 to 32', "write for example /24"],
  ["ip src 10.0.0.0/«x» drop", '"x" is not a prefix length from 0 to 32 or a mask', "write for example /24"],
  ["eth src 02:00:00:00:00:00/«24» drop", '"24" is not a mask of 48 bits', "write for example /ff:ff:ff:ff:ff:ff"],
  ["tcp dport 0/«0x10000» drop", '"0x10000" is not a mask of 16 bits', "write for example /0xffff"],
  ["tcp dport 0/«http» drop", '"http" is not a mask of 16 bits', "write for example /0xffff"],
  ["tcp dport «65536» drop", '"65536" is not a port from 0 to 65535', "write for example 80,443 or 8000-8100"],
  ["tcp dport 80,«99999»,443 drop", '"99999" is not a port from 0 to 65535', "write for example 80,443 or 8000-8100"],
  ["tcp dport «htpp» drop", '"htpp" is not a port from 0 to 65535', "did you mean http?"],
  ["tcp dport «-80» drop", '"-80" is not a port from 0 to 65535', "write for example 80,443 or 8000-8100"],
  ["tcp dport 80-«» drop", '"" is not a port from 0 to 65535', "write for example 80,443 or 8000-8100"],
  ["tcp flags syn,!«akc» drop", '"akc" is not a TCP flag', "did you mean ack?"],
  ["tcp flags syn,«5» drop", '"5" is not a TCP flag', "write for example syn,!ack"],
  ["tcp flags 0x002,«syn» drop", '"syn" is not a number of 12 TCP flags', "write for example syn,!ack"],
  ["tcp flags syn,«!syn» drop", '"!syn": this flag was named already', "name each flag once"],
  ["icmp type «echo» drop", '"echo" is not an ICMP type from 0 to 255', "write for example echo-request or 8"],
  ["icmp code «256» drop", '"256" is not an ICMP code from 0 to 255', "write for example 0"],
  ["set vlan «4095»", '"4095" is not a VLAN id from 0 to 4094', "write for example 10 or 10,20-30"],
  ["set pcp «8»", '"8" is not a priority from 0 to 7', "write for example 5"],
  ["set «ttl» 5", 'set cannot set "ttl"', "set takes dscp, eth, pcp, vlan"],
  ["set «vlna» 5", 'set cannot set "vlna"', "did you mean vlan? set takes dscp, eth, pcp, vlan"],
  ["set eth «type» arp", 'set eth cannot set "type"', "write set eth src MAC, or set eth dst MAC"],
  ["set eth src «01:00:5e:00:00:01»", '"01:00:5e:00:00:01" cannot be a source', "write a unicast MAC address"],
  ["set eth src «00:00:00:00:00:00»", '"00:00:00:00:00:00" cannot be a source', "write a unicast MAC address"],
  ["strip «mpls»", 'strip cannot strip "mpls"', "write strip vlan"],
  ["log «2/3»", '"2/3" is not 1/N', "write log 1/100 for one in a hundred"],
  ["log 1/«0»", '"0" is not a number from 1 to 2147483647', "write for example 1/100"],

  // Values against themselves.
  ["tcp dport «90-80» drop", '"90-80" is an empty range', "write 80-90"],
  ["ip src «10.0.0.9-10.0.0.5» drop", '"10.0.0.9-10.0.0.5" is an empty range', "write 10.0.0.5-10.0.0.9"],
  [
    "ip dst «10.0.0.1/8» drop",
    '"10.0.0.1/8" has bits set that its mask leaves out',
    "write 10.0.0.0/8, or 10.0.0.1 for that one alone",
  ],
  [
    "ip6 dst ::1,«2001:db8::1/32» drop",
    '"2001:db8::1/32" has bits set that its mask leaves out',
    "write 2001:db8::/32, or 2001:db8::1 for that one alone",
  ],
  [
    "eth src «02:00:00:00:00:01/ff:ff:ff:00:00:00» drop",
    '"02:00:00:00:00:01/ff:ff:ff:00:00:00" has bits set that its mask leaves out',
    "write 02:00:00:00:00:00/ff:ff:ff:00:00:00, or 02:00:00:00:00:01 for that one alone",
  ],
  ["tcp dport 80,«80» drop", '"80" is in the list twice', "write it once"],
  ["tcp dport 80,443,«0x50» drop", '"0x50" is in the list twice', "write it once"],
  ["ip frag none,«none» drop", '"none" is in the list twice', "write it once"],

  // Twice, and against one another.
  ["prio 1 prio «2» drop", "prio is given twice", "leave one out"],
  ["id 1 id «1» drop", "id is given twice", "leave one out"],
  ["in a in «b» drop", "in is given twice", "join the values by commas"],
  ["tcp dport 80 sport 1 dport «443» drop", "tcp dport is given twice", "join the values by commas"],
  ["vlan 10 vlan «20» drop", "vlan is given twice", "write inner for the tag behind it"],
  ["pcp 1 vlan pcp «2» drop", "vlan pcp is given twice", "join the values by commas"],
  ["tcp «udp» drop", "udp and tcp never match the same frame", LEAVE],
  ["tcp none dport «80» drop", "tcp dport and tcp none never match the same frame", LEAVE],
  ["tcp none «tcp» dport 80 drop", "tcp and tcp none never match the same frame", LEAVE],
  ["ip «ip6» drop", "ip6 and ip never match the same frame", LEAVE],
  ["ip src 10.0.0.1 «arp» drop", "arp and ip never match the same frame", LEAVE],
  ["arp «tcp» drop", "tcp and arp never match the same frame", LEAVE],
  ["ip6 «icmp» drop", "icmp and ip6 never match the same frame", "ICMP of IPv6 is icmp6"],
  ["icmp «ip6» drop", "ip6 and icmp never match the same frame", "ICMP of IPv6 is icmp6"],
  ["ip «icmp6» drop", "icmp6 and ip never match the same frame", "ICMP of IPv4 is icmp"],
  ["eth type arp «ip» drop", "ip and eth type never match the same frame", LEAVE],
  ["tcp eth type «0x0806,0x88cc» drop", "eth type and tcp never match the same frame", LEAVE],
  ["ip proto udp «tcp» drop", "tcp and ip proto never match the same frame", LEAVE],
  ["tcp ip proto «7-16» drop", "ip proto and tcp never match the same frame", LEAVE],
  ["ip frag later «tcp» drop", "tcp and ip frag never match the same frame", LEAVE],
  ["vlan none pcp «3» drop", "vlan pcp and vlan none never match the same frame", LEAVE],
  ["vlan none «inner» 5 drop", "inner and vlan none never match the same frame", LEAVE],
  ["ip none «icmp» drop", "icmp and ip none never match the same frame", LEAVE],
  ["ip none ip6 none «tcp» drop", "tcp and what stands before never match the same frame", LEAVE],

  // Actions.
  ["drop «allow»", "drop and allow exclude one another", "leave one out"],
  ["drop «drop»", "drop stands there twice", "leave one out"],
  ["forward a «forward» b", "forward stands there twice", "join the ports by commas"],
  ["drop «count»", "drop ends a rule", "write drop last"],
  ["continue «set» vlan 5", "continue ends a rule", "write continue last"],
  ["count «count»", "count stands there twice", "leave one out"],
  ["log 1/5 «log»", "log stands there twice", "leave one out"],
  ["mirror a mirror b «mirror» a", "mirror a stands there twice", "leave one out"],
  ["meter a «meter» a", "meter a stands there twice", "leave one out"],
  ["set vlan 5 «set» vlan 6", "set vlan stands there twice", "leave one out"],
  ["set pcp 5 «set» vlan 6 pcp 1", "set pcp stands there twice", "leave one out"],
  ["set eth src 02:00:00:00:00:01 «set» eth src 02:00:00:00:00:02", "set eth src stands there twice", "leave one out"],
  [
    "set eth src 02:00:00:00:00:01 dst 02:00:00:00:00:02 «set» eth dst 02:00:00:00:00:02",
    "set eth dst stands there twice",
    "leave one out",
  ],
  ["set dscp ef «set» dscp 1", "set dscp stands there twice", "leave one out"],
];

describe("a mistake", () => {
  test.each(cases)("%s", (marked, problem, next) => {
    const at = marked.indexOf("«");
    const length = Math.max(1, marked.indexOf("»") - at - 1);
    const text = marked.replace(/[«»]/g, "");
    const error = mistakeIn(text);
    expect(error).toMatchObject({ code: "BAD_RULE", text, problem, next, at, length });
    expect(error.message).toBe(`rule: column ${at + 1}: ${problem}`);
    expect(error.advice).toBe(`rule: column ${at + 1}: ${problem}: ${next}`);
  });
});

describe("limits", () => {
  const ports = (count: number) => Array.from({ length: count }, (_, port) => port + 1).join(",");

  test("a list", () => {
    expect(parseRule(`tcp dport ${ports(256)} drop`).match[1].oneOf).toHaveLength(256);
    expect(mistakeIn(`tcp dport ${ports(257)} drop`)).toMatchObject({
      problem: "a list of more than 256",
      next: "spread it over several rules",
      at: 10,
    });
  });

  test("lists that multiply", () => {
    expect(parseRule(`tcp sport ${ports(64)} dport ${ports(64)} drop`).match).toHaveLength(3);
    const error = mistakeIn(`tcp sport ${ports(64)} dport ${ports(65)} drop`);
    expect(error.problem).toBe("with tcp dport the values multiply to 4160 combinations, more than 4096");
    expect(error.text.slice(error.at, error.at + error.length)).toBe(ports(65));
  });

  test("a range of a wide field counts as its prefixes", () => {
    // ::1-::fffe is 30 prefixes, ::-::ff one.
    expect(parseRule(`ip6 src ::1-::fffe tcp dport ${ports(136)} drop`).match).toHaveLength(4);
    expect(mistakeIn(`ip6 src ::1-::fffe tcp dport ${ports(137)} drop`).problem).toInclude("multiply to 4110");
    expect(parseRule(`ip6 src ::-::ff tcp sport ${ports(16)} dport ${ports(256)} drop`).match).toHaveLength(5);
  });

  test("and one value of it as one, as do ranges of others", () => {
    const macs = (count: number) =>
      Array.from({ length: count }, (_, index) => `02:00:00:00:00:${(index + 16).toString(16)}`).join(",");
    expect(parseRule(`eth src ${macs(64)} tcp dport ${ports(64)} drop`).match).toHaveLength(3);
    expect(mistakeIn(`eth src ${macs(65)} tcp dport ${ports(64)} drop`).problem).toInclude("multiply to 4160");
    const ranges = Array.from({ length: 64 }, (_, index) => `${index * 100 + 1}-${index * 100 + 98}`).join(",");
    expect(parseRule(`ip src 10.0.0.1-10.0.0.254 tcp sport ${ranges} dport ${ports(64)} drop`).match).toHaveLength(5);
  });

  test("actions", () => {
    expect(parseRule("strip vlan ".repeat(32)).actions).toHaveLength(32);
    expect(mistakeIn("strip vlan ".repeat(33))).toMatchObject({
      problem: "more than 32 actions",
      next: "spread them over rules that end with continue",
      at: 32 * 11,
    });
  });

  test("the text", () => {
    const fits = `tcp${" ".repeat(RULE_LENGTH_MAX - 8)} drop`;
    expect(parseRule(fits).actions).toEqual([{ do: "drop" }]);
    expect(mistakeIn(`${fits} `)).toMatchObject({
      problem: "a rule of more than 16384 characters",
      next: "spread its lists over several rules",
      at: RULE_LENGTH_MAX,
      length: 1,
    });
  });
});

describe("carets", () => {
  test("stand below the word", () => {
    expect(caretLines(mistakeIn("prio 100 in vm1 tcp dprot 80 drop"))).toEqual([
      "prio 100 in vm1 tcp dprot 80 drop",
      "                    ^^^^^",
    ]);
    expect(caretLines(mistakeIn("tcp"))).toEqual(["tcp", "   ^"]);
  });

  test("and a long rule is cut around it", () => {
    const many = "10.0.0.1,".repeat(20);
    const [rule, carets] = caretLines(mistakeIn(`ip src ${many}x,${many}10.0.0.1 drop`));
    expect(rule).toStartWith("...");
    expect(rule).toEndWith("...");
    expect(rule).toHaveLength(106);
    expect(carets.trim()).toBe("^");
    expect(rule[carets.indexOf("^")]).toBe("x");
    const [, underAll] = caretLines(mistakeIn(`in ${"x".repeat(1000)} drop`));
    expect(underAll).toMatch(/^ +\^{1,97}$/);
  });

  test("never show what a terminal would obey", () => {
    const [rule, carets] = caretLines(mistakeIn("tcp \x1b[2Jé\u202e drop"));
    expect(rule).toBe("tcp ?[2J?? drop");
    expect(carets).toBe("    ^^^^^^");
  });
});
