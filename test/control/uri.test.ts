// Port URIs: what they mean, their canonical form, and one clear line for every mistake.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { z } from "zod";
import { parsePort, parsePortArgument, withOptions } from "../../src/control/uri.ts";
import { errorLine, RingyardError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/quote.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

const parse = (uri: string) => parsePort("p", uri, fakeKinds);

function lineOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof RingyardError) return `${error.code} ${errorLine(error)}`;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("a uri that is right", () => {
  const cases: [string, string, Record<string, unknown>][] = [
    ["tap:web", "tap:web", {}],
    ["null:", "null:", {}],
    ["null:?mtu=1500", "null:?mtu=1500", { mtu: 1500 }],
    [
      "tap:web?netns=blue&mac=02:00:00:00:00:0A",
      "tap:web?mac=02:00:00:00:00:0a&netns=blue",
      { mac: "02:00:00:00:00:0a", netns: "blue" },
    ],
    ["tap:web?mtu=09000", "tap:web?mtu=9000", { mtu: 9000 }],
    ["vhost-user:/run/vm1.sock", "vhost-user:/run/vm1.sock", { mode: "server" }],
    ["vhost-user:/run//a/../vm1.sock?mode=server", "vhost-user:/run/vm1.sock", { mode: "server" }],
    [
      "vhost-user:/run/vm1.sock?queues=4&mode=client",
      "vhost-user:/run/vm1.sock?mode=client&queues=4",
      { mode: "client", queues: 4 },
    ],
    ["vhost-user:/run/a%3fb%20c", "vhost-user:/run/a%3Fb%20c", { mode: "server" }],
    ["memory:a?offload=tso4,csum", "memory:a?offload=csum,tso4", { offload: ["csum", "tso4"] }],
    ["memory:a?offload=none", "memory:a?offload=none", { offload: [] }],
    ["memory:a?offload=csum,tso6,ecn,csum", "memory:a?offload=csum,ecn,tso6", { offload: ["csum", "ecn", "tso6"] }],
    ["memory:a?offload=uso,csum", "memory:a?offload=csum,uso", { offload: ["csum", "uso"] }],
    ["tap:web?mtu=68&link=up", "tap:web?mtu=68", { mtu: 68, link: "up" }],
    ["tap:web?link=down", "tap:web", { link: "down" }],
    ["tap:web?cpu=03", "tap:web?cpu=3", { cpu: 3 }],
    ["memory:a?mtu=68&queues=8", "memory:a?mtu=68&queues=8", { mtu: 68, queues: 8 }],
    ["memory:a?mtu=65535", "memory:a?mtu=65535", { mtu: 65535 }],
  ];
  test.each(cases)("%s", (uri, canonical, options) => {
    const spec = parse(uri);
    expect(spec.uri).toBe(canonical);
    expect(spec.options).toEqual(options);
    const { link: _, ...lasting } = spec.options;
    expect(parse(canonical)).toEqual({ ...spec, options: lasting });
  });
});

describe("a uri with a mistake", () => {
  const cases: [string, string][] = [
    ["web", 'BAD_URI port p: "web" is not a port uri: write KIND:TARGET, for example tap:web'],
    [":web", 'BAD_URI port p: ":web" is not a port uri: write KIND:TARGET, for example tap:web'],
    [
      "tapp:web",
      'BAD_URI port p: unknown port kind "tapp": did you mean tap? known kinds: memory, null, tap, vduse, vhost-user',
    ],
    ["e1000:0", 'BAD_URI port p: unknown port kind "e1000": known kinds: memory, null, tap, vduse, vhost-user'],
    ["toString:x", 'BAD_URI port p: unknown port kind "toString": known kinds: memory, null, tap, vduse, vhost-user'],
    ["tap:", "BAD_URI port p: tap: missing NAME: write tap:NAME"],
    ["tap:?mtu=1500", "BAD_URI port p: tap: missing NAME: write tap:NAME"],
    ["tap:taken?mtu=1", "BAD_URI port p: tap: is taken: choose another"],
    ["null:x", 'BAD_URI port p: null: takes no target, found "x": write null:'],
    ["vhost-user:vm1.sock", 'BAD_URI port p: vhost-user: expected an absolute path, found "vm1.sock"'],
    ["tap:a%zz", 'BAD_URI port p: tap: bad character or percent-encoding in "a%zz"'],
    ["tap:a%00", 'BAD_URI port p: tap: bad character or percent-encoding in "a%00"'],
    ["tap:a%C2%85", 'BAD_URI port p: tap: bad character or percent-encoding in "a%C2%85"'],
    ["tap:a%E2%80%A8", 'BAD_URI port p: tap: bad character or percent-encoding in "a%E2%80%A8"'],
    ["tap:a?netns=%C2%9B", "BAD_OPTION port p: netns: bad character or percent-encoding"],
    ["tap:a%ff", 'BAD_URI port p: tap: bad character or percent-encoding in "a%ff"'],
    [
      "tap:web?mtuu=1500",
      "BAD_OPTION port p: mtuu: unknown option of tap: did you mean mtu? tap takes cpu, link, mac, mtu, netns, offload, queues",
    ],
    [
      "tap:web?__proto__=1",
      "BAD_OPTION port p: __proto__: unknown option of tap: tap takes cpu, link, mac, mtu, netns, offload, queues",
    ],
    [
      "tap:web?mode=client",
      "BAD_OPTION port p: mode: unknown option of tap: tap takes cpu, link, mac, mtu, netns, offload, queues",
    ],
    ["tap:web?mtu=x", 'BAD_OPTION port p: mtu: expected a number from 68 to 65535, found "x"'],
    ["tap:web?mtu", 'BAD_OPTION port p: mtu: expected a number from 68 to 65535, found ""'],
    ["tap:web?mtu=67", 'BAD_OPTION port p: mtu: expected a number from 68 to 65535, found "67"'],
    ["tap:web?mtu=65536", 'BAD_OPTION port p: mtu: expected a number from 68 to 65535, found "65536"'],
    ["tap:web?mtu=1e3", 'BAD_OPTION port p: mtu: expected a number from 68 to 65535, found "1e3"'],
    ["tap:web?link=on", 'BAD_OPTION port p: link: expected up or down, found "on"'],
    ["tap:web?cpu=1024", 'BAD_OPTION port p: cpu: expected a number from 0 to 1023, found "1024"'],
    ["tap:web?queues=0", 'BAD_OPTION port p: queues: expected a number from 1 to 8, found "0"'],
    ["tap:web?queues=9", 'BAD_OPTION port p: queues: expected a number from 1 to 8, found "9"'],
    [
      "tap:web?mac=01:00:5e:00:00:01",
      'BAD_OPTION port p: mac: expected a unicast MAC address such as 02:00:00:00:00:01, found "01:00:5e:00:00:01"',
    ],
    [
      "tap:web?mac=00:00:00:00:00:00",
      'BAD_OPTION port p: mac: expected a unicast MAC address such as 02:00:00:00:00:01, found "00:00:00:00:00:00"',
    ],
    [
      "tap:web?mac=02:00:00",
      'BAD_OPTION port p: mac: expected a unicast MAC address such as 02:00:00:00:00:01, found "02:00:00"',
    ],
    ["tap:web?offload=tso4", 'BAD_OPTION port p: offload: expected csum beside tso4, tso6 and uso, found "tso4"'],
    ["tap:web?offload=uso", 'BAD_OPTION port p: offload: expected csum beside tso4, tso6 and uso, found "uso"'],
    ["tap:web?offload=csum,ecn", 'BAD_OPTION port p: offload: expected tso4 or tso6 beside ecn, found "csum,ecn"'],
    [
      "tap:web?offload=lro",
      'BAD_OPTION port p: offload: expected none or a list of csum, ecn, tso4, tso6, uso, found "lro"',
    ],
    ["tap:web?mtu=1500&mtu=1500", "BAD_OPTION port p: mtu: given twice"],
    ["tap:web?&", 'BAD_URI port p: empty option in "?&": write ?OPTION=VALUE&OPTION=VALUE'],
    ["vhost-user:/a?mode=peer", 'BAD_OPTION port p: mode: expected server or client, found "peer"'],
    [`tap:${"x".repeat(2000)}`, "BAD_URI port p: uri longer than 1024 characters"],
  ];
  test.each(cases)("%s", (uri, line) => {
    expect(lineOf(() => parse(uri))).toBe(line);
  });
});

test.each(["a\nb", "a\0", "a\x85", "a\u2028", "a\ud800"])(
  "an option beside a uri is a line, as in it: not %j",
  (netns) => {
    const anyNetns = { ...fakeKinds, tap: { ...fakeKinds.tap, options: { netns: z.string() } } };
    const refusal = `BAD_OPTION port p: netns: bad character in ${quoted(netns)}`;
    expect(lineOf(() => parsePort("p", "tap:a", anyNetns, { netns }))).toBe(refusal);
  },
);

describe("port names", () => {
  test.each(["a", "vm-1.eth_0", "x".repeat(32)])("%s is one", (name) => {
    expect(parsePort(name, "null:", fakeKinds).name).toBe(name);
  });
  test.each(["", "a b", "ä", "x".repeat(33), "a/b", "a\n"])("%j is none", (name) => {
    expect(lineOf(() => parsePort(name, "null:", fakeKinds))).toContain("expected a port name of 1 to 32 letters");
  });
  test("a prototype's is none: names are keys", () => {
    expect(lineOf(() => parsePort("__proto__", "null:", fakeKinds))).toBe(
      'BAD_URI port __proto__: expected another port name, found "__proto__"',
    );
  });
  test("NAME=URI splits at the first =", () => {
    expect(parsePortArgument("web=tap:web?mtu=1500", fakeKinds)).toMatchObject({
      name: "web",
      uri: "tap:web?mtu=1500",
    });
    expect(lineOf(() => parsePortArgument("tap:web", fakeKinds))).toContain("is not NAME=URI");
    expect(lineOf(() => parsePortArgument("=tap:web", fakeKinds))).toContain("is not NAME=URI");
  });
});

test("other options give another canonical uri", () => {
  expect(withOptions(parse("vhost-user:/a?mtu=1500"), { mtu: 9000 }, fakeKinds).uri).toBe("vhost-user:/a?mtu=9000");
});

describe("any text", () => {
  const target = fc
    .string({ unit: "binary", minLength: 1, maxLength: 30 })
    .filter((text) => !/[\p{Cc}\u2028\u2029]/u.test(text));
  test("survives as a target, encoded, and the canonical form is its own canonical form", () => {
    fc.assert(
      fc.property(target, fc.integer({ min: 68, max: 65535 }), (text, mtu) => {
        fc.pre(text.isWellFormed());
        const spec = parse(`tap:${encodeURIComponent(text)}?mtu=${mtu}`);
        expect(spec.target).toBe(text);
        expect(/^[\x21-\x7e]+$/.test(spec.uri)).toBe(true);
        expect(parse(spec.uri)).toEqual(spec);
      }),
    );
  });
  test("is a port or a RingyardError", () => {
    const uri = fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(..."tap:memory?&=%,0123mtuac/"), maxLength: 60 }),
    );
    fc.assert(
      fc.property(uri, (text) => {
        try {
          expect(parse(parse(text).uri).uri).toBe(parse(text).uri);
        } catch (error) {
          expect(error).toBeInstanceOf(RingyardError);
          expect(errorLine(error)).not.toContain("\n");
        }
      }),
      { numRuns: 2000 },
    );
  });
});
