// A running NIC port, from the taking of the device to its return.
//
//   start: take (bind/) -> open (device/) -> driver's open -> DMA space to the switch -> lanes -> nic.start -> watch
//   look:  at each management interrupt and once a second: the link, which is the port's carrier
//   let go, in the reverse order: at the port's end, when the kernel asks for the device (hot-unplug), and before a restart
//
// All that changes the device happens one after the other. Control thread only.

import { errorLine, RingyardError } from "../../core/errors.ts";
import { DELIVER_STATUS, FETCH_STATUS, RING_BROKEN } from "../../mem/lane-state.ts";
import { clearSignal } from "../../sys/fd.ts";
import { offloadForms } from "../../virtio/features.ts";
import type { DmaProvision, Port, PortDetails, PortHost, PortOptions, PortSpec } from "../port.ts";
import { machineNics } from "./bind/binder.ts";
import { openVfioDevice } from "./device/open.ts";
import type { VfioDevice } from "./device/vfio-device.ts";
import { NIC_DRIVERS } from "./drivers.ts";
import type { Nic, NicDriver, NicLink, NicOptions } from "./nic.ts";

export const MIN_DESCRIPTORS = 64;
export const MAX_DESCRIPTORS = 4096;
const DESCRIPTORS = 512;
const LOOK_MS = 1000;
/** A device that is broken again within so long of its start is given time, and in the end given up. */
const QUICK_MS = 10_000;
const QUICK_FAILURES = 5;
/** Addresses that ports of this process have. */
const taken = new Set<string>();
const NO_LINK: NicLink = { up: false, speedMbps: 0, fullDuplex: false };

export class VfioPort implements Port {
  private readonly nics = machineNics();
  private device: VfioDevice | undefined;
  private driver: NicDriver | undefined;
  private nic: Nic | undefined;
  private provision: DmaProvision | undefined;
  private readonly watches: number[] = [];
  private timer: Timer | undefined;
  private link = NO_LINK;
  private linkUp: boolean;
  private promisc: boolean;
  private mac: string | undefined;
  private state: "running" | "taken back by the kernel" | "failed" = "running";
  private resets = 0;
  private startedMs = 0;
  private quickFailures = 0;
  private restarting: Timer | undefined;
  private owns = false;
  private turn: Promise<unknown> = Promise.resolve();
  private closed: Promise<void> | undefined;

  constructor(
    private readonly spec: PortSpec,
    private readonly host: PortHost,
    private readonly address: string,
  ) {
    this.linkUp = spec.options.link !== "down";
    this.promisc = spec.options.promisc !== "off";
    this.mac = spec.options.mac;
  }

  /** Takes the NIC where it is still the kernel's. Throws RingyardError; `close` undoes what was done by then. */
  async start(): Promise<void> {
    if (taken.has(this.address)) {
      throw new RingyardError("BUSY", `${this.address}: another port has this NIC`, "ringyard port list shows which");
    }
    taken.add(this.address);
    this.owns = true;
    await this.nics.take(this.address, { by: "port" });
    await this.bringUp();
  }

  private async bringUp(): Promise<void> {
    const { host, spec } = this;
    const device = openVfioDevice(this.address, {
      door: (spec.options.iommu ?? "auto") as "auto" | "type1" | "iommufd",
    });
    this.device = device;
    this.driver = NIC_DRIVERS.find((each) => each.matches(device.vendor, device.device));
    if (this.driver === undefined) {
      const id = `${device.vendor.toString(16)}:${device.device.toString(16)}`;
      throw new RingyardError(
        "UNSUPPORTED",
        `${this.address} (${id}): ringyard has no driver for it`,
        "ringyard nic list",
      );
    }
    const nic = await this.driver.open(device, this.nicOptions());
    this.nic = nic;
    this.provision = await host.provideDma(device.space, () => this.inTurn(() => this.reset()));
    for (let pair = 0; pair < nic.pairs; pair++) await host.openLane(pair, nic.lane(pair));
    nic.start();
    if (!this.linkUp) nic.setLink(false);
    this.state = "running";
    this.startedMs = performance.now();
    this.watch(nic.managementVector < 0 ? -1 : device.interruptFd(nic.managementVector), () => this.look());
    this.watch(device.requestFd, () => this.inTurn(() => this.giveUp()));
    this.watch(device.errorFd, () => this.inTurn(() => this.afterError()));
    this.timer = setInterval(() => this.lookAtAll(), LOOK_MS);
    this.timer.unref();
    this.look();
  }

  private nicOptions(): NicOptions {
    const { queues = 1, mtu, offload, rxdesc = DESCRIPTORS, txdesc = DESCRIPTORS } = this.spec.options;
    return {
      queues,
      rxDescriptors: rxdesc as number,
      txDescriptors: txdesc as number,
      promisc: this.promisc,
      offload: offloadForms(offload),
      ...(this.mac !== undefined && { mac: this.mac }),
      ...(mtu !== undefined && { mtu }),
    };
  }

  private watch(fd: number, handle: () => void): void {
    if (fd < 0) return;
    const woken = () => {
      clearSignal(fd);
      handle();
    };
    this.watches.push(this.host.reactor.watch(fd, woken));
  }

  /** What is asked of the device waits for what was asked before. */
  private inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.turn.then(action);
    this.turn = done.catch((error) => this.host.log.warn(`vfio ${this.address}: ${errorLine(error)}`));
    return done;
  }

  /** Statistics, too: their counters are short, and begin anew or stop at their largest. */
  private lookAtAll(): void {
    this.nic?.counters();
    this.look();
  }

  /** Called by a timer and by interrupts, where nobody catches: what a device in trouble throws would end the switch. */
  private look(): void {
    const { nic } = this;
    if (nic === undefined) return;
    try {
      this.lookAt(nic);
    } catch (error) {
      this.host.log.warn(`vfio ${this.address}: ${errorLine(error)}`);
      void this.inTurn(() => this.afterError()).catch(() => undefined);
    }
  }

  private lookAt(nic: Nic): void {
    const link = nic.link();
    if (link.up !== this.link.up) {
      this.host.log.info(`vfio ${this.address}: link ${link.up ? `up, ${speedText(link)}` : "down"}`);
    }
    this.link = link;
    this.host.setCarrier(link.up && this.linkUp);
    if (this.isBroken(nic)) void this.inTurn(() => this.afterError()).catch(() => undefined);
  }

  /** The device says so, or wrote into a ring what it must not. */
  private isBroken(nic: Nic): boolean {
    if (nic.details().needs_reset === true) return true;
    for (let pair = 0; pair < nic.pairs; pair++) {
      const state = this.host.laneState(pair);
      if (state[FETCH_STATUS] === RING_BROKEN || state[DELIVER_STATUS] === RING_BROKEN) return true;
    }
    return false;
  }

  /** Stops all DMA; what waited to be sent is lost. The device starts again, at once or after a while. */
  private async reset(delayMs = 0): Promise<void> {
    if (this.nic === undefined) return;
    this.resets++;
    this.host.countError("reset");
    await this.silence();
    this.provision?.settle();
    this.restarting = setTimeout(() => void this.inTurn(() => this.restart()).catch(() => undefined), delayMs);
    this.restarting.unref();
  }

  private async restart(): Promise<void> {
    if (this.closed !== undefined || this.state !== "running") return;
    try {
      await this.release();
      await this.bringUp();
    } catch (error) {
      await this.fail(errorLine(error));
    }
  }

  private async fail(why: string): Promise<void> {
    this.state = "failed";
    await this.release();
    this.host.countError("restart_failed");
    const next = `ringyard port del ${this.spec.name}, and add it again`;
    this.host.log.warn(`vfio ${this.address}: not started again: ${why}`, { next });
  }

  private async afterError(): Promise<void> {
    if (this.nic === undefined) return;
    this.host.countError("device_error");
    this.quickFailures = performance.now() - this.startedMs < QUICK_MS ? this.quickFailures + 1 : 0;
    if (this.quickFailures > QUICK_FAILURES) return await this.fail("it breaks again and again");
    this.host.log.warn(`vfio ${this.address}: the device has an error that it cannot correct: resetting it`);
    await this.reset(this.quickFailures * LOOK_MS);
  }

  /** The kernel wants the device: it is pulled out, or unbound. It waits until we have let go. */
  private async giveUp(): Promise<void> {
    if (this.device === undefined) return;
    clearTimeout(this.restarting);
    this.state = "taken back by the kernel";
    this.host.countError("device_gone");
    const next = `ringyard port del ${this.spec.name}`;
    this.host.log.warn(`vfio ${this.address}: the kernel takes the device back`, { next });
    await this.release();
  }

  /** No lane runs and the device touches no memory when this resolves. */
  private async silence(): Promise<void> {
    clearInterval(this.timer);
    for (const token of this.watches.splice(0)) this.host.reactor.unwatch(token);
    this.link = NO_LINK;
    this.host.setCarrier(false);
    const { nic } = this;
    this.nic = undefined;
    if (nic === undefined) return;
    for (let pair = 0; pair < nic.pairs; pair++) await this.host.closeLane(pair);
    try {
      nic.stop();
    } catch (error) {
      // It does no DMA any more: bus master is off. Its close resets it once more.
      this.host.log.warn(`vfio ${this.address}: ${errorLine(error)}`);
    }
  }

  private async release(): Promise<void> {
    await this.silence();
    this.provision?.settle();
    await this.provision?.withdraw();
    this.provision = undefined;
    this.device?.close();
    this.device = undefined;
  }

  details(): PortDetails {
    const { nic, device, link } = this;
    const common = { address: this.address, driver: this.driver?.name ?? "-", deviceState: this.state };
    if (nic === undefined || device === undefined) return common;
    const { iommu, iommu_group, dma_mapped, registers_unmapped } = device.details();
    return {
      ...common,
      deviceMac: nic.mac,
      link: link.up ? `up, ${speedText(link)}` : "down",
      queuePairs: nic.pairs,
      interrupts: `${device.interruptKind}, ${device.interruptCount} of ${device.vectors}`,
      iommu,
      iommuGroup: iommu_group,
      dmaMiB: Math.round((dma_mapped as number) / 2 ** 20),
      promisc: this.promisc,
      ...(registers_unmapped !== undefined && { registersUnmapped: registers_unmapped }),
      ...(this.resets > 0 && { resets: this.resets }),
      ...nic.details(),
      hardware: nic.counters(),
    };
  }

  setLink(up: boolean): void {
    this.linkUp = up;
    this.nic?.setLink(up);
    this.look();
  }

  /** Address and promiscuous mode change under a running device. */
  async set(options: PortOptions): Promise<boolean> {
    for (const [option, value] of Object.entries(options)) {
      const same = JSON.stringify(value) === JSON.stringify(this.spec.options[option]);
      if (!same && option !== "promisc" && option !== "mac") return false;
    }
    if (this.nic === undefined || (options.mac === undefined && this.mac !== undefined)) return false;
    this.promisc = options.promisc !== "off";
    this.nic.setPromisc(this.promisc);
    if (options.mac !== undefined && options.mac !== this.mac) this.nic.setMac(options.mac);
    this.mac = options.mac;
    return true;
  }

  /**
   * Gives the NIC back to the kernel's driver where the port took it. Nothing holds on to a NIC, so `keep` says nothing. A NIC that
   * cannot be given back keeps no port from going.
   */
  close(): Promise<void> {
    this.closed ??= this.inTurn(async () => {
      clearTimeout(this.restarting);
      await this.release();
      if (!this.owns) return;
      const warnings = await this.giveBack();
      taken.delete(this.address);
      for (const warning of warnings) {
        this.host.log.warn(`vfio ${this.address}: ${warning}`, { next: `ringyard nic give ${this.address}` });
      }
    });
    return this.closed;
  }

  private async giveBack(): Promise<string[]> {
    try {
      return (await this.nics.give(this.address, { by: "port" })).warnings;
    } catch (error) {
      // Pulled out: there is nothing to give.
      if (error instanceof RingyardError && error.code === "NOT_FOUND") return [];
      return [errorLine(error)];
    }
  }
}

function speedText({ speedMbps, fullDuplex }: NicLink): string {
  return speedMbps === 0 ? "speed unknown" : `${speedMbps} Mbit/s, ${fullDuplex ? "full" : "half"} duplex`;
}
