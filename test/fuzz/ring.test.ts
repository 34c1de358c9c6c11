// Fuzzing the split ring: random memory and descriptors against a slow, obvious model, byte for byte; cases that once
// failed; and mistakes planted in a copy of the source, each of which the fuzzer has to find.

import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sized } from "../support/scale.ts";
import { type Mistake, plant, ROOT, uproot } from "./mutant.ts";
import { fuzzSeed, Random } from "./random.ts";
import { caseFromText } from "./ring-case.ts";
import { RingHarness } from "./ring-harness.ts";

const seed = fuzzSeed("ring");

test("rings are walked, fetched from and delivered into as the model has it", async () => {
  (await RingHarness.of(ROOT)).run(new Random(seed), sized(2000, 500_000));
}, 3_600_000);

const crashers = join(import.meta.dir, "crashers/ring");
test.each(readdirSync(crashers))("%s", async (name) => {
  const it = caseFromText(readFileSync(join(crashers, name), "utf8"));
  expect((await RingHarness.of(ROOT)).problem(it)).toBeNull();
});

const CHAIN = "src/virtio/chain.ts";
const FETCH = "src/virtio/fetch.ts";
const RELEASE = "src/virtio/release.ts";
const DELIVER = "src/virtio/deliver.ts";
const PLACES = "src/virtio/places.ts";
const HEADER = "src/virtio/net-header.ts";

const mistakes: Mistake[] = [
  { name: "a chain without a time to live", file: CHAIN, from: "let ttl = size;", to: "let ttl = 1 << 20;" },
  { name: "a table without a time to live", file: CHAIN, from: "let ttl = count;", to: "let ttl = 1 << 20;" },
  { name: "a time to live of one too few", file: CHAIN, from: "let ttl = size;", to: "let ttl = size - 1;" },
  { name: "next unchecked", file: CHAIN, from: "if (index >= size) return DROP_DESC_INDEX;", to: "" },
  { name: "next in a table unchecked", file: CHAIN, from: "if (index >= count) return DROP_DESC_INDEX;", to: "" },
  {
    name: "nested tables",
    file: CHAIN,
    from: "if ((flagsNext & VRING_DESC_F_INDIRECT) !== 0) return DROP_DESC_NESTED;",
    to: "",
  },
  {
    name: "a table followed by NEXT",
    file: CHAIN,
    from: "if ((flagsNext & VRING_DESC_F_NEXT) !== 0) return DROP_DESC_INDIRECT;",
    to: "",
  },
  { name: "half descriptors in a table", file: CHAIN, from: "(bytes & 15) !== 0 || ", to: "" },
  {
    name: "a table that ends outside",
    file: CHAIN,
    from: "memory.find(lo, hi, bytes) !== bytes",
    to: "memory.find(lo, hi, bytes) === 0",
  },
  { name: "empty buffers", file: CHAIN, from: "if (length <= 0 ||", to: "if (length < 0 ||" },
  { name: "negative lengths", file: CHAIN, from: "if (length <= 0 ||", to: "if (length === 0 ||" },
  {
    name: "lengths summed without limit",
    file: CHAIN,
    from: "out.bytes + length > MAX_CHAIN_BYTES",
    to: "length > MAX_CHAIN_BYTES",
  },
  { name: "no carry at 4 GiB", file: CHAIN, from: "high++;", to: "" },
  {
    name: "more pieces than there is room for",
    file: CHAIN,
    from: "if (s >= out.window.length) return DROP_DESC_LOOP;",
    to: "",
  },
  { name: "pieces of a refused chain", file: CHAIN, from: "if (outcome !== 0) out.count = start;", to: "" },
  {
    name: "a window's end unchecked",
    file: "src/mem/guest-memory.ts",
    from: "offset >= 0 && offset <= this.lastNear - length",
    to: "offset >= 0 && offset <= this.lastNear",
  },
  {
    name: "addresses cut to 32 bits",
    file: "src/mem/guest-memory.ts",
    from: "if (hi === this.lastHi && offset",
    to: "if (offset",
  },
  {
    name: "a mapped window's end unchecked",
    file: "src/mem/guest-memory.ts",
    from: "offset > near - length",
    to: "offset > near",
  },
  {
    name: "mapped addresses cut to 32 bits",
    file: "src/mem/guest-memory.ts",
    from: "if (hi !== map[at] || offset",
    to: "if (offset",
  },
  { name: "one jump too far", file: FETCH, from: "- fetcher.held.count)", to: "- fetcher.held.count + 1)" },
  { name: "a head outside", file: FETCH, from: "if (head >= size) {", to: "if (head > size) {" },
  { name: "runts", file: FETCH, from: "if (length < MIN_FRAME) {", to: "if (length < MIN_FRAME - 1) {" },
  {
    name: "a start pulled too short",
    file: FETCH,
    from: "Math.min(length, PULL_SIZE)",
    to: "Math.min(length, MIN_FRAME)",
  },
  {
    name: "a used entry that counts its bytes",
    file: RELEASE,
    from: "usedRing[entry] = heads[index];\n    usedRing[entry + 1] = 0;",
    to: "usedRing[entry] = heads[index];\n    usedRing[entry + 1] = 12;",
  },
  {
    name: "a header before its buffer",
    file: DELIVER,
    from: "writeNetHeader(views[window], offset,",
    to: "writeNetHeader(views[window], offset - 4,",
  },
  { name: "UDP without being asked", file: HEADER, from: "needs |= OFFLOAD_USO;", to: "{}" },
  {
    name: "ECN of UDP",
    file: HEADER,
    from: "else if (gso === VIRTIO_NET_HDR_GSO_UDP_L4)",
    to: "else if (type === VIRTIO_NET_HDR_GSO_UDP_L4)",
  },
  {
    name: "buffers one byte too short",
    file: PLACES,
    from: "desc[entry + 2] >= needed;",
    to: "desc[entry + 2] >= needed - 1;",
  },
  {
    name: "a place that the driver only lets read",
    file: PLACES,
    from: "(desc[entry + 3] & CHAIN_FLAGS) === VRING_DESC_F_WRITE && ",
    to: "",
  },
  { name: "places behind the frames", file: PLACES, from: "list[from + placed]", to: "list[placed]" },
  { name: "frames in the places of others", file: DELIVER, from: "list[from + k]", to: "list[k]" },
  { name: "all pieces but the last", file: DELIVER, from: "left > 1; left--", to: "left > 2; left--" },
  { name: "the first piece once more", file: DELIVER, from: "segmentLength[s++]", to: "segmentLength[s]" },
  {
    name: "frames merged without being asked",
    file: DELIVER,
    from: "if (!deliverer.mergeable) return TOO_SMALL;",
    to: "",
  },
  { name: "a buffer taken twice", file: DELIVER, from: "if (taken === free) return 0;", to: "" },
  {
    name: "a length of the whole frame in every buffer",
    file: DELIVER,
    from: "usedRing[entry + 1] = piece;",
    to: "usedRing[entry + 1] = needed;",
  },
];

/** The same cases every time: whether a mistake is found does not depend on luck. */
const CANARY_SEED = 2;

describe("the harness bites", () => {
  const roots: string[] = [];
  afterAll(() => roots.forEach(uproot));

  test.each(mistakes.map((mistake) => [mistake.name, mistake] as const))(
    "%s",
    async (_name, mistake) => {
      const root = plant(mistake);
      roots.push(root);
      const harness = await RingHarness.of(root);
      expect(() => harness.run(new Random(CANARY_SEED), 20_000)).toThrow(/^seed \d+, round \d+: /);
    },
    60_000,
  );
});
