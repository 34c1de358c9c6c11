// A change that fails behind the removal of a port: the port is made anew, and what was pinned to it is as it was, on real workers.

import { expect, test } from "bun:test";
import { applyActions } from "../../src/control/apply.ts";
import type { PortConfig } from "../../src/control/config.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { failure } from "../support/failure.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();
const memory = (name: string): PortConfig => ({ spec: parsePort(name, `memory:${name}`, kinds), link: "up" });

test("addresses that were pinned in VLANs which their port left since, or when there were none, are pinned there again", async () => {
  const { api } = await start({}, "a", "b");
  const moveTo = (vid: number) =>
    api.policy.set({ ports: new Map([["a", { vlan: { mode: "access", vid } }]]), vlans: [], mirrors: [] });
  const pinned = async () => (await api.fdb()).entries.map(({ mac, vlan }) => `${mac} ${vlan ?? "none"}`).sort();
  api.fdbAdd("02:00:00:00:00:01", "a");
  await moveTo(10);
  api.fdbAdd("02:00:00:00:00:02", "a");
  await moveTo(20);
  api.fdbAdd("02:00:00:00:00:03", "a");
  const before = await pinned();
  expect(before).toEqual(["02:00:00:00:00:01 none", "02:00:00:00:00:02 10", "02:00:00:00:00:03 20"]);
  const failing = applyActions(api, [
    { do: "remove", port: memory("a") },
    { do: "add", port: memory("b") },
  ]);
  expect(await failure(failing)).toMatchObject({ code: "EXISTS", anew: ["a"], lost: [] });
  expect(await pinned()).toEqual(before);
});
