// Ports against what the switch holds: refused before anything is done, and put back as they were. On a running switch with memory ports.

import { expect, test } from "bun:test";
import { type Config, type ConfigError, parseConfig } from "../../src/control/config.ts";
import { checkWhole } from "../../src/control/config-check.ts";
import { Running } from "../../src/control/running.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { errorLine } from "../../src/core/errors.ts";
import { failure } from "../support/failure.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();
const NEXT = "choose 1000 at most, or start the switch with a larger mac-limit";

const read = (...lines: string[]): Config => parseConfig(lines.join("\n"), "x.toml", kinds);
/** A switch for 1,000 addresses, or as many, and lines of [ports]. */
const file = (ports: string[], macLimit = 1000) => read("[switch]", `mac-limit = ${macLimit}`, "[ports]", ...ports);

async function running(...ports: string[]) {
  const wanted = file(ports);
  const { api } = await start(wanted.settings);
  const running = new Running(api, kinds, wanted);
  await running.replace(wanted);
  return { api, running };
}

const P = 'p = "memory:limited"';

test("port set refuses a limit above the switch's, and the link stays up", async () => {
  const { api, running: it } = await running(P);
  const error = await failure(it.setPort("p", { link: "down", macLimit: 5000, policy: { vlan: 7 } }));
  expect(error.advice).toBe(`port p: mac-limit: 5000 is more than the 1000 of the switch: ${NEXT}`);
  expect(api.port("p")).toMatchObject({ admin: "up", macLimit: 1000 });
  expect(it.config.ports.get("p")).toMatchObject({ link: "up" });
  // Whoever asks the switch itself, too.
  expect((await failure(api.setPort("p", { link: "down", macLimit: 5000 }))).advice).toBe(error.advice);
  expect(api.port("p").admin).toBe("up");
});

test("port add refuses it before there is a port", async () => {
  const { running: it } = await running(P);
  const port = { spec: parsePort("q", "memory:never", kinds), link: "up", macLimit: 5000 } as const;
  expect((await failure(it.addPort(port))).message).toStartWith("port q: mac-limit: 5000 is more than");
});

test("a reload refuses it with the line of the file, and changes nothing", async () => {
  const { api, running: it } = await running(P, 'gone = "memory:going"');
  const error = await failure(it.replace(file(['p = { uri = "memory:limited?link=down", mac-limit = 5000 }'], 9000)));
  const line = `x.toml:4: ports.p: mac-limit: 5000 is more than the 1000 of the switch: ${NEXT}`;
  expect((error as ConfigError).lines).toEqual([line]);
  expect(api.ports().map(({ name, admin, macLimit }) => [name, admin, macLimit])).toEqual([
    ["p", "up", 1000],
    ["gone", "up", 1000],
  ]);
});

test("a reload that fails behind a limit puts the switch's own back", async () => {
  const { api, running: it } = await running(P);
  const wanted = file(['p = { uri = "memory:limited", mac-limit = 5 }', 'q = "tap:q?netns=no-such-namespace"']);
  const error = await failure(it.replace(wanted));
  expect(errorLine(error)).toStartWith("port q: ");
  expect(errorLine(error)).not.toContain("put back");
  expect(api.port("p").macLimit).toBe(1000);
});

test("a port whose limit goes has that of the running switch, whatever the file wants of the next", async () => {
  const { api, running: it } = await running('p = { uri = "memory:limited", mac-limit = 5 }');
  expect((await it.replace(file([P], 2000))).restart).toEqual(["mac-limit"]);
  expect(api.port("p").macLimit).toBe(1000);
});

test("a reload refuses a processor without a worker before any port goes", async () => {
  const { api, running: it } = await running(P, 'gone = "memory:going"');
  api.fdbAdd("02:00:00:00:00:99", "gone");
  const error = await failure(it.replace(file([P, 'q = "memory:never?cpu=0"'])));
  const next = "start the switch with cpus, or leave it out";
  expect((error as ConfigError).lines).toEqual([`x.toml:5: ports.q: cpu: the switch has no worker on cpu 0: ${next}`]);
  expect((await api.fdb("gone")).entries.map(({ mac }) => mac)).toEqual(["02:00:00:00:00:99"]);
});

test("config check refuses what a start would", () => {
  const wanted = file(['p = { uri = "memory:x", mac-limit = 1001 }', 'q = { uri = "memory:y", mac-limit = 1000 }']);
  expect(() => checkWhole(wanted)).toThrow("x.toml:4: ports.p: mac-limit: 1001 is more than the 1000 of the switch");
  const plain = (limit: number) => read("[ports.p]", 'uri = "memory:x"', `mac-limit = ${limit}`);
  expect(() => checkWhole(plain(65_537))).toThrow("mac-limit: 65537 is more than the 65536");
  checkWhole(plain(65_536));
});
