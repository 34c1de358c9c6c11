// Fuzzing vhost-user: random sessions of valid and damaged messages with random descriptors against a live switch; scripts
// that once failed; and mistakes planted in a copy of the source, each of which the fuzzer has to find.

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sized } from "../support/scale.ts";
import { type Mistake, plant, ROOT, uproot } from "./mutant.ts";
import { fuzzSeed, Random } from "./random.ts";
import { VhostUserHarness } from "./vhost-user-harness.ts";

const seed = fuzzSeed("vhost-user");
const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action();
});

async function harnessOf(root: string, patienceMs?: number): Promise<VhostUserHarness> {
  const harness = await VhostUserHarness.of(root, patienceMs);
  undo.push(() => harness.close());
  return harness;
}

test("a switch outlives any front end, and so do its other ports", async () => {
  await (await harnessOf(ROOT)).run(new Random(seed), sized(200, 50_000));
}, 3_600_000);

const crashers = join(import.meta.dir, "crashers/vhost-user");
test.each(existsSync(crashers) ? readdirSync(crashers) : [])("%s", async (name) => {
  const scripts = JSON.parse(readFileSync(join(crashers, name), "utf8"));
  expect(await (await harnessOf(ROOT)).replay(scripts)).toBeNull();
});

const PORT = "src/ports/vhost-user";
const mistakes: Mistake[] = [
  {
    name: "descriptors of a refused message are kept",
    file: `${PORT}/handlers.ts`,
    from: "for (const fd of message.fds) closeFd(fd);",
    to: "",
  },
  {
    name: "descriptors of half a message are kept",
    file: `${PORT}/message.ts`,
    from: "for (const fd of this.fds) closeFd(fd);",
    to: "",
  },
  {
    name: "memory is kept",
    file: `${PORT}/memory.ts`,
    from: "for (const region of this.regions) unmap(region.base, region.mapped);",
    to: "",
  },
  {
    name: "a replaced eventfd is kept",
    file: `${PORT}/handlers.ts`,
    from: 'closeFd(session.vrings[index].replace("errFd", fd));',
    to: 'session.vrings[index].replace("errFd", fd);',
  },
  {
    name: "a connection that broke a rule goes on",
    file: `${PORT}/session.ts`,
    from: "{ socket: this.device.path });\n      await this.end();",
    to: "{ socket: this.device.path });",
  },
  { name: "a port is not free after a connection", file: `${PORT}/session.ts`, from: "this.onEnd();", to: "" },
];

/** The same scripts every time: whether a mistake is found does not depend on luck. */
const CANARY_SEED = 1;

describe("the harness bites", () => {
  test.each(mistakes.map((mistake) => [mistake.name, mistake] as const))(
    "%s",
    async (_name, mistake) => {
      const root = plant(mistake);
      undo.push(() => uproot(root));
      const found = harnessOf(root, 1_500).then((harness) => harness.run(new Random(CANARY_SEED), 200));
      expect(await found.then(() => "nothing", String)).toMatch(/seed 1, round \d+: |the port to be free again/);
    },
    60_000,
  );
});
