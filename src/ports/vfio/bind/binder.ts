// Taking a NIC from the kernel's driver for vfio-pci, and giving it back.
//
//   take:  record -> driver_override = vfio-pci -> driver's unbind -> drivers_probe -> driver is vfio-pci? else all back
//   give:  vfio-pci's unbind -> driver_override as it was -> drivers_probe -> driver is the recorded one? else its bind -> no record
//
// An override makes the device match this driver and no other (Documentation/ABI/testing/sysfs-bus-pci). Each step may be the last
// before a crash: the record is there from the first, and `give` goes on from whatever it finds. Control thread.

import { errorLine, RingyardError } from "../../../core/errors.ts";
import type {
  GivenBack,
  GiveOptions,
  HostNic,
  NicAdmin,
  NicChange,
  NicProblem,
  NicTaker,
  TakeOptions,
} from "../../../core/nics.ts";
import { requireAddress } from "./address.ts";
import { groupProblems, inspectNic, isNetwork, listNics, type Sources, VFIO_PCI } from "./inventory.ts";
import { netdevsOf } from "./netdevs.ts";
import { type NicRecord, Records } from "./records.ts";
import { DEVICES, DRIVERS, Sysfs } from "./sysfs.ts";
import { userText } from "./users.ts";

const PROBE = "sys/bus/pci/drivers_probe";
/** What clears an override: an empty line (drivers/base/driver.c, driver_set_override). */
const NO_OVERRIDE = "\n";

/** Those of this machine, for control/wiring.ts and for ports. */
export function machineNics(): NicAdmin {
  return new Binder({ machine: new Sysfs() });
}

export class Binder implements NicAdmin {
  private readonly machine: Sysfs;

  constructor(
    private readonly sources: Sources,
    private readonly records = new Records(),
  ) {
    this.machine = sources.machine;
  }

  list(): HostNic[] {
    return listNics(this.sources);
  }

  async take(text: string, { force = false, together = [], by = "person" }: TakeOptions = {}): Promise<NicChange> {
    const nic = this.inspect(text);
    const { address, driver } = nic;
    requireFree(nic);
    const problems = [
      ...nic.problems.filter(({ about }) => about !== "group"),
      ...groupProblems(nic.group, nic.neighbours, together.map(requireAddress)),
    ];
    const warnings = problems.map(problemText);
    if (driver === VFIO_PCI) {
      return { address, changed: false, driver, before: driver, netdevs: [], warnings };
    }
    requireTakeable(nic, problems, force);
    const override = this.override(address);
    const record = this.recordOf(address, driver, override, by);
    this.records.write(address, record);
    try {
      await this.write(address, `${DEVICES}/${address}/driver_override`, VFIO_PCI);
      await this.rebind(address, driver);
      this.requireBound(address);
    } catch (error) {
      await this.restore(address, record.driver, record.override).catch(() => undefined);
      // What could not be put back is remembered, for nic give.
      const back = (this.driver(address) ?? "") === record.driver && this.override(address) !== VFIO_PCI;
      if (back) this.records.remove(address);
      throw error;
    }
    const netdevs = nic.netdevs.map(({ name }) => name);
    return { address, changed: true, driver: VFIO_PCI, before: driver, netdevs, warnings };
  }

  async give(text: string, { by }: GiveOptions = {}): Promise<NicChange> {
    const nic = this.inspect(text);
    const { address, driver: before } = nic;
    const record = this.records.read(address);
    const overridden = this.override(address) === VFIO_PCI;
    const taken = before === VFIO_PCI || record !== undefined || overridden;
    if (!taken || (by === "port" && record?.by !== "port")) {
      return { address, changed: false, driver: before, before, netdevs: [], warnings: [] };
    }
    requireFree(nic);
    const driver = await this.restore(address, record?.driver, record?.override ?? "");
    this.records.remove(address);
    const netdevs = this.netdevs(address);
    return {
      address,
      changed: driver !== before,
      driver,
      before,
      netdevs,
      warnings: givenWarnings(driver, record?.driver),
    };
  }

  async giveAll(options: GiveOptions = {}): Promise<GivenBack> {
    const result: GivenBack = { given: [], failed: [], served: [] };
    for (const address of this.records.addresses()) {
      if (!this.present(address)) {
        // It was pulled out meanwhile; what comes back in its place is another one.
        this.records.remove(address);
        continue;
      }
      try {
        if (this.inspect(address).users.length > 0) result.served.push(address);
        else if ((await this.give(address, options)).changed) result.given.push(address);
      } catch (error) {
        result.failed.push({ name: address, reason: errorLine(error) });
      }
    }
    return result;
  }

  /** What to go back to. Where an earlier take ended half way, that is what it had found. */
  private recordOf(address: string, driver: string | undefined, override: string, by: NicTaker): NicRecord {
    if (override !== VFIO_PCI) return { driver: driver ?? "", override, by };
    return this.records.read(address) ?? { driver: driver ?? "", override: "", by };
  }

  private inspect(text: string): HostNic {
    const address = requireAddress(text);
    const next = "ringyard nic list shows the NICs that there are";
    if (!this.present(address)) throw new RingyardError("NOT_FOUND", `${address}: there is no such PCI device`, next);
    if (!isNetwork(this.machine, address)) {
      const kind = this.machine.text(`${DEVICES}/${address}/class`);
      throw new RingyardError("UNSUPPORTED", `${address} is no network device (class ${kind})`, next);
    }
    return inspectNic(this.sources, address);
  }

  /** From `driver` to what the override says. */
  private async rebind(address: string, driver: string | undefined): Promise<void> {
    if (driver !== undefined) await this.write(address, `${DRIVERS}/${driver}/unbind`, address);
    await this.write(address, PROBE, address);
  }

  private requireBound(address: string): void {
    const driver = this.driver(address);
    if (driver === VFIO_PCI) return;
    const found = driver === undefined ? "no driver took it" : `${driver} took it`;
    throw new RingyardError("SYSTEM", `${address}: vfio-pci does not bind to it (${found})`, "dmesg says why");
  }

  /** Ends with the driver `wanted` where that takes it (any, where undefined), and the override as it was; returns the driver. */
  private async restore(address: string, wanted: string | undefined, override: string): Promise<string | undefined> {
    const bound = this.driver(address);
    if (bound === VFIO_PCI) await this.write(address, `${DRIVERS}/${VFIO_PCI}/unbind`, address);
    await this.write(address, `${DEVICES}/${address}/driver_override`, override === "" ? NO_OVERRIDE : override);
    const hasDriver = this.driver(address) !== undefined;
    if (!hasDriver && wanted !== "") await this.write(address, PROBE, address);
    if (this.driver(address) === undefined && wanted !== undefined && this.machine.has(`${DRIVERS}/${wanted}`)) {
      // It knows the device by an id that somebody gave it, and matches no other way.
      await this.write(address, `${DRIVERS}/${wanted}/bind`, address).catch(() => undefined);
    }
    return this.driver(address);
  }

  private present(address: string): boolean {
    return this.machine.text(`${DEVICES}/${address}/class`) !== undefined;
  }

  private driver(address: string): string | undefined {
    return this.machine.link(`${DEVICES}/${address}/driver`);
  }

  /** "" for none: the kernel prints "(null)" then. */
  private override(address: string): string {
    return (this.machine.text(`${DEVICES}/${address}/driver_override`) ?? "").replace("(null)", "");
  }

  private netdevs(address: string): string[] {
    return netdevsOf(this.machine, address, () => new Map()).map(({ name }) => name);
  }

  private write(address: string, path: string, text: string): Promise<void> {
    return this.machine.write(path, text, address);
  }
}

function requireTakeable({ address, warnings }: HostNic, problems: readonly NicProblem[], force: boolean): void {
  const problem = problems.find(({ about }) => !force || about !== "driver");
  if (problem !== undefined) throw new RingyardError(problem.code, `${address}: ${problem.message}`, problem.next);
  if (force || warnings.length === 0) return;
  const next = "move that elsewhere first, or take it all the same with --force";
  throw new RingyardError("BUSY", `${address}: the host uses it: ${warnings.join("; ")}`, next);
}

/** This process may have its group open for another NIC of it, and closes what it gives back before. */
function requireFree({ address, users }: HostNic): void {
  const others = users.filter(({ pid }) => pid !== process.pid);
  if (others.length === 0) return;
  const next = "let it go first: ringyard port del, or ringyard down";
  throw new RingyardError("BUSY", `${address}: ${others.map(userText).join(", ")} drives it`, next);
}

function problemText({ message, next }: NicProblem): string {
  return next === undefined ? message : `${message}: ${next}`;
}

function givenWarnings(driver: string | undefined, wanted: string | undefined): string[] {
  if (driver === undefined && wanted !== "") {
    return [
      wanted === undefined ? "no driver of the kernel's took it" : `${wanted} did not take it: modprobe ${wanted}`,
    ];
  }
  return [];
}
