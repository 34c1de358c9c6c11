// Taking NICs and giving them back, on a machine in a folder: the order of the steps, what each refusal says, and what is left when
// any of the steps fails or is the last before a crash.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RingyardError } from "../../../../src/core/errors.ts";
import { Binder } from "../../../../src/ports/vfio/bind/binder.ts";
import { Records } from "../../../../src/ports/vfio/bind/records.ts";
import { failure } from "../../../support/failure.ts";
import { FakeMachine } from "./fake-machine.ts";

const NIC = "0000:03:00.0";
const TWIN = "0000:03:00.1";

let machine: FakeMachine;
let records: Records;
let addresses: Map<string, string[]>;
let binder: Binder;

beforeEach(() => {
  machine = new FakeMachine();
  machine.driver("vfio-pci");
  machine.device(NIC, { ids: "8086:10d3", driver: "e1000e", group: 18, netdev: "eth9" });
  records = new Records(join(machine.root, "run/nics"));
  addresses = new Map();
  binder = restarted();
});
afterEach(() => machine.remove());

/** As another process sees the same machine. */
function restarted(): Binder {
  return new Binder({ machine, addresses: () => addresses }, records);
}

async function refused(promise: Promise<unknown>): Promise<RingyardError> {
  const before = machine.writes.length;
  const error = await failure(promise);
  expect(machine.writes.slice(before)).toEqual([]);
  expect(records.addresses()).toEqual([]);
  return error;
}

describe("a NIC that is taken", () => {
  test("is remembered, bound to vfio-pci alone, and given back to the driver it had", async () => {
    const taken = await binder.take("03:00.0");
    expect(taken).toEqual({
      address: NIC,
      changed: true,
      driver: "vfio-pci",
      before: "e1000e",
      netdevs: ["eth9"],
      warnings: [],
    });
    expect(machine.writes).toEqual([
      `devices/${NIC}/driver_override vfio-pci`,
      `drivers/e1000e/unbind ${NIC}`,
      `drivers_probe ${NIC}`,
    ]);
    expect(machine.driverOf(NIC)).toBe("vfio-pci");
    expect(records.read(NIC)).toEqual({ driver: "e1000e", override: "", by: "person" });

    const given = await restarted().give(NIC);
    expect(given).toEqual({
      address: NIC,
      changed: true,
      driver: "e1000e",
      before: "vfio-pci",
      netdevs: ["eth9"],
      warnings: [],
    });
    expect(machine.override(NIC)).toBe("(null)");
    expect(records.addresses()).toEqual([]);
  });

  test("is taken once and given back once, however often that is asked for", async () => {
    await binder.take(NIC);
    const writes = machine.writes.length;
    expect(await binder.take(NIC)).toMatchObject({ changed: false, driver: "vfio-pci" });
    expect(machine.writes).toHaveLength(writes);
    expect(records.read(NIC)?.driver).toBe("e1000e");
    await binder.give(NIC);
    const after = machine.writes.length;
    expect(await binder.give(NIC)).toMatchObject({ changed: false, driver: "e1000e" });
    expect(machine.writes).toHaveLength(after);
  });

  test("gets back an override that somebody else had written", async () => {
    await machine.write(`sys/bus/pci/devices/${NIC}/driver_override`, "e1000e", NIC);
    await binder.take(NIC);
    await binder.give(NIC);
    expect(machine.override(NIC)).toBe("e1000e");
    expect(machine.driverOf(NIC)).toBe("e1000e");
  });

  test("that had no driver gets none", async () => {
    machine.device(TWIN, { ids: "8086:10c9", driver: "igb", group: 19 });
    await machine.write("sys/bus/pci/drivers/igb/unbind", TWIN, TWIN);
    await binder.take(TWIN);
    expect(machine.driverOf(TWIN)).toBe("vfio-pci");
    expect(await binder.give(TWIN)).toMatchObject({ changed: true, driver: undefined, warnings: [] });
  });

  test("by hand, without a record, goes to whoever takes it", async () => {
    await machine.write(`sys/bus/pci/devices/${NIC}/driver_override`, "vfio-pci", NIC);
    await machine.write("sys/bus/pci/drivers/e1000e/unbind", NIC, NIC);
    await machine.write("sys/bus/pci/drivers_probe", NIC, NIC);
    expect(machine.driverOf(NIC)).toBe("vfio-pci");
    expect(await binder.give(NIC)).toMatchObject({ changed: true, driver: "e1000e" });
  });

  test("by a person is not given back by a port", async () => {
    await binder.take(NIC);
    expect(await binder.give(NIC, { by: "port" })).toMatchObject({ changed: false, driver: "vfio-pci" });
    await binder.give(NIC);
    await binder.take(NIC, { by: "port" });
    // The switch was started again, and finds its NIC as it left it.
    expect(await restarted().take(NIC, { by: "port" })).toMatchObject({ changed: false });
    expect(await restarted().give(NIC, { by: "port" })).toMatchObject({ changed: true, driver: "e1000e" });
  });

  test("whose driver is gone meanwhile says which module to load", async () => {
    await binder.take(NIC);
    await Bun.$`rm -r ${join(machine.root, "sys/bus/pci/drivers/e1000e")}`;
    expect(await binder.give(NIC)).toMatchObject({
      driver: undefined,
      warnings: ["e1000e did not take it: modprobe e1000e"],
    });
  });
});

describe("a NIC is not taken, and nothing is touched,", () => {
  test("when the address is none, nobody's, or no NIC's", async () => {
    expect((await refused(binder.take("eth9"))).code).toBe("BAD_OPTION");
    expect((await refused(binder.take("0000:03:20.0"))).code).toBe("BAD_OPTION");
    expect((await refused(binder.take("0000:09:00.0"))).advice).toBe(
      "0000:09:00.0: there is no such PCI device: ringyard nic list shows the NICs that there are",
    );
    machine.device("0000:00:1f.2", { ids: "8086:2922", class: "0x010601", driver: "ahci", group: 15 });
    expect(await refused(binder.take("0000:00:1f.2"))).toMatchObject({ code: "UNSUPPORTED" });
    expect(await refused(binder.give("0000:00:1f.2"))).toMatchObject({ code: "UNSUPPORTED" });
  });

  test("while the host uses it, unless forced", async () => {
    addresses.set("eth9", ["10.0.0.1/24"]);
    const error = await refused(binder.take(NIC));
    expect(error.code).toBe("BUSY");
    expect(error.advice).toContain("eth9 has 10.0.0.1/24");
    expect(error.advice).toContain("--force");
    expect(await binder.take(NIC, { force: true })).toMatchObject({ changed: true });
  });

  test("without an IOMMU or vfio-pci, forced or not", async () => {
    machine.device(TWIN, { ids: "8086:10d3", driver: "e1000e" });
    expect((await refused(binder.take(TWIN, { force: true }))).message).toBe(
      `${TWIN}: no IOMMU keeps its DMA in bounds`,
    );
    await Bun.$`rm -r ${join(machine.root, "sys/bus/pci/drivers/vfio-pci")}`;
    expect((await refused(binder.take(NIC, { force: true }))).next).toBe("modprobe vfio-pci");
  });

  test("when there is no driver for it, unless forced", async () => {
    machine.device(TWIN, { ids: "8086:100e", driver: "e1000", group: 19 });
    expect(await refused(binder.take(TWIN))).toMatchObject({ code: "UNSUPPORTED" });
    expect(await binder.take(TWIN, { force: true })).toMatchObject({ changed: true });
  });

  test("when its group is another's too, unless that goes along", async () => {
    machine.device(TWIN, { ids: "8086:10d3", driver: "e1000e", group: 18 });
    const error = await refused(binder.take(NIC, { force: true }));
    expect(error).toMatchObject({
      code: "UNSUPPORTED",
      next: "take those along with it, or put the NIC into another slot",
    });
    expect(error.message).toContain(`${TWIN} (e1000e)`);
    expect(await binder.take(NIC, { together: ["03:00.1"] })).toMatchObject({ changed: true, warnings: [] });
    expect(await binder.take(TWIN, { together: [NIC] })).toMatchObject({ changed: true, warnings: [] });
  });

  test("when nothing can be remembered", async () => {
    records = new Records("/dev/null/nics");
    expect((await refused(restarted().take(NIC))).message).toContain("/dev/null/nics");
  });

  test("without the right to, which is said", async () => {
    machine.refuse = () => "EACCES";
    const error = await failure(binder.take(NIC));
    expect(error).toMatchObject({ code: "PERMISSION" });
    expect(error.advice).toContain("root");
    expect(machine.driverOf(NIC)).toBe("e1000e");
    expect(records.addresses()).toEqual([]);
    machine.refuse = () => "EROFS";
    expect((await failure(binder.take(NIC))).next).toContain("read-only");
  });
});

describe("a NIC that somebody drives", () => {
  beforeEach(async () => {
    await binder.take(NIC);
    machine.process(77, "bun", "/dev/vfio/18");
  });

  test("is neither taken nor given, and who drives it is named", async () => {
    const writes = machine.writes.length;
    for (const attempt of [binder.take(NIC), binder.give(NIC), binder.give(NIC, {})]) {
      expect(await failure(attempt)).toMatchObject({ code: "BUSY", message: `${NIC}: process 77 (bun) drives it` });
    }
    expect(await binder.giveAll()).toEqual({ given: [], failed: [], served: [NIC] });
    expect(machine.writes).toHaveLength(writes);
    expect(records.addresses()).toEqual([NIC]);
  });
});

test("the process that drives one NIC of a group may take and give the other", async () => {
  await binder.take(NIC);
  machine.process(process.pid, "bun", "/dev/vfio/18");
  expect(await binder.take(NIC)).toMatchObject({ changed: false });
  expect(await binder.give(NIC)).toMatchObject({ changed: true });
});

describe("what fails or stops on the way", () => {
  const steps = ["driver_override", "e1000e/unbind", "drivers_probe"];

  test.each(steps)("%s refused: the NIC has its driver, and no record", async (step) => {
    let refusals = 1;
    machine.refuse = (path) => (path.endsWith(step) && refusals-- > 0 ? "EIO" : undefined);
    expect(await failure(binder.take(NIC))).toMatchObject({ code: "SYSTEM" });
    expect({ driver: machine.driverOf(NIC), override: machine.override(NIC) }).toEqual({
      driver: "e1000e",
      override: "(null)",
    });
    expect(records.addresses()).toEqual([]);
  });

  test("vfio-pci that does not bind is an error, and the NIC has its driver again", async () => {
    machine.refuse = (path) => {
      if (path.endsWith("drivers_probe") && machine.override(NIC) === "vfio-pci")
        machine.file(`sys/bus/pci/devices/${NIC}/driver_override`, "none");
      return undefined;
    };
    expect((await failure(binder.take(NIC))).message).toContain("vfio-pci does not bind to it (no driver took it)");
    expect(machine.driverOf(NIC)).toBe("e1000e");
  });

  /** Starts `action` in a process that is killed when it has made `count` writes, or when it is done. */
  async function killedAfter(count: number, action: () => Promise<unknown>): Promise<void> {
    const killed = Promise.withResolvers<never>();
    const reached = Promise.withResolvers<void>();
    const { write } = FakeMachine.prototype;
    let writes = 0;
    machine.write = (...args) => {
      if (writes++ < count) return write.apply(machine, args);
      reached.resolve();
      return killed.promise;
    };
    await Promise.race([action(), reached.promise]);
    machine.write = write;
  }

  const asBefore = () => ({
    driver: machine.driverOf(NIC),
    override: machine.override(NIC),
    netdev: existsSync(join(machine.root, "sys/bus/pci/devices", NIC, "net/eth9")),
    records: records.addresses(),
  });
  const BEFORE = { driver: "e1000e", override: "(null)", netdev: true, records: [] };

  test.each([0, 1, 2, 3])("killed after %d steps of taking: giving all brings back everything", async (count) => {
    await killedAfter(count, () => binder.take(NIC));
    expect(records.addresses()).toEqual([NIC]);
    expect((await restarted().giveAll()).failed).toEqual([]);
    expect(asBefore()).toEqual(BEFORE);
  });

  test.each([0, 1, 2])("killed after %d steps of giving: giving all brings back everything", async (count) => {
    await binder.take(NIC);
    await killedAfter(count, () => binder.give(NIC));
    expect(asBefore()).not.toEqual(BEFORE);
    expect((await restarted().giveAll()).failed).toEqual([]);
    expect(asBefore()).toEqual(BEFORE);
  });

  test("giving all back goes on after one that fails, and forgets those that were pulled out", async () => {
    machine.device("0000:04:00.0", { ids: "8086:10d3", driver: "e1000e", group: 19 });
    machine.device("0000:05:00.0", { ids: "8086:10d3", driver: "e1000e", group: 20 });
    for (const address of [NIC, "0000:04:00.0", "0000:05:00.0"]) await binder.take(address);
    await Bun.$`rm -r ${join(machine.root, "sys/bus/pci/devices/0000:05:00.0")}`;
    machine.refuse = (path, text) => (path.endsWith("unbind") && text === NIC ? "EIO" : undefined);
    const { given, failed, served } = await restarted().giveAll();
    expect({ given, served, failed: failed.map(({ name }) => name) }).toEqual({
      given: ["0000:04:00.0"],
      served: [],
      failed: [NIC],
    });
    expect(records.addresses()).toEqual([NIC]);
  });
});
