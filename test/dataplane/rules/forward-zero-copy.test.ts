// Frames that a NIC could read in their sender's memory, in a switch with rules: they begin in the arena, which no NIC reaches, so
// they are copied, counted as that, and their buffers go back at once. Without rules again, they are read where they lie again.

import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuleTable } from "../../../src/dataplane/rules/table.ts";
import { frame, mac } from "../../support/frames.ts";
import { FrontEnd } from "../../support/frontend.ts";
import { FakeSpace, useNicSwitch } from "../../support/nic-switch.ts";
import { until } from "../../support/until.ts";
import { macNumber, rulesOf } from "./rules-of.ts";

const VM = mac(0xb1);
const WIRE = mac(0xc1);

const start = useNicSwitch();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-rules-"));
const frontEnds: FrontEnd[] = [];
afterEach(() => {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
});
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

test.each([1, 2])("copies of a NIC's frames are counted as such, with %i workers", async (workers) => {
  const it = start(workers);
  const nic = await it.addNic("nic", WIRE, new FakeSpace());
  const path = join(scratch, `${workers}.sock`);
  await it.add("vm", `vhost-user:${path}`, VM);
  const vm = new FrontEnd(path);
  frontEnds.push(vm);
  await vm.connect();
  await vm.start();
  const table = new RuleTable({ dispatcher: it.dispatcher, fdb: it.fdb, portName: String, onLog() {} });
  const send = async (count: number) => {
    const before = it.counts("nic").txFrames;
    for (let n = 0; n < count; n++) expect(vm.send(frame(WIRE, VM, 60 + 10 * n, n))).toBe(true);
    await until(`${count} frames`, () => it.counts("nic").txFrames === before + count, { everyMs: 1 });
  };
  const returned = () => vm.transmitRing().ring.used[1];

  await send(4);
  expect([it.counts("nic").txZeroCopy, nic.ring.waiting, returned()]).toEqual([4, 4, 0]);
  // Frames that are held when rules come go back as they would have.
  await table.replace(rulesOf([2, { "eth.dst": macNumber(WIRE) }, { do: "allow" }], [1, {}, { do: "drop" }]), []);
  await send(10);
  expect([it.counts("nic").txZeroCopy, it.counts("nic").txCopied, returned()]).toEqual([4, 10, 0]);
  nic.ring.permit(14);
  await until("all buffers back", () => returned() === 14, { everyMs: 1 });
  expect(table.counters(1).frames).toBe(10);
  await table.replace([], []);
  await send(3);
  expect([it.counts("nic").txZeroCopy, it.counts("nic").txCopied]).toEqual([7, 10]);
  nic.ring.permit(3);
  await until("all buffers back", () => returned() === 17, { everyMs: 1 });
});
