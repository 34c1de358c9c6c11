// Mistakes in the configuration file: each with its file, line and key, whatever is in the file.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConfigError, emptyConfig, parseConfig } from "../../src/control/config.ts";
import { checkConfig } from "../../src/control/config-schema.ts";
import { NO_RULES } from "../../src/control/rules/known-rules.ts";
import { atOnce } from "../../src/core/turns.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const parse = (text: string) => parseConfig(text, "ringyard.toml", fakeKinds);

function linesOf(text: string): string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("a mistake names file, line and key", () => {
  const known = "known: ageing, control, cpus, mac-limit, poll";
  const cases: [string, string, string[]][] = [
    ["no TOML", "[switch]\nx = ", ['ringyard.toml:2: unspecified values are invalid, in "x ="']],
    ["a value that is missing", "[switch]\npoll =\nageing = 3", ['ringyard.toml:2: unexpected character, in "poll ="']],
    [
      "a bracket that is missing",
      "[switch\npoll = 3",
      ['ringyard.toml:1: the key, equals sign, and value must be on the same line, in "[switch"'],
    ],
    [
      "a quote that is missing",
      "[switch]\npoll = 'busy\nageing = 3",
      ['ringyard.toml:2: unterminated string constant, in "poll = \'busy"'],
    ],
    [
      "a key twice",
      '[ports]\na="null:"\na="null:"',
      ['ringyard.toml:3: defining a key multiple times is invalid, in "a=\\"null:\\""'],
    ],
    [
      "an unknown table",
      "\n[prots]\n",
      [
        "ringyard.toml:2: prots: unknown table: did you mean ports? known: meters, mirrors, ports, rules, switch, vlans",
      ],
    ],
    [
      "a link twice",
      "[ports]\na = { uri = 'null:?link=up', link = 'down' }",
      ["ringyard.toml:2: ports.a.link: stands in the uri too"],
    ],
    ["a target", "[ports]\na = 'tap:taken'", ["ringyard.toml:2: ports.a: tap: is taken: choose another"]],
    [
      "a link",
      "[ports]\na = { uri = 'null:', link = 1 }",
      ["ringyard.toml:2: ports.a.link: expected up or down, found 1"],
    ],
    [
      "an unknown key",
      "[switch]\npol = 'busy'",
      [`ringyard.toml:2: switch.pol: unknown key: did you mean poll? ${known}`],
    ],
    ["a prototype", "[switch]\n__proto__ = 1", ["ringyard.toml:2: switch.__proto__: not a name that can be used"]],
    [
      "a poll mode",
      "[switch]\npoll = 'fast'",
      ['ringyard.toml:2: switch.poll: expected adaptive, busy, interrupt, found "fast"'],
    ],
    [
      "a CPU list",
      "[switch]\ncpus = '1-0'",
      ['ringyard.toml:2: switch.cpus: expected CPUs such as 0-1 or [0, 1], found "1-0"'],
    ],
    [
      "CPUs below zero",
      "[switch]\ncpus = [-1]",
      ["ringyard.toml:2: switch.cpus: expected CPUs such as 0-1 or [0, 1], found [-1]"],
    ],
    [
      "ageing",
      "[switch]\nageing = 0",
      ["ringyard.toml:2: switch.ageing: expected a whole number from 1 to 86400, found 0"],
    ],
    [
      "ageing as text",
      "[switch]\nageing = 'x'",
      ['ringyard.toml:2: switch.ageing: expected a whole number from 1 to 86400, found "x"'],
    ],
    [
      "a relative path",
      "[switch]\ncontrol = 'x'",
      ['ringyard.toml:2: switch.control: expected an absolute path, found "x"'],
    ],
    ...["9223372036854775807", "99999999999999999999", "-1", "1.5"].map((number): [string, string, string[]] => [
      `ageing of ${number}, once`,
      `[switch]\nageing = ${number}`,
      [`ringyard.toml:2: switch.ageing: expected a whole number from 1 to 86400, found ${Number(number)}`],
    ]),
    [
      "a path that is none",
      "[switch]\ncontrol = 5",
      ["ringyard.toml:2: switch.control: expected an absolute path, found 5"],
    ],
    [
      "a path with a control character",
      '[switch]\ncontrol = "/tmp/\\u0000x"',
      ['ringyard.toml:2: switch.control: expected a path without control characters, found "/tmp/\\u0000x"'],
    ],
    [
      "a mirror to a number",
      "[mirrors.m]\nto = 5",
      ["ringyard.toml:2: mirrors.m.to: expected a port name of 1 to 32 letters, digits, _ . -, found 5"],
    ],
    [
      "a list where one value is meant",
      "[ports.x]\nuri = 'tap:x'\nmtu = ['1500']\nnetns = ['blue']\noffload = ['csum']",
      [
        'ringyard.toml:3: ports.x.mtu: expected one value, found a list: ["1500"]',
        'ringyard.toml:4: ports.x.netns: expected one value, found a list: ["blue"]',
      ],
    ],
    ["switch as a word", "switch = 3", ["ringyard.toml:1: switch: expected a table, found 3"]],
    ["ports as a word", "ports = 3", ["ringyard.toml:1: ports: expected a table of ports"]],
    ["a port as a number", "[ports]\nweb = 3", ["ringyard.toml:2: ports.web: expected a uri or a table, found 3"]],
    [
      "no uri",
      "[ports.web]\nmtu = 1500",
      ["ringyard.toml:1: ports.web.uri: expected a port uri such as tap:web, found nothing"],
    ],
    [
      "an mtu",
      '[switch]\npoll = "busy"\n\n[ports.web]\nuri = "tap:web"\n# a comment\nmtu = "x"',
      ['ringyard.toml:7: ports.web.mtu: expected a number from 68 to 65535, found "x"'],
    ],
    [
      "an option in both",
      '[ports.web]\nuri = "tap:web?mtu=1400"\nmtu = 1500',
      ["ringyard.toml:3: ports.web.mtu: stands in the uri too"],
    ],
    [
      "an unknown kind",
      '[ports]\nweb = "tab:web"',
      [
        'ringyard.toml:2: ports.web: unknown port kind "tab": did you mean tap? known kinds: memory, null, tap, vduse, vhost-user',
      ],
    ],
    [
      "an option of another kind",
      '[ports.web]\nuri = "tap:web"\nmode = "client"',
      ["ringyard.toml:3: ports.web.mode: unknown option of tap: tap takes cpu, link, mac, mtu, netns, offload, queues"],
    ],
    [
      "a table as an option",
      '[ports.web]\nuri = "tap:web"\nmtu = { a = 1 }',
      ['ringyard.toml:3: ports.web.mtu: expected a string, a number or a list of strings, found {"a":1}'],
    ],
    [
      "a bad name",
      '[ports]\n"a b" = "null:"',
      ['ringyard.toml:2: ports."a b": expected a port name of 1 to 32 letters, digits, _ . -, found "a b"'],
    ],
    [
      "a link",
      '[ports.web]\nuri = "null:"\nlink = "on"',
      ['ringyard.toml:3: ports.web.link: expected up or down, found "on"'],
    ],
    [
      "a mac limit",
      '[ports.web]\nuri = "null:"\nmac-limit = 1.5',
      ["ringyard.toml:3: ports.web.mac-limit: expected a whole number from 0 to 1048576, found 1.5"],
    ],
    [
      "inside an inline table",
      "[ports]\nx = { uri = 'null:', mtu = 1 }",
      ['ringyard.toml:2: ports.x.mtu: expected a number from 68 to 65535, found "1"'],
    ],
  ];
  test.each(cases)("%s", (_, text, lines) => {
    expect(linesOf(text)).toEqual(lines);
  });

  test.each([
    ['[mirrors.__proto__]\nto = "a"', "ringyard.toml:1: mirrors.__proto__: not a name that can be used"],
    ["[__proto__]\nx = 1", "ringyard.toml:1: __proto__: not a name that can be used"],
    ["[[rules.__proto__]]\nx = 1", "ringyard.toml:1: rules.__proto__.0: not a name that can be used"],
    ['[ports]\n__proto__.uri = "x"', "ringyard.toml:2: ports.__proto__.uri: not a name that can be used"],
    ['[ports]\na = { "__proto__" = { x = 1 } }', "ringyard.toml:2: ports.a.__proto__: not a name that can be used"],
  ])("%j names a prototype, and nothing is written into it", (text, line) => {
    const names = Object.getOwnPropertyNames(Object.prototype);
    try {
      expect(linesOf(text)).toEqual([line]);
      expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(names);
    } finally {
      for (const name of Object.keys(Object.prototype)) Reflect.deleteProperty(Object.prototype, name);
    }
  });

  const noDate = "no setting takes a date or a time: write text in quotes";
  test.each([
    ["ports = 2024-01-01", "ports"],
    ["switch = 10:00:00", "switch"],
    ["meters = 2024-01-01T00:00:00", "meters"],
    ["rules = [{ tcp = 2024-01-01T00:00:00Z, actions = ['drop'] }]", "rules.0.tcp"],
    ["switch.cpus = [2024-01-01]", "switch.cpus.0"],
  ])("%s is a date, and no empty table", (text, key) => {
    expect(linesOf(text)).toEqual([`ringyard.toml:1: ${key}: ${noDate}`]);
  });

  test("a date hides no other mistake", () => {
    expect(linesOf("[switch]\nageing = 2024-01-01\npoll = 'bsy'\n[ports]\na = 3")).toEqual([
      "ringyard.toml:2: switch.ageing: no setting takes a date or a time: write text in quotes",
      expect.stringMatching(/^ringyard.toml:3: switch.poll: expected .*, found "bsy"$/),
      "ringyard.toml:5: ports.a: expected a uri or a table, found 3",
    ]);
  });

  test("a value that is no plain table is refused where a table is due, wherever it comes from", () => {
    const date = new Date(0);
    const value = { switch: date, ports: date, meters: date, vlans: date, mirrors: date };
    const messages = (given: Record<string, unknown>) =>
      atOnce(checkConfig(given, fakeKinds, emptyConfig(), NO_RULES)).map(
        ({ path, message }) => `${path.join(".")}: ${message}`,
      );
    const found = 'found "1970-01-01T00:00:00.000Z"';
    expect(messages(value)).toEqual([
      `switch: expected a table, ${found}`,
      "ports: expected a table of ports",
      `vlans: expected a table of VLANs, ${found}`,
      `mirrors: expected a table of mirrors, ${found}`,
      `meters: expected a table of meters, ${found}`,
    ]);
    expect(messages({ ports: { a: date } })).toEqual([`ports.a: expected a uri or a table, ${found}`]);
    expect(messages({ ports: { a: { uri: "null:", trunk: "10", "vlan-map": date } } })).toEqual([
      `ports.a.vlan-map: expected ids on the wire and VLAN ids from 1 to 4094 such as { "100" = 10 }, ${found}`,
    ]);
    expect(messages({ rules: [{ vlan: date, actions: ["drop"] }] })[0]).toStartWith("rules.0.vlan: expected ");
    expect(messages({ rules: [date] })).toEqual([`rules.0: expected a table, or the text of a rule, ${found}`]);
  });

  test.each(["[constructor.prototype]\nx = 1", "[ports]\nconstructor.prototype.uri = 'x'", "[ports.toString]\nx = 1"])(
    "%j writes nothing into a prototype",
    (text) => {
      const before = [Object, Object.prototype, Object.prototype.toString].map((it) => Object.getOwnPropertyNames(it));
      linesOf(text);
      const after = [Object, Object.prototype, Object.prototype.toString].map((it) => Object.getOwnPropertyNames(it));
      expect(after).toEqual(before);
    },
  );

  const deep: [string, string, number][] = [
    ["arrays", `a = ${"[".repeat(17)}${"]".repeat(17)}`, 1],
    ["tables in one another", `a = 1\nb = ${"{ a = ".repeat(16)}1${" }".repeat(16)}`, 2],
    ["a key of many parts", `\n\na${".a".repeat(16)} = 1`, 3],
    ["a table of many parts", `\n[a${".a".repeat(16)}]`, 2],
    ["lines of arrays", `a = ${"[\n".repeat(17)}${"]".repeat(17)}`, 17],
    ["a key of thousands of parts", `a${".a".repeat(8_000)} = 1`, 1],
    ["thousands of arrays", `\na = ${"[".repeat(10_000)}${"]".repeat(10_000)}`, 2],
    ["tables deeper than the parser goes", `\n\na = ${"{a=".repeat(100_000)}1${"}".repeat(100_000)}\n`, 3],
    ["arrays deeper than the parser goes", `a = ["}"]\nb = ${"[".repeat(100_000)}${"]".repeat(100_000)}`, 2],
  ];
  test.each(deep)("nested too deep: %s", (_, text, line) => {
    expect(linesOf(text)).toEqual([
      `ringyard.toml:${line}: nested more than 16 levels deep, where no setting is: take it out`,
    ]);
  });

  test("a string longer than the parser takes is not called nested", () => {
    expect(linesOf(`[ports]\na = "${"x".repeat(1_000_000)}"`)).toEqual([
      "ringyard.toml:2: a string or a number too long to be read: shorten it",
    ]);
  });

  test("sixteen levels are not too deep", () => {
    expect(linesOf(`a = ${"[".repeat(15)}1${"]".repeat(15)}`)[0]).toContain("a: unknown table");
  });

  test("and a file's name is quoted where a line cannot hold it", () => {
    for (const [file, shown] of [
      ["my ports.toml", "my ports.toml"],
      ["a\nb.toml", '"a\\nb.toml"'],
    ]) {
      expect(() => parseConfig("[swich]", file, fakeKinds)).toThrow(`${shown}:1: swich: unknown table`);
      expect(() => parseConfig("x", file, fakeKinds)).toThrow(`${shown}:1: `);
    }
  });

  test("and all mistakes are told, in the order of the file", () => {
    expect(linesOf('[ports]\na = "tap:"\nb = "null:?mtu=1&queues=99"\n[switch]\nageing = -1\npolll = 1')).toEqual([
      "ringyard.toml:2: ports.a: tap: missing NAME: write tap:NAME",
      'ringyard.toml:3: ports.b.mtu: expected a number from 68 to 65535, found "1"',
      'ringyard.toml:3: ports.b.queues: expected a number from 1 to 8, found "99"',
      "ringyard.toml:5: switch.ageing: expected a whole number from 1 to 86400, found -1",
      `ringyard.toml:6: switch.polll: unknown key: did you mean poll? ${known}`,
    ]);
  });

  test("and no text is anything but a configuration or a ConfigError", () => {
    const piece = fc.constantFrom(
      ..."[ports]\n[switch]\n.='\"{},a1-:/tap:x\n#\\u00".split(/(?=[^a-z])/),
      "uri",
      "mtu",
      "ports.a",
      "\n",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        try {
          parse(pieces.join(""));
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          for (const line of (error as ConfigError).lines) expect(line).toMatch(/^ringyard\.toml:\d+: [^\n]+$/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
