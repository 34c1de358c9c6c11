// A running VDUSE port: its device from the making (or the adoption) to the end, on the bus and off it.
//
//   made --attach--> on the bus, its driver bound --detach--> made --close--> destroyed
//                              |                  killed, or closed with `keep`: the kernel holds the device
//                              +<--adopted-----------------------------+
//
// A device that the kernel has given up ("broken": a message unanswered for longer than msg_timeout, which we set to never)
// is of no use to anybody; the next attach makes it anew, as every detach does. Control thread only.

import { errorLine, RingyardError } from "../../core/errors.ts";
import { EPERM, SysError } from "../../sys/errno.ts";
import { closeFd } from "../../sys/fd.ts";
import { struct_virtio_net_config, VIRTIO_NET_S_LINK_UP } from "../../uapi/virtio_net.ts";
import { type Features, featureNames } from "../../virtio/features.ts";
import { netConfigSpace } from "../../virtio/net-config.ts";
import type { Attached, AttachTarget, Port, PortDetails, PortHost, PortSpec } from "../port.ts";
import { Clerk } from "../vdpa/clerk.ts";
import { checkPlace, type Place } from "../vdpa/netdev.ts";
import { keepCallsOff } from "./call-affinity.ts";
import { openDevice, setDeviceAttribute, VduseControl, VENDOR_ID } from "./control.ts";
import { VduseDevice } from "./device.ts";
import { type Queues, queueChoices, stableMac, vduseFeatures } from "./device-config.ts";
import { Responder } from "./responder.ts";
import { Session } from "./session.ts";

/** Largest ring offered; the driver may choose less, and today's drivers take what is offered. */
const QUEUE_SIZE = 1024;

export class VdusePort implements Port {
  private readonly name: string;
  private readonly mac: string;
  /** What the kernel took, of what was asked for. */
  private queues: Queues = { pairs: 1, controlQueue: false };
  private offered: Features = { lo: 0, hi: 0 };
  private readonly clerk = Clerk.acquire();
  private readonly responder = Responder.acquire();
  private device: VduseDevice | undefined;
  private session: Session | undefined;
  private linkUp: boolean;
  private adopted = false;
  /** Whether the device is ours to destroy. */
  private owned = false;
  private attached: PortDetails = { attached: "no" };
  private closed: Promise<void> | undefined;

  constructor(
    private readonly spec: PortSpec,
    private readonly host: PortHost,
  ) {
    this.name = spec.target;
    this.mac = spec.options.mac ?? stableMac(spec.target);
    this.linkUp = spec.options.link !== "down";
  }

  /** Makes the device, or adopts the one that an earlier ringyard left on the bus. Throws RingyardError. */
  async start(): Promise<void> {
    const control = VduseControl.open();
    try {
      const { name } = this;
      if (this.create(control) === "exists") await this.takeOver(control);
      this.owned = true;
      this.device = new VduseDevice(openDevice(name), this.adopted ? 0 : control.apiVersion);
      // A container outlives a switch that is down for longer than any timeout: what asks meanwhile waits.
      setDeviceAttribute(name, "msg_timeout", 0);
      if (this.adopted) this.showConfig(this.device);
      else this.prepare(this.device);
      keepCallsOff(name, this.queueCount, this.host.workerCpus);
      const options = { ...this.queues, umem: this.spec.options.umem === "on" };
      this.session = new Session(this.device, options, this.responder, this.host, () => this.onBreak());
      if (!this.adopted) return;
      const live = await this.session.adopt();
      this.host.log.info(`vduse: adopted device ${name}`, { driver: live ? "running" : "not running" });
    } finally {
      control.close();
    }
  }

  private create(control: VduseControl): "made" | "exists" {
    const { name } = this;
    for (const queues of queueChoices(this.spec.options)) {
      this.queues = queues;
      this.offered = vduseFeatures(this.spec.options, queues);
      const request = { name, features: this.offered, queues: this.queueCount, config: this.configSpace() };
      const made = control.create(request);
      if (made !== "refused") return made;
    }
    throw new RingyardError(
      "UNSUPPORTED",
      `vduse ${name}: this kernel takes no network devices`,
      "use Linux 6.9 or newer",
    );
  }

  /** There is a device of our name: on the bus it has a driver and is adopted; off it, it is a leftover. */
  private async takeOver(control: VduseControl): Promise<void> {
    const { name } = this;
    const { onBus, vendorId } = await this.clerk.inspect(name);
    if (onBus && vendorId !== VENDOR_ID) {
      throw new RingyardError(
        "EXISTS",
        `vduse ${name}: a device of another program has this name`,
        "choose another name",
      );
    }
    this.adopted = onBus;
    if (onBus) return this.noteAttachment();
    if (control.destroy(name) === "busy") {
      const next = "stop it, or choose another name";
      throw new RingyardError("BUSY", `vduse ${name}: another process or port serves this device`, next);
    }
    this.create(control);
  }

  /** An adopted device may be broken, and refuses everything then: its session says so, and `attach` makes it anew. */
  private showConfig(device: VduseDevice): void {
    try {
      device.setConfig(0, this.configSpace());
    } catch (error) {
      if (!(error instanceof SysError && error.errno === EPERM)) throw error;
    }
  }

  private prepare(device: VduseDevice): void {
    const { bounce } = this.spec.options;
    if (typeof bounce === "number") setDeviceAttribute(this.name, "bounce_size", bounce);
    for (let queue = 0; queue < this.queueCount; queue++) device.setupQueue(queue, QUEUE_SIZE);
  }

  private get queueCount(): number {
    return this.queues.pairs * 2 + (this.queues.controlQueue ? 1 : 0);
  }

  private configSpace(): Uint8Array {
    const { pairs } = this.queues;
    return netConfigSpace({ mac: this.mac, mtu: this.spec.options.mtu, pairs, linkUp: this.linkUp });
  }

  async attach(target: AttachTarget): Promise<Attached> {
    const { name, clerk } = this;
    const place = target.to === "vm" ? undefined : placeOf(target);
    if (place !== undefined) checkPlace(place);
    if (this.session === undefined || this.session.broken) await this.makeAnew();
    const { onBus } = await clerk.inspect(name);
    try {
      if (!onBus) await clerk.add(name);
      if (place !== undefined) return { netdev: await clerk.attachNetns(name, place) };
      const { path } = await clerk.attachVm(name);
      return { vm: { path, qemu: qemuArguments(name, path) } };
    } catch (error) {
      if (!onBus) await clerk.remove(name);
      throw error;
    } finally {
      await this.noteAttachment();
    }
  }

  async detach(): Promise<void> {
    const { onBus } = await this.clerk.inspect(this.name);
    if (!onBus) {
      const next = `ringyard attach ${this.spec.name} --netns NAME, or --vm`;
      throw new RingyardError("NOT_FOUND", `port ${this.spec.name} is not attached`, next);
    }
    // Anew, since the kernel holds the last VM's memory for as long as the device lives (vduse's IOTLB keeps its files).
    await this.makeAnew();
    await this.noteAttachment();
  }

  private async noteAttachment(): Promise<void> {
    const { onBus, driver, netdev, vhostPath } = await this.clerk.inspect(this.name);
    if (!onBus) this.attached = { attached: "no" };
    else if (driver === undefined) this.attached = { attached: "on the vDPA bus, without a driver" };
    else
      this.attached = {
        attached: driver.replace("_", "-"),
        ...(netdev && { netdev }),
        ...(vhostPath && { vhostPath }),
      };
  }

  setLink(up: boolean): void {
    this.linkUp = up;
    if (this.device === undefined || this.session?.broken || this.closed !== undefined) return;
    const status = Uint8Array.of(up ? VIRTIO_NET_S_LINK_UP : 0, 0);
    this.device.setConfig(struct_virtio_net_config.fields.status[0], status);
    this.device.injectConfigIrq();
  }

  private onBreak(): void {
    this.host.log.warn(`vduse: the kernel has given device ${this.name} up`, {
      next: `ringyard attach ${this.spec.name} … makes it anew`,
    });
  }

  /** Takes the device away, and whatever was attached to it, and makes another of the same name. Where that fails, the next attach tries again. */
  private async makeAnew(): Promise<void> {
    // Else there is none of ours, and whatever has the name by now is looked at first (`takeOver`).
    if (this.owned) await this.clerk.remove(this.name);
    await this.destroy();
    await this.start();
  }

  details(): PortDetails {
    const { session, device } = this;
    if (session === undefined || device === undefined) return { device: this.name };
    const { pairs } = this.queues;
    const wanted = this.spec.options.queues ?? 1;
    const refused = wanted > pairs ? ` of ${wanted}: this kernel refuses network devices a control queue` : "";
    const state = session.broken ? "broken" : session.serving ? "running" : "waiting for a driver";
    return {
      device: `/dev/vduse/${this.name}`,
      deviceState: state,
      deviceMac: this.mac,
      link: this.linkUp ? "up" : "down",
      ...this.attached,
      adopted: this.adopted,
      apiVersion: this.adopted ? "unknown (adopted)" : device.apiVersion,
      queuePairs: `${pairs}${refused}`,
      offers: featureNames(this.offered),
      ...(session.serving ? this.negotiated(session) : {}),
    };
  }

  private negotiated({ features, iotlb, queueSizes }: Session): PortDetails {
    return {
      features: featureNames(features),
      memoryMiB: Math.round(iotlb.totalSize / 2 ** 20),
      memoryRegions: iotlb.count,
      memorySealed: iotlb.allSealed,
      umem: iotlb.umem,
      queueSizes,
    };
  }

  close(keep = false): Promise<void> {
    this.closed ??= this.finish(keep);
    return this.closed;
  }

  private async finish(keep: boolean): Promise<void> {
    try {
      const stays = this.owned && !(keep ? await this.isOffBus() : await this.takeOff());
      if (stays) await this.letGo();
      else await this.destroy();
      if (stays) this.host.log.info(`vduse: device ${this.name} stays for the next start`);
    } finally {
      await this.responder.release();
      await this.clerk.release();
    }
  }

  /** False also where the bus cannot be asked: what may be attached is not ours to destroy. */
  private async isOffBus(): Promise<boolean> {
    try {
      return !(await this.clerk.inspect(this.name)).onBus;
    } catch (error) {
      this.host.log.warn(`vduse: device ${this.name} cannot be looked at: ${errorLine(error)}`);
      return false;
    }
  }

  /**
   * Takes the device off the bus; false where a VM holds it, when it can be taken away after the VM's end, or where the bus refuses. Either way
   * the port goes: half gone it would keep its driver waiting for answers, and could not be closed once more.
   */
  private async takeOff(): Promise<boolean> {
    try {
      await this.clerk.remove(this.name);
      return true;
    } catch (error) {
      const reason = error instanceof RingyardError ? error.advice : errorLine(error);
      this.host.log.warn(`vduse: device ${this.name} cannot be removed`, { reason });
      return false;
    }
  }

  /** Ends our service; the device stays in the kernel as it is. */
  private async letGo(): Promise<void> {
    await this.session?.end();
    closeFd(this.device?.fd ?? -1);
    this.session = this.device = undefined;
  }

  private async destroy(): Promise<void> {
    await this.letGo();
    if (!this.owned) return;
    this.owned = this.adopted = false;
    const control = VduseControl.open();
    try {
      if (control.destroy(this.name) === "busy") this.host.log.warn(`vduse: device ${this.name} is still in use`);
    } finally {
      control.close();
    }
  }
}

function placeOf({ netns, ifname = "eth0", ip = [] }: Extract<AttachTarget, { to: "netns" }>): Place {
  return { netns, ifname, ip };
}

/** What makes QEMU use the device; the guest's memory has to be shared. */
function qemuArguments(name: string, path: string): string[] {
  return [
    "-object",
    "memory-backend-memfd,id=mem0,size=SIZE,share=on",
    "-machine",
    "memory-backend=mem0",
    "-netdev",
    `vhost-vdpa,id=${name},vhostdev=${path}`,
    "-device",
    `virtio-net-pci,netdev=${name}`,
  ];
}
