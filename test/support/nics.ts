// The NICs of the virtual machine (`// VM: nics`, scripts/vm/nics.ts), as a test inside finds them; and what only the machine's owner
// does to them: pulling the cable, taking one away while it runs, and putting it back.
//
//   const [near, far] = nics("e1000e");      near.address, near.mac      near.partner.netdev is at the other end of its wire
//
// Main thread of a test process.

import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { type MachineNic, type NicModel, nicMac, nicProperties, nicsOf, partnerMac } from "../../scripts/vm/nics.ts";
import type { Namespace } from "./netns.ts";
import { run } from "./process.ts";
import { qmp } from "./qmp.ts";
import { requirePeer, type Suite } from "./skip.ts";
import { address, type Host } from "./traffic.ts";
import { until } from "./until.ts";

const DEVICES = "/sys/bus/pci/devices";

export interface Nic {
  /** `virtio0`; see scripts/vm/nics.ts. */
  id: string;
  model: NicModel;
  /** `0000:01:00.0` */
  address: string;
  mac: string;
  /** Of those with a wire. */
  partner: Partner;
}

export interface Partner {
  mac: string;
  /** In the namespace that /sys shows: look before you move it. "" where it is not to be seen. */
  netdev: string;
}

/** `describe` inside a machine that has such NICs: all of them but igb's are in every machine with NICs. */
export function requireNics(...models: NicModel[]): Suite {
  const here = nicsHere().map(({ model }) => model);
  const missing = (models.length === 0 ? (["virtio-net-pci"] as const) : models).filter(
    (model) => !here.includes(model),
  );
  const reason = "npm test runs this in its virtual machine (scripts/vm/needs.ts: nics, and for igb: qemu backports)";
  return requirePeer(`a NIC (${missing.join(", ")})`, missing.length === 0, reason);
}

/** Those of a model with a partner, in their order. */
export function nics(model: NicModel): Nic[] {
  return nicsHere()
    .filter((nic) => nic.model === model && nic.wire === "partner")
    .map(found);
}

/** By its id, also those without a partner: `outside`, `shared0`, `shared1`, `other`. */
export function nicNamed(id: string): Nic {
  return found(machineNic(id));
}

/** Where it is now, or undefined while it is taken away. */
export function nicAddress(id: string): string | undefined {
  return addressOf(machineNic(id));
}

/** The device of a NIC's partner; waits where a namespace that had it has just gone. */
export async function partnerDevice({ id, model }: Nic): Promise<string> {
  const here = () => nics(model).find((nic) => nic.id === id)?.partner.netdev || undefined;
  return await until(`the partner of ${id}`, here);
}

/** Puts a NIC's partner into a namespace, as eth0 of host `number` (traffic.ts). It comes back to the machine with the namespace's end. */
export async function partnerHost(nic: Nic, inside: Namespace, number: number, mtu = 1500): Promise<Host> {
  await run(["ip", "link", "set", await partnerDevice(nic), "netns", inside.name, "name", "eth0"]);
  // It may have another from a test before.
  await inside.ip(`link set eth0 mtu ${mtu}`);
  return address(inside, number);
}

/** Unplugs or plugs the cable, at both ends. */
export async function setCable(id: string, up: boolean): Promise<void> {
  await qmp("set_link", { name: id, up });
  if (machineNic(id).wire === "partner") await qmp("set_link", { name: `${id}-partner`, up });
}

/** Asks for the NIC to be taken away, as a person at the machine does; the kernel waits for its user to let go of it. */
export async function takeAway(id: string): Promise<void> {
  await qmp("device_del", { id });
}

/** Waits until it is gone, and puts it back, perhaps with other properties of QEMU's; returns where it came. */
export async function putBack(id: string, changes: Record<string, string | number | boolean> = {}): Promise<string> {
  const nic = machineNic(id);
  await until(`${id} to be gone`, () => addressOf(nic) === undefined, { timeoutMs: 30_000 });
  // QEMU forgets it somewhat later than the kernel.
  await until(`${id} to be put back`, async () => {
    await qmp("device_add", { ...nicProperties(nic), ...changes });
    return true;
  });
  return await until(`${id} to come back`, () => addressOf(nic), { timeoutMs: 30_000 });
}

/** The kernel's driver of a device, or "". */
export function driverOf(pci: string): string {
  const link = `${DEVICES}/${pci}/driver`;
  return existsSync(link) ? basename(readlinkSync(link)) : "";
}

/** Binds a device to a driver, whatever it has now; "" leaves it to the kernel's choice. */
export function bind(pci: string, driver: string): void {
  const device = `${DEVICES}/${pci}`;
  writeFileSync(`${device}/driver_override`, `${driver}\n`);
  const now = driverOf(pci);
  if (now !== "" && now !== driver) writeFileSync(`${device}/driver/unbind`, pci);
  writeFileSync("/sys/bus/pci/drivers_probe", pci);
}

/** Faults of the IOMMU in the kernel's log. */
export function dmaFaults(): string[] {
  const log = Bun.spawnSync(["dmesg"]).stdout.toString();
  return log.split("\n").filter((line) => /DMAR: \[.*fault/.test(line));
}

function machineNic(id: string): MachineNic {
  const nic = nicsOf({ igb: true }).find((each) => each.id === id);
  if (nic === undefined) throw new Error(`no machine has a NIC ${id}`);
  return nic;
}

function nicsHere(): readonly MachineNic[] {
  if (process.env.RINGYARD_VM === undefined) return [];
  return nicsOf({ igb: true }).filter((nic) => addressOf(nic) !== undefined);
}

/** The bus behind a root port has the number that the firmware gave it. */
function addressOf({ slot, function: index, model }: MachineNic): string | undefined {
  const place = `0000:00:${slot.toString(16)}.0`;
  if (!existsSync(`${DEVICES}/${place}`)) return undefined;
  if (model === "e1000") return place;
  return readdirSync(`${DEVICES}/${place}`).find((name) => new RegExp(`^0000:[0-9a-f]{2}:00\\.${index}$`).test(name));
}

function found(nic: MachineNic): Nic {
  const address = addressOf(nic);
  if (address === undefined) throw new Error(`the NIC ${nic.id} is not there`);
  const mac = partnerMac(nic);
  return { id: nic.id, model: nic.model, address, mac: nicMac(nic), partner: { mac, netdev: netdevWith(mac) } };
}

function netdevWith(mac: string): string {
  const NET = "/sys/class/net";
  const has = (name: string) => {
    try {
      return readFileSync(`${NET}/${name}/address`, "utf8").trim() === mac;
    } catch {
      // Its driver has only begun with it, or it was renamed or moved since it was listed.
      return false;
    }
  };
  return readdirSync(NET).find(has) ?? "";
}
