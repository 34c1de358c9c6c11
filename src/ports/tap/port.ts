// A port and its TAP device, which may go away under it: with its namespace, which ended with its container, or by hand. Then the port has no
// carrier. The kernel tells a descriptor's readers nothing but an error without end, so a timer looks once a second and stops the lanes.
//
//   start -> lanes -> the device is gone: lanes closed --a device that the port had made in a namespace's name: once a second--> lanes
//
// So a container that is started again, in a namespace of the same name, has its device again. A PID is nobody's name: another process may have
// it by then. A device that was there before the port is its maker's to make. Control thread only.

import { errorLine, RingyardError } from "../../core/errors.ts";
import { offloadForms, offloadNames } from "../../virtio/features.ts";
import { netnsPath } from "../link/netns.ts";
import type { Port, PortDetails, PortHost, PortOptions, PortSpec } from "../port.ts";
import {
  closeTap,
  inspectTap,
  openTap,
  setTapCarrier,
  setTapMtu,
  type TapDevice,
  type TapRequest,
  tapIsGone,
} from "./device.ts";

/** How long frames may go to a device that is gone, and a device that may come back be missing. */
const LOOK_MS = 1000;

export class TapPort implements Port {
  private readonly request: TapRequest;
  private device: TapDevice;
  private up = true;
  private gone = false;
  /** Whether all lanes are open. */
  private served = false;
  /** Why a device that is gone cannot come back yet, or have its lanes, as was said last. */
  private said = "";
  private watch: Timer | undefined;
  private look: Promise<void> | undefined;
  private closed: Promise<void> | undefined;

  /** Makes the device. Throws RingyardError. */
  constructor(
    private readonly spec: PortSpec,
    private readonly host: PortHost,
  ) {
    const { target: name, options } = spec;
    this.request = {
      name,
      netns: typeof options.netns === "string" ? netnsPath(options.netns) : undefined,
      mac: options.mac,
      mtu: options.mtu,
      queues: options.queues ?? 1,
      offload: offloadForms(options.offload),
    };
    this.device = openTap(this.request);
  }

  async start(): Promise<void> {
    await this.openLanes();
    this.watch = setInterval(() => {
      this.look ??= this.lookAgain().catch((error) =>
        this.host.log.warn(`tap ${this.request.name}: ${errorLine(error)}`),
      );
      void this.look.finally(() => {
        this.look = undefined;
      });
    }, LOOK_MS);
    this.watch.unref();
  }

  details(): PortDetails {
    const common = { persistent: this.device.attached, offload: offloadNames(this.device.offload) };
    const now = this.closed === undefined ? inspectTap(this.device.fds[0]) : null;
    if (now === null) return { device: this.spec.target, deviceState: "gone", ...common };
    const { name, link } = now;
    if (link === null) return { device: name, deviceState: "unknown", ...common };
    const { mac, mtu, up } = link;
    return { device: name, deviceState: up ? "up" : "down", deviceMac: mac, deviceMtu: mtu, ...common };
  }

  setLink(up: boolean): void {
    this.up = up;
    if (this.closed === undefined) setTapCarrier(this.device.fds[0], up);
  }

  /** Only the MTU changes under a running device. */
  async set(options: PortOptions): Promise<boolean> {
    const current = this.spec.options;
    for (const [option, value] of Object.entries(options)) {
      if (option !== "mtu" && JSON.stringify(value) !== JSON.stringify(current[option])) return false;
    }
    setTapMtu(this.device.fds[0], options.mtu ?? this.device.defaultMtu);
    this.request.mtu = options.mtu;
    return true;
  }

  close(): Promise<void> {
    this.closed ??= this.stop();
    return this.closed;
  }

  private async stop(): Promise<void> {
    clearInterval(this.watch);
    this.host.setCarrier(false);
    try {
      await this.look;
      await this.closeLanes();
    } finally {
      closeTap(this.device);
    }
  }

  private async openLanes(): Promise<void> {
    const { fds, offload } = this.device;
    // First: the device is up, a worker fetches as soon as it has the lane, and frames of a port without carrier are dropped.
    this.host.setCarrier(true);
    for (const [pair, fd] of fds.entries()) {
      await this.host.openLane(pair, { driver: "tap", fd, accepts: offload });
    }
    this.served = true;
  }

  private async closeLanes(): Promise<void> {
    this.served = false;
    for (const pair of this.device.fds.keys()) await this.host.closeLane(pair);
  }

  private async lookAgain(): Promise<void> {
    if (this.gone) await this.comeBack();
    else if (tapIsGone(this.device.fds[0])) await this.leave();
    else if (!this.served) await this.serveAgain();
  }

  private async leave(): Promise<void> {
    const remove = `ringyard port del ${this.spec.name}`;
    this.gone = true;
    this.said = "";
    this.host.setCarrier(false);
    this.host.countError("device_gone");
    const next = this.mayComeBack() ? `it comes back with its namespace, or ${remove}` : remove;
    this.host.log.warn(`tap ${this.request.name} is gone, with its namespace or by hand`, { next });
    await this.closeLanes();
  }

  private mayComeBack(): boolean {
    const { netns } = this.request;
    return netns !== undefined && !netns.startsWith("/proc/") && !this.device.attached;
  }

  private async comeBack(): Promise<void> {
    if (this.closed !== undefined || !this.mayComeBack()) return;
    let device: TapDevice;
    try {
      device = openTap(this.request);
    } catch (error) {
      this.cannotYet(error);
      return;
    }
    closeTap(this.device);
    this.device = device;
    this.gone = false;
    this.setLink(this.up);
    this.host.log.info(`tap ${this.request.name} is back`);
    await this.serveAgain();
  }

  /** Where a lane cannot be opened there are none, and no carrier, until the next look. */
  private async serveAgain(): Promise<void> {
    if (this.closed !== undefined) return;
    try {
      await this.openLanes();
    } catch (error) {
      this.host.setCarrier(false);
      await this.closeLanes();
      this.cannotYet(error);
    }
  }

  /** Said once, until it is another reason; that the namespace is not there was said. */
  private cannotYet(error: unknown): void {
    const line = errorLine(error);
    if (error instanceof RingyardError && error.code === "NOT_FOUND") return;
    if (line !== this.said) this.host.log.warn(`tap ${this.request.name} cannot come back yet: ${line}`);
    this.said = line;
  }
}
