// Fuzzing the control socket: its codec by itself, then a server whose clients send damaged frames.

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cborProblem } from "../../src/control/cbor-guard.ts";
import { decodeItem, encodeFrame, encodeItem } from "../../src/control/frame.ts";
import { RawClient, useServed } from "../support/control.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";
import { type Codec, checkItem, fuzzCodec, makeItem } from "./control-harness.ts";
import { fuzzSeed, Random } from "./random.ts";

const seed = fuzzSeed("control");
const codec: Codec = { guard: cborProblem, decode: decodeItem, encode: encodeItem };

describe("the codec", () => {
  test("holds to its rules on any item", () => {
    fuzzCodec(codec, new Random(seed), sized(30_000, 5_000_000));
  }, 600_000);

  const crashers = join(import.meta.dir, "crashers/control");
  test.each(readdirSync(crashers))("holds to its rules on %s", (name) => {
    checkItem(codec, Buffer.from(readFileSync(join(crashers, name), "utf8").trim(), "hex"));
  });
});

describe("the harness bites", () => {
  // Each planted mistake must be found within the rounds of the small run, whatever the seed.
  const pardon = (name: string): Codec => ({
    ...codec,
    guard: (item) => (cborProblem(item) === name ? null : cborProblem(item)),
  });
  test.each([
    "truncated",
    "trailing_bytes",
    "too_deep",
    "too_long",
    "indefinite_length",
    "tag",
    "reserved",
    "key_not_text",
    "text_not_utf8",
    "number_too_big",
  ])("a guard that lets %s pass is found", (name) => {
    expect(() => fuzzCodec(pardon(name), new Random(seed), 30_000)).toThrow(/^seed \d+, round \d+, item [0-9a-f]*: /);
  });

  test("a guard that refuses empty maps is found", () => {
    const strict = { ...codec, guard: (item: Uint8Array) => (item.includes(0xa0) ? "map" : cborProblem(item)) };
    expect(() => fuzzCodec(strict, new Random(seed), 30_000)).toThrow(
      /the guard says map|is refused when encoded again/,
    );
  });

  test("a decoder that makes big integers is found", () => {
    const big = { ...codec, decode: (item: Uint8Array) => (item[0] === 0x1b ? 1n : decodeItem(item)) };
    expect(() => fuzzCodec(big, new Random(seed), 30_000)).toThrow("something else than plain values");
  });
});

describe("a server", () => {
  const serve = useServed();
  const operations = [
    "version",
    "port.list",
    "port.show",
    "port.add",
    "port.del",
    "port.set",
    "fdb.show",
    "fdb.add",
    "stats",
  ];
  const values = ["a", "null:", "tap:x?mtu=1", -1, 1500, null, [], {}, "up", "\u0000", "02:00:00:00:00:01"];

  /** A frame that asks for something, rarely what can be had, often damaged. */
  function makeFrame(random: Random): Uint8Array {
    if (random.once(4)) {
      const item = makeItem(random);
      return Buffer.concat([Buffer.from(Uint32Array.of(random.once(4) ? random.next() : item.length).buffer), item]);
    }
    const keys = ["name", "uri", "link", "mtu", "macLimit", "mac", "port"];
    const args = Object.fromEntries(keys.filter(() => random.once(2)).map((key) => [key, random.pick(values)]));
    const frame = encodeFrame({ id: 1 + random.below(5), op: random.pick(operations), args });
    if (random.once(2)) frame[random.below(frame.length)] = random.below(256);
    return frame;
  }

  test("survives damaged frames, answers others meanwhile, and keeps nothing of them", async () => {
    const random = new Random(seed);
    const { path, server, client, fake } = await serve();
    const healthy = await client();
    await healthy.request("version", {});
    const before = holdings();
    const rounds = sized(300, 20_000);
    for (let round = 0; round < rounds; round++) {
      const bad = await RawClient.connect(path);
      const stream = Buffer.concat(Array.from({ length: 1 + random.below(4) }, () => makeFrame(random)));
      for (let at = 0; at < stream.length; ) {
        const size = 1 + random.below(stream.length);
        bad.send(stream.subarray(at, at + size));
        at += size;
      }
      expect(await healthy.request("version", {})).toMatchObject({ protocol: 1 });
      bad.socket.end();
      await until(
        `the end of connection ${round} (seed ${seed})`,
        () => bad.closed && server.stats().connections === 1,
      );
      // Every reply that came was a proper one.
      for (const reply of bad.replies) expect(typeof reply.ok).toBe("boolean");
      for (const { name } of fake.ports()) await fake.removePort(name);
    }
    expect(heldDifference(before, holdings())).toEqual([]);
    expect(server.stats().errors.internal).toBeUndefined();
    expect(Object.keys(server.stats().errors).length).toBeGreaterThan(3);
  }, 600_000);
});
