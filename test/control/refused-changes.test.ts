// A change that is refused is noticed by nobody: no VLAN begins meanwhile, no address is forgotten, no frame is dropped. On a running switch, and of
// one port alone: which comes first, its policy or its lanes.

import { expect, test } from "bun:test";
import type { DmaRegistry } from "../../src/control/dma.ts";
import { Running } from "../../src/control/running.ts";
import { RunningPort } from "../../src/control/running-port.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { RingyardError } from "../../src/core/errors.ts";
import type { Dispatcher } from "../../src/dataplane/dispatch.ts";
import { PORT_UP, SharedState } from "../../src/dataplane/shared.ts";
import type { PortHost, PortKind } from "../../src/ports/port.ts";
import type { Reactor } from "../../src/sys/reactor.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { quiet, useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();

/** Two ports, of which one has taught its address. */
async function learned() {
  const memory = await start({});
  const running = new Running(memory.api, kinds, { settings: {} });
  for (const name of ["o", "p"]) await running.addPort({ spec: parsePort(name, `memory:${name}`, kinds), link: "up" });
  memory.send("o", frame(BROADCAST, mac(1)));
  await memory.receive("p", 1);
  const addresses = async () => (await memory.api.fdb()).entries.map(({ mac, port, vlan }) => [mac, port, vlan]);
  expect(await addresses()).toEqual([["02:00:00:00:00:01", "o", undefined]]);
  return { memory, running, addresses };
}

test("a port that cannot be opened begins no VLAN, and no address is forgotten", async () => {
  const { running, addresses } = await learned();
  const spec = parsePort("bad", "tap:x?netns=no-such-namespace", kinds);
  const vlan = { mode: "access", vid: 10 } as const;
  const error = await failure(running.addPort({ spec, link: "up", policy: { vlan } }));
  expect(error.message).toStartWith("port bad: no network namespace");
  expect(await addresses()).toEqual([["02:00:00:00:00:01", "o", undefined]]);
});

test("a VLAN that is refused with an mtu begins not, and no address is forgotten", async () => {
  const { memory, running, addresses } = await learned();
  const error = await failure(running.setPort("o", { mtu: 1800, policy: { vlan: "10" } }));
  expect(error.message).toBe("port o: the mtu of a running memory port cannot change");
  expect(await addresses()).toEqual([["02:00:00:00:00:01", "o", undefined]]);
  memory.send("p", frame(mac(1), mac(2)));
  await memory.receive("o", 1);
});

/** A port without a switch: writes down when its lanes open, and whether frames are sent there by then. */
function portAlone(uri = "null:") {
  const events: string[] = [];
  const shared = SharedState.allocate(1);
  const isUp = () => Atomics.load(shared.control, SharedState.portWord(3, PORT_UP)) === 1;
  const dispatcher = {
    ...{ shared, cpus: [], resetPort() {} },
    open: async () => void events.push(`lane, ${isUp() ? "up" : "down"}`),
    close: async (_: number, pair: number) => void (pair === 0 && events.push("no lane")),
  } as unknown as Dispatcher;
  const dma = { reaches: () => false, end: async () => {} } as unknown as DmaRegistry;
  const port = new RunningPort(parsePort("a", uri, kinds), 3, dispatcher, dma, {} as Reactor, quiet);
  const kind = {
    ...kinds.null,
    async open(_: unknown, host: PortHost) {
      events.push("opens");
      host.setCarrier(true);
      expect(isUp()).toBe(false);
      await Promise.all([0, 1].map((pair) => host.openLane(pair, { driver: "null" })));
      return { details: () => ({}), close: async () => {} };
    },
  } satisfies PortKind;
  return { events, isUp, port, kind };
}

test("a port's lanes open, and frames are sent to it, when its policy is known, and not before", async () => {
  const { events, port, kind } = portAlone();
  await port.open(kind, async () => void events.push("policy"));
  expect(events).toEqual(["opens", "policy", "lane, up", "lane, up"]);
});

test("a port of whose policy the workers do not know has no lane", async () => {
  const { events, isUp, port, kind } = portAlone();
  const opening = port.open(kind, () => Promise.reject(new RingyardError("BUSY", "no workers")));
  expect((await failure(opening)).message).toBe("no workers");
  expect(events).toEqual(["opens", "no lane"]);
  expect(isUp()).toBe(false);
});

test("a port that is refused has no lane, and says why, also where its kind cannot end it", async () => {
  const { events, isUp, port, kind } = portAlone("null:?link=down");
  const open = async (spec: unknown, host: PortHost) => ({
    ...(await kind.open(spec, host)),
    setLink() {
      throw new RingyardError("SYSTEM", "its link stays up");
    },
    close: () => Promise.reject(new RingyardError("BUSY", "the kernel keeps it")),
  });
  expect((await failure(port.open({ ...kind, open }))).message).toBe("its link stays up");
  expect(events).toEqual(["opens", "lane, down", "lane, down", "no lane"]);
  expect(isUp()).toBe(false);
});
