// Attaching and detaching on a running switch: a kind whose attach takes as long as a test wants, on the real switch.

import { afterEach, beforeEach, expect, test } from "bun:test";
import type { SwitchApi } from "../../src/control/api.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { type Kinds, parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { memoryDriver } from "../../src/ports/memory/driver.ts";
import type { Attached, AttachTarget, Port, PortKind } from "../../src/ports/port.ts";
import { quiet } from "../support/fake-switch.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { until } from "../support/until.ts";

/** What the kind `slow` was asked, in order. */
let calls: string[];
/** An attach waits for this. */
let gate: PromiseWithResolvers<void>;
/** And the end of a port for this. */
let closing: PromiseWithResolvers<void>;
let api: SwitchApi;

class SlowPort implements Port {
  #attached = "no";

  constructor(readonly name: string) {}

  details() {
    return { attached: this.#attached };
  }

  async attach(target: AttachTarget): Promise<Attached> {
    calls.push(`${this.name} attach ${target.to}`);
    await gate.promise;
    this.#attached = "virtio-vdpa";
    calls.push(`${this.name} attached`);
    return { netdev: { netns: "blue", ifname: "eth0", mac: "02:00:00:00:00:01" } };
  }

  async detach(): Promise<void> {
    calls.push(`${this.name} detach`);
    this.#attached = "no";
  }

  setLink(up: boolean): void {
    calls.push(`${this.name} link ${up ? "up" : "down"}`);
  }

  async close(keep = false): Promise<void> {
    calls.push(`${this.name} close ${keep ? "keep" : "remove"}`);
    await closing.promise;
  }
}

const slow: PortKind = {
  ...{ kind: "slow", summary: "attached when the test says so", targetForm: "NAME", options: {} },
  probe: () => ({ available: true }),
  async open({ name, options }) {
    calls.push(`${name} open ${options.link ?? "up"}`);
    return new SlowPort(name);
  },
};
// This process has the table for itself.
(kinds as Record<string, PortKind>).slow = slow;

const BLUE: AttachTarget = { to: "netns", netns: "blue" };
const add = (name: string, uri = `slow:${name}`) => api.addPort(parsePort(name, uri, kinds as Kinds));
/** What a promise has come to by now, without waiting for it. */
const stateOf = (promise: Promise<unknown>) => {
  let state = "pending";
  promise.then(
    () => (state = "done"),
    () => (state = "failed"),
  );
  return () => state;
};

beforeEach(async () => {
  calls = [];
  gate = Promise.withResolvers();
  closing = Promise.withResolvers();
  closing.resolve();
  api = await createSwitch({}, quiet);
});

afterEach(async () => {
  gate.resolve();
  closing.resolve();
  await api.close();
});

test("gives what the kind says, and detaches", async () => {
  await add("web");
  gate.resolve();
  expect(await api.attachPort("web", BLUE)).toMatchObject({ netdev: { netns: "blue", ifname: "eth0" } });
  expect(api.port("web").details).toEqual({ attached: "virtio-vdpa" });
  expect((await api.detachPort("web")).details).toEqual({ attached: "no" });
});

test("keeps nobody waiting but what would end the port", async () => {
  await add("web");
  const attach = api.attachPort("web", BLUE);
  await until("the attach to begin", () => calls.includes("web attach netns"));
  // Asked for before, so that a removal that blocks would block these.
  const removal = api.removePort("web");
  const removed = stateOf(removal);
  await add("db");
  await api.setPort("web", { link: "down" });
  await api.setPort("db", { link: "down" });
  await api.removePort("db");
  expect(removed()).toBe("pending");
  expect(api.port("web").admin).toBe("down");
  gate.resolve();
  await attach;
  await removal;
  expect(calls.indexOf("web attached")).toBeLessThan(calls.indexOf("web close remove"));
  expect(api.ports()).toEqual([]);
});

test("is one at a time for a port, side by side for two", async () => {
  await add("a");
  await add("b");
  const all = [api.attachPort("a", BLUE), api.attachPort("b", BLUE), api.detachPort("a")];
  await until("both to begin", () => calls.includes("a attach netns") && calls.includes("b attach netns"));
  expect(calls).not.toContain("a detach");
  gate.resolve();
  await Promise.all(all);
  expect(calls.indexOf("a attached")).toBeLessThan(calls.indexOf("a detach"));
});

test("that comes behind a removal finds no port", async () => {
  await add("web");
  closing = Promise.withResolvers();
  const removal = api.removePort("web");
  await until("the removal to begin", () => calls.includes("web close remove"));
  const late = api.attachPort("web", BLUE).catch((error) => error);
  closing.resolve();
  await removal;
  expect(await late).toMatchObject({ code: "NOT_FOUND", message: "port web was removed meanwhile" });
  expect(calls).not.toContain("web attach netns");
  await expect(api.attachPort("web", BLUE)).rejects.toMatchObject({ code: "NOT_FOUND", message: "no port web" });
});

test("that fails leaves a port that can be attached and removed", async () => {
  await add("web");
  gate.reject(new RingyardError("MISSING", "no network namespace blue"));
  await expect(api.attachPort("web", BLUE)).rejects.toMatchObject({ code: "MISSING" });
  gate = Promise.withResolvers();
  gate.resolve();
  await api.attachPort("web", BLUE);
  await api.removePort("web");
});

test("is refused where a kind has nothing to attach, with what has", async () => {
  await add("sink", "null:");
  const next = "its driver comes by itself; ports of kind vduse are attached";
  await expect(api.attachPort("sink", { to: "vm" })).rejects.toMatchObject({
    ...{ code: "UNSUPPORTED", message: "port sink: a null port has nothing to attach", next },
  });
  await expect(api.detachPort("sink")).rejects.toMatchObject({
    ...{ code: "UNSUPPORTED", message: "port sink: a null port has nothing to detach", next },
  });
});

test("the end waits for it, refuses more, and says what stays", async () => {
  for (const name of ["web", "db"]) await add(name);
  for (const name of ["left", "right"]) await add(name, `memory:${name}`);
  const attach = api.attachPort("web", BLUE);
  const end = api.close({ keep: true });
  const ended = stateOf(end);
  await expect(api.attachPort("db", BLUE)).rejects.toMatchObject({ code: "BUSY" });
  // The driver that is being attached may speak to its network already: frames go on.
  memoryDriver("left").send(frame(BROADCAST, mac(1)));
  await until("the frame", () => memoryDriver("right").receive());
  expect(ended()).toBe("pending");
  gate.resolve();
  await attach;
  expect(await end).toEqual({ kept: ["web"], failed: [] });
  expect(calls.slice(-3)).toEqual(["web attached", "web close keep", "db close keep"]);
});

test("the end for good keeps nothing, and names what could not be taken away", async () => {
  await add("web");
  gate.resolve();
  await api.attachPort("web", BLUE);
  closing = Promise.withResolvers();
  closing.promise.catch(() => {});
  closing.reject(new RingyardError("SYSTEM", "device stuck", "reboot"));
  expect(await api.close()).toEqual({ kept: [], failed: [{ name: "web", reason: "device stuck: reboot" }] });
  expect(calls.at(-1)).toBe("web close remove");
});

test("a link that begins down is known when the port opens", async () => {
  expect(await add("web", "slow:web?link=down")).toMatchObject({ uri: "slow:web", admin: "down" });
  expect(calls).toEqual(["web open down", "web link down"]);
  await api.setPort("web", { link: "up" });
  expect(api.port("web").admin).toBe("up");
});
