// The port kind `tap:NAME`: a network device of the kernel's, for containers (in their namespace) and for the host itself.
//
//   tap:web0?netns=blue      made in namespace /run/netns/blue        (or netns=PID, netns=/a/path)
//   tap:web0                 made here; `ip link set web0 netns …` moves it while the port runs
//
// A device that goes away under the port (its namespace ended with its container) leaves the port without carrier; the
// kernel tells a descriptor's readers nothing but an error without end, so a timer looks once a second and stops the lanes.
// Control thread only.

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import { offloadForms, offloadNames } from "../../virtio/features.ts";
import { DEVICE_NAME } from "../link/link.ts";
import { netnsPath } from "../link/netns.ts";
import type {
  Port,
  PortDetails,
  PortHost,
  PortKind,
  PortOptions,
  PortProbe,
  PortSpec,
  TargetProblem,
} from "../port.ts";
import {
  closeTap,
  inspectTap,
  openTap,
  setTapCarrier,
  setTapMtu,
  type TapDevice,
  tapIsGone,
  tryTap,
} from "./device.ts";

/** How long frames may go to a device that is gone. */
const LOOK_MS = 1000;

const netns = z.string().regex(/^(\/.+|(?!\.{1,2}$)[^/\0]{1,255})$/, {
  error: "expected the name of a network namespace, a PID or an absolute path",
});

export const tap: PortKind = {
  kind: "tap",
  summary: "a TAP device, for a container or the host",
  targetForm: "NAME",
  options: { netns: netns.optional() },
  check,
  probe,
  open,
};

function probe(): PortProbe {
  try {
    tryTap();
    return { available: true };
  } catch (error) {
    if (error instanceof RingyardError) return { available: false, reason: error.message, next: error.next };
    throw error;
  }
}

function check(target: string): TargetProblem | undefined {
  if (DEVICE_NAME.test(target)) return undefined;
  const message = `${quoted(target.slice(0, 40))} is no name for a network device`;
  return { message, next: "use 1 to 15 letters, digits, - or _" };
}

async function open(spec: PortSpec, host: PortHost): Promise<Port> {
  const { target: name, options } = spec;
  const wrong = check(name);
  if (wrong !== undefined) throw new RingyardError("BAD_URI", `tap ${wrong.message}`, wrong.next);
  const device = openTap({
    name,
    netns: typeof options.netns === "string" ? netnsPath(options.netns) : undefined,
    mac: options.mac,
    mtu: options.mtu,
    queues: options.queues ?? 1,
    offload: offloadForms(options.offload),
  });
  const port = new TapPort(spec, host, device);
  try {
    await port.start();
  } catch (error) {
    await port.close();
    throw error;
  }
  return port;
}

class TapPort implements Port {
  private readonly pairs: number[];
  private watch: Timer | undefined;
  private gone = false;
  private closed: Promise<void> | undefined;

  constructor(
    private readonly spec: PortSpec,
    private readonly host: PortHost,
    private readonly device: TapDevice,
  ) {
    this.pairs = device.fds.map((_, pair) => pair);
  }

  async start(): Promise<void> {
    const accepts = this.device.offload;
    // First: the device is up, a worker fetches as soon as it has the lane, and frames of a port without carrier are dropped.
    this.host.setCarrier(true);
    for (const pair of this.pairs) {
      await this.host.openLane(pair, { driver: "tap", fd: this.device.fds[pair], accepts });
    }
    this.watch = setInterval(() => void this.look(), LOOK_MS);
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
    if (this.closed === undefined) setTapCarrier(this.device.fds[0], up);
  }

  /** Only the MTU changes under a running device. */
  async set(options: PortOptions): Promise<boolean> {
    const current = this.spec.options;
    for (const [option, value] of Object.entries(options)) {
      if (option !== "mtu" && JSON.stringify(value) !== JSON.stringify(current[option])) return false;
    }
    setTapMtu(this.device.fds[0], options.mtu ?? this.device.defaultMtu);
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
      for (const pair of this.pairs) await this.host.closeLane(pair);
    } finally {
      closeTap(this.device);
    }
  }

  private async look(): Promise<void> {
    if (this.gone || this.closed !== undefined || !tapIsGone(this.device.fds[0])) return;
    this.gone = true;
    clearInterval(this.watch);
    this.host.setCarrier(false);
    this.host.countError("device_gone");
    this.host.log.warn(`tap ${this.spec.target} is gone, with its namespace or by hand`, {
      next: `ringyard port del ${this.spec.name}`,
    });
    for (const pair of this.pairs) {
      // After a close the index may be another port's.
      if (this.closed === undefined) await this.host.closeLane(pair);
    }
  }
}
