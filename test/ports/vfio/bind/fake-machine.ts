// A machine in a folder: sysfs and procfs as far as taking NICs needs them, with a kernel that answers writes as the real one does
// (drivers/base/bus.c, dd.c): an override binds to one driver only, unbinding takes the network device away. No thread of its own.

import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DEVICES, DRIVERS, Sysfs, writeFailure } from "../../../../src/ports/vfio/bind/sysfs.ts";

export interface FakeDevice {
  /** `8086:10d3` */
  ids: string;
  /** `0x020000` where absent: Ethernet. */
  class?: string;
  driver?: string;
  group?: number;
  /** What its driver makes of it. */
  netdev?: string;
}

export class FakeMachine extends Sysfs {
  /** Every write, as `path text`. */
  readonly writes: string[] = [];
  /** An errno for a write that is to fail. */
  refuse: (path: string, text: string) => string | undefined = () => undefined;
  private readonly devices = new Map<string, FakeDevice>();

  constructor() {
    super(mkdtempSync(join(tmpdir(), "ringyard-fake-sysfs-")));
    this.file("sys/bus/pci/drivers_probe", "");
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  file(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), `${text}\n`);
  }

  symlink(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    rmSync(join(this.root, path), { force: true });
    symlinkSync(target, join(this.root, path));
  }

  driver(name: string): void {
    this.file(`${DRIVERS}/${name}/bind`, "");
    this.file(`${DRIVERS}/${name}/unbind`, "");
  }

  device(address: string, device: FakeDevice): void {
    this.devices.set(address, device);
    const [vendor, model] = device.ids.split(":");
    const folder = `${DEVICES}/${address}`;
    this.file(`${folder}/vendor`, `0x${vendor}`);
    this.file(`${folder}/device`, `0x${model}`);
    this.file(`${folder}/class`, device.class ?? "0x020000");
    this.file(`${folder}/driver_override`, "(null)");
    if (device.group !== undefined) {
      this.symlink(`${folder}/iommu_group`, `../../../../kernel/iommu_groups/${device.group}`);
      this.file(`sys/kernel/iommu_groups/${device.group}/devices/${address}`, "");
    }
    if (device.driver === undefined) return;
    this.driver(device.driver);
    this.bind(address, device.driver);
  }

  /** A process with `paths` open. */
  process(pid: number, command: string, ...paths: string[]): void {
    this.file(`proc/${pid}/comm`, command);
    for (const [fd, path] of paths.entries()) this.symlink(`proc/${pid}/fd/${fd}`, path);
  }

  driverOf(address: string): string | undefined {
    return this.link(`${DEVICES}/${address}/driver`);
  }

  override(address: string): string | undefined {
    return this.text(`${DEVICES}/${address}/driver_override`);
  }

  override async write(path: string, text: string, subject: string): Promise<void> {
    this.writes.push(`${path.replace("sys/bus/pci/", "")} ${text.trim()}`.trim());
    const code = this.refuse(path, text) ?? (existsSync(join(this.root, path)) ? undefined : "ENOENT");
    if (code !== undefined) throw writeFailure({ code }, path, subject);
    const [, name, verb] = /drivers\/([^/]+)\/(bind|unbind)$/.exec(path) ?? [];
    if (path.endsWith("/driver_override")) this.file(path, text.trim() === "" ? "(null)" : text);
    else if (verb === "unbind") this.unbind(text, name);
    else if (verb === "bind") this.bind(text, name);
    else if (path.endsWith("drivers_probe")) this.probe(text);
  }

  private probe(address: string): void {
    if (this.driverOf(address) !== undefined) return;
    const override = this.override(address);
    const driver = override === "(null)" ? this.devices.get(address)?.driver : override;
    if (driver !== undefined && existsSync(join(this.root, DRIVERS, driver))) this.bind(address, driver);
  }

  private bind(address: string, driver: string): void {
    this.symlink(`${DEVICES}/${address}/driver`, `../../../bus/pci/drivers/${driver}`);
    const { netdev, driver: own } = this.devices.get(address) ?? {};
    if (netdev === undefined || driver !== own) return;
    mkdirSync(join(this.root, this.netFolder(address), netdev), { recursive: true });
  }

  private unbind(address: string, driver: string): void {
    if (this.driverOf(address) !== driver) throw writeFailure({ code: "ENODEV" }, "unbind", address);
    rmSync(join(this.root, DEVICES, address, "driver"));
    rmSync(join(this.root, this.netFolder(address)), { recursive: true, force: true });
  }

  /** virtio-pci makes a device on a bus of its own, and that has the network device. */
  private netFolder(address: string): string {
    const isVirtio = this.devices.get(address)?.driver === "virtio-pci";
    return `${DEVICES}/${address}${isVirtio ? "/virtio3" : ""}/net`;
  }
}
