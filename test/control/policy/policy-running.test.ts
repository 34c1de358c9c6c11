// A configuration's policies on real workers: in force from the first frame, changed by a reload while frames pass, of which none is lost.

import { expect, test } from "bun:test";
import { parseConfig } from "../../../src/control/config.ts";
import { Running } from "../../../src/control/running.ts";
import { kinds } from "../../../src/control/wiring.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";
import { until } from "../../support/until.ts";

const start = useMemorySwitch();

/** Ports a, b and c, each with what is said of it. */
const file = (said: Record<string, string>, ...others: string[]) =>
  parseConfig(
    [
      ...["a", "b", "c"].flatMap((name) => [`[ports.${name}]`, `uri = "memory:${name}"`, said[name] ?? ""]),
      ...others,
    ].join("\n"),
    "x.toml",
    kinds,
  );

async function running(it: MemorySwitch, ...config: Parameters<typeof file>): Promise<Running> {
  const made = new Running(it.api, kinds, { settings: {} });
  await it.api.whileHeld(() => made.replace(file(...config), { held: true }));
  return made;
}

test("a start and a reload separate VLANs, and a mirror sees what passes", async () => {
  const it = await start({});
  const made = await running(it, { a: "vlan = 10", b: "vlan = 10", c: "vlan = 20" });
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(1))]);
  await it.settled();
  expect(it.drain("c")).toEqual([]);
  await made.replace(file({ a: "vlan = 20", b: "vlan = 10", c: "vlan = 20" }));
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await it.receive("c", 1)).toEqual([frame(BROADCAST, mac(1))]);
  await it.settled();
  expect(it.drain("b")).toEqual([]);
  await made.replace(
    file({ a: "vlan = 20", b: "vlan = 10", c: "vlan = 20" }, "[mirrors.m]", 'ports = "a:in"', 'to = "b"'),
  );
  it.send("a", frame(BROADCAST, mac(1)));
  expect(await it.receive("b", 1)).toEqual([frame(BROADCAST, mac(1))]);
});

test("policies that come, change and go lose no frame of ports that stay", async () => {
  const it = await start({});
  const made = await running(it, {});
  it.send("b", frame(BROADCAST, mac(2)));
  await it.settled();
  for (const name of ["a", "c"]) it.drain(name);
  const said = ['police = "10 Gbit/s"', "priority = 5", "vlan = 10", ""];
  let sent = 0;
  let changing = true;
  const stream = (async () => {
    // A frame at a time, as fast as it arrives: each meets one set of policies or the other.
    while (changing) {
      const next = frame(mac(2), mac(1), 60 + (sent % 1000));
      it.send("a", next);
      expect(await it.receive("b", 1)).toEqual([next]);
      sent++;
    }
  })();
  for (let round = 0; round < 12; round++) {
    const both = said[round % said.length];
    const before = sent;
    await made.replace(file({ a: both, b: both }, ...(round % 3 === 0 ? ["[vlans.10]", "ageing = 60"] : [])));
    await until("a frame under these policies", () => sent > before + 1);
  }
  changing = false;
  await stream;
  await it.settled();
  expect([it.drops("a"), it.drops("b")]).toEqual([{}, {}]);
});
