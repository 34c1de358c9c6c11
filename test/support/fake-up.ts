// `ringyard up` on a fake switch, as a process of its own: for what a real switch does not do on demand.
//
//   bun fake-up.ts --control PATH --port a=null:        FAKE_HANG=close: the end of the switch never comes

import { parseArgs } from "node:util";
import { runUp } from "../../src/cli/up-run.ts";
import type { CreateSwitch } from "../../src/control/api.ts";
import { fakeKinds } from "./fake-kinds.ts";
import { FakeSwitch } from "./fake-switch.ts";

const { values } = parseArgs({
  options: { control: { type: "string" }, config: { type: "string" }, port: { type: "string", multiple: true } },
});

const createSwitch: CreateSwitch = async (settings) => {
  const fake = new FakeSwitch(settings);
  if (process.env.FAKE_HANG === "close") fake.close = () => new Promise(() => {});
  return fake;
};

await runUp({ ...values, logLevel: "info" }, { createSwitch, kinds: fakeKinds });
