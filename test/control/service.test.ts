// The end of a switch as a client of the control socket asks for it, and a start that fails.

import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ControlClient } from "../../src/control/client.ts";
import { type Config, emptyConfig } from "../../src/control/config.ts";
import { portConfig } from "../../src/control/config-schema.ts";
import { Service } from "../../src/control/service.ts";
import { parsePort } from "../../src/control/uri.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useDirectories } from "../support/control.ts";
import { fakeKinds } from "../support/fake-kinds.ts";
import { FakeSwitch, quiet } from "../support/fake-switch.ts";
import { until } from "../support/until.ts";

const directory = useDirectories();
const defer = useCleanup();

function prepare(...names: string[]) {
  const control = join(directory(), "c.sock");
  const config: Config = { ...emptyConfig(), control };
  for (const name of names) config.ports.set(name, portConfig(parsePort(name, `vduse:${name}`, fakeKinds)));
  const fake = new FakeSwitch({});
  const asked: boolean[] = [];
  const options = {
    ...{ load: async () => config, createSwitch: async () => fake, kinds: fakeKinds, log: quiet },
    shutdown: (remove: boolean) => void asked.push(remove),
  };
  const client = async () => {
    const client = await ControlClient.connect(control);
    defer(() => client.close());
    return client;
  };
  return { control, fake, asked, options, client };
}

describe("a client that asks for the end", () => {
  test("is told what stays when it has come, by an answer, a closed connection and no socket", async () => {
    const { control, fake, asked, options, client } = prepare("web", "db");
    const service = await Service.start(options);
    const asking = await client();
    await asking.request("port.attach", { name: "web", to: "vm" });
    let answer: object | undefined;
    const answered = asking.request("shutdown", { remove: false }).then((result) => {
      answer = result;
    });
    await until("the wish", () => asked.length > 0);
    const other = await client();
    await expect(other.request("port.list", {})).rejects.toMatchObject({
      ...{ code: "BUSY", message: "the switch is shutting down", next: "wait until it has ended" },
    });
    await expect(other.request("shutdown", { remove: true })).rejects.toMatchObject({ code: "BUSY" });
    expect([asked, answer]).toEqual([[false], undefined]);
    expect(existsSync(control)).toBe(true);
    await service.close({ keep: !asked[0] });
    await answered;
    expect(answer).toEqual({ kept: ["web"], failed: [] });
    await asking.ended();
    expect(existsSync(control)).toBe(false);
    expect(fake.closed).toEqual({ keep: true });
  });

  test("hears of an end that fails", async () => {
    const { control, fake, asked, options, client } = prepare();
    const service = await Service.start(options);
    const answered = (await client()).request("shutdown", { remove: true }).catch((error) => error);
    await until("the wish", () => asked.length > 0);
    fake.close = () => Promise.reject(new RingyardError("SYSTEM", "a worker hangs"));
    await expect(service.close({ keep: false })).rejects.toThrow("a worker hangs");
    expect(await answered).toMatchObject({ code: "SYSTEM", message: "a worker hangs" });
    expect(existsSync(control)).toBe(false);
  });
});

test("a start that fails gives back what it adopted", async () => {
  const { control, fake, options } = prepare("web", "db");
  fake.failures.set("addPort db", new RingyardError("BUSY", "no"));
  await expect(Service.start(options)).rejects.toThrow("port db: no");
  expect(fake.calls).toEqual(["addPort web", "addPort db", "removePort web keep"]);
  expect(fake.closed).toEqual({ keep: true });
  expect(existsSync(control)).toBe(false);
});
