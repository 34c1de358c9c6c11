// A port that fails when it had a lane already, and frames came in: they stay counted, and nothing else is left of them.

import { afterEach, expect, test } from "bun:test";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { memoryDriver } from "../../src/ports/memory/driver.ts";
import { memory as memoryKind } from "../../src/ports/memory/kind.ts";
import type { PortHost, PortKind, PortSpec } from "../../src/ports/port.ts";
import { failure } from "../support/failure.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();
const known = kinds as Record<string, PortKind>;
afterEach(() => void delete known.late);

/** A memory port whose second lane, so to speak, cannot be opened when the first has taken a frame. */
function addLateKind(memory: MemorySwitch): void {
  const open = async (spec: PortSpec, host: PortHost) => {
    const port = await memoryKind.open(spec, host);
    memory.send(spec.target, frame(BROADCAST, mac(7)));
    await memory.receive("a", 1);
    await port.close();
    throw new RingyardError("LIMIT", "no room for another lane");
  };
  known.late = { ...memoryKind, kind: "late", open };
}

test("a port that fails behind its first lane leaves its addresses to no other, and its frames are counted", async () => {
  const memory = await start({}, "a");
  addLateKind(memory);
  const spec = { ...parsePort("late", "memory:late", kinds), kind: "late" };
  expect((await failure(memory.api.addPort(spec))).message).toBe("no room for another lane");
  expect(memory.api.stats().totals).toMatchObject({ rxFrames: 1, txFrames: 1 });
  expect((await memory.api.fdb()).entries).toEqual([]);
  await memory.add("b");
  await memory.add("c");
  memory.send("a", frame(mac(7), mac(1)));
  // Nobody has the address any more: it is looked for at all ports.
  await memory.receive("c", 1);
});

test("a port whose kind fails to end it goes all the same, with its lanes; its name and place are free", async () => {
  const memory = await start({}, "a");
  const open = async (spec: PortSpec, host: PortHost) => {
    const port = await memoryKind.open(spec, host);
    const close = async () => {
      throw new Error("too many open files");
    };
    ends.push(() => port.close());
    return { ...port, close };
  };
  const ends: (() => Promise<void>)[] = [];
  known.late = { ...memoryKind, kind: "late", open };
  const spec = { ...parsePort("late", "memory:late", kinds), kind: "late" };
  const { index } = await memory.api.addPort(spec);
  await memory.api.removePort("late");
  expect(memory.api.ports().map(({ name }) => name)).toEqual(["a"]);
  // Nobody fetches from it any more.
  memoryDriver("late").send(frame(BROADCAST, mac(7)));
  for (const end of ends) await end();
  await memory.add("b");
  expect(memory.api.port("b").index).toBe(index);
  memory.send("b", frame(BROADCAST, mac(8)));
  expect(await memory.receive("a", 1)).toEqual([frame(BROADCAST, mac(8))]);
});

test("and at the end of a switch it is named", async () => {
  const memory = await start({}, "a");
  const open = async (spec: PortSpec, host: PortHost) => {
    const port = await memoryKind.open(spec, host);
    return {
      ...port,
      async close() {
        await port.close();
        throw new Error("too many open files");
      },
    };
  };
  known.late = { ...memoryKind, kind: "late", open };
  await memory.api.addPort({ ...parsePort("late", "memory:late", kinds), kind: "late" });
  expect(await memory.api.close()).toEqual({ kept: [], failed: [{ name: "late", reason: "too many open files" }] });
});
