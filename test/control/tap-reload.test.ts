// Reloads over a real TAP device: what changes while it runs is not made anew, and so keeps its addresses and what is pinned to it.

import { expect, test } from "bun:test";
import { parseConfig } from "../../src/control/config.ts";
import { Running } from "../../src/control/running.ts";
import { kinds } from "../../src/control/wiring.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";
import { useNamespaces } from "../support/netns.ts";
import { links, requireTap, TAP_NAME } from "../support/tap.ts";

const PINNED = "02:00:00:00:00:99";

requireTap()("a TAP port over reloads", () => {
  const namespace = useNamespaces();
  const start = useMemorySwitch();

  async function running() {
    const { name } = await namespace();
    const file = (words: string) =>
      parseConfig(`[ports.t]\nuri = "tap:${TAP_NAME}?netns=${name}"\n${words}`, "x.toml", kinds);
    const { api } = await start({});
    const running = new Running(api, kinds, { settings: {} });
    await running.replace(file(""));
    api.fdbAdd(PINNED, "t");
    const device = () => links(name).find(({ ifname }) => ifname === TAP_NAME)!;
    return { api, running, file, device };
  }

  test("keeps its device where an mtu is taken back, or said for the first time", async () => {
    const { api, running: it, file, device } = await running();
    const { address } = device();
    expect(device().mtu).toBe(1500);
    await it.setPort("t", { mtu: 1400 });
    expect(device().mtu).toBe(1400);
    await it.replace(file(""));
    expect(device()).toMatchObject({ mtu: 1500, address });
    expect(api.port("t").uri).not.toContain("mtu");
    expect(api.port("t").mtu).toBeUndefined();
    await it.replace(file("mtu = 1300"));
    expect(device()).toMatchObject({ mtu: 1300, address });
    expect(api.port("t")).toMatchObject({ mtu: 1300 });
    expect((await api.fdb("t")).entries.map(({ mac }) => mac)).toContain(PINNED);
    expect((await it.replace(file("mtu = 1300"))).actions).toEqual([]);
  });

  test("has its own mtu again where a reload fails behind that", async () => {
    const { api, running: it, file, device } = await running();
    const { address } = device();
    const wanted = file('mtu = 1300\n[ports.q]\nuri = "tap:q?netns=no-such-namespace"');
    await expect(it.replace(wanted)).rejects.toThrow("no network namespace");
    expect(device()).toMatchObject({ mtu: 1500, address });
    expect(api.port("t").mtu).toBeUndefined();
  });
});
