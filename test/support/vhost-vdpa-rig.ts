// A switch of its own process with VDUSE ports on vhost-vdpa, and drivers for them in this one. For a file of tests: the
// switch starts before the first, drivers are closed after each, and in the end no device is left.
//
//   const rig = useVdpaRig(["a", "b"]);
//   test("…", async () => { const a = await rig.started("a"), b = await rig.started("b"); … });
//
// Main thread of a test process.

import { afterEach, beforeAll } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import type { PortInfo } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import type { Operation, Operations } from "../../src/control/protocol.ts";
import { removeLeftovers } from "../../src/ports/vduse/leftovers.ts";
import { useCleanup } from "./cleanup.ts";
import { requirePeer, type Suite } from "./skip.ts";
import { type SwitchProcess, useSwitch } from "./switch.ts";
import { type UntilOptions, until } from "./until.ts";
import { deviceName } from "./vduse.ts";
import { VdpaGuest, type VdpaGuestOptions } from "./vhost-vdpa-guest.ts";

const START_LIMIT_MS = 180_000;
/** How long the kernel waits for a switch that a failed test has lost. ringyard itself sets it to for ever. */
const MESSAGE_TIMEOUT_S = 30;

/** `describe` where the kernel has VDUSE and what binds its devices to /dev/vhost-vdpa-N. */
export function requireVhostVdpa(): Suite {
  const here = existsSync("/dev/vduse/control") && existsSync("/sys/bus/vdpa/drivers/vhost_vdpa");
  return requirePeer("VDUSE", here, "npm test runs this in its virtual machine; else modprobe vduse vhost_vdpa");
}

export class VdpaRig {
  ringyard!: SwitchProcess;
  /** Device names and paths, by port. */
  readonly devices: Record<string, { name: string; path: string }> = {};
  readonly guests = new Set<VdpaGuest>();

  /** A driver that has taken the port's device and not started it. */
  guest(port: string, options?: VdpaGuestOptions): VdpaGuest {
    const made = new VdpaGuest(this.devices[port].path, options);
    this.guests.add(made);
    return made;
  }

  /** A driver whose port forwards frames. */
  async started(port: string, options?: VdpaGuestOptions): Promise<VdpaGuest> {
    const made = this.guest(port, options);
    made.start();
    await this.state(port, "running");
    return made;
  }

  /** Waits for `deviceState` of a port. */
  async state(port: string, state: string): Promise<PortInfo> {
    return await this.port(port, `to be ${state}`, ({ details }) => details.deviceState === state);
  }

  /** Waits until what a port shows is as `wanted`. */
  async port(name: string, what: string, wanted: (port: PortInfo) => boolean): Promise<PortInfo> {
    let seen: PortInfo | undefined;
    const context = () => `${JSON.stringify(seen)}\n${this.ringyard.output}`;
    return await this.until(
      `port ${name} ${what}`,
      async () => {
        seen = await this.show(name);
        return wanted(seen) ? seen : undefined;
      },
      { context },
    );
  }

  until<T>(what: string, probe: () => T | Promise<T>, options: UntilOptions = {}) {
    return until(what, probe, { context: () => this.ringyard.output, ...options });
  }

  /** The next frame that arrives at a driver. */
  async receive(guest: VdpaGuest): Promise<Uint8Array> {
    return await this.until("a frame", () => guest.poll(), { everyMs: 0 });
  }

  async show(name: string): Promise<PortInfo> {
    return (await this.request("port.show", { name })).port;
  }

  /** Asks the switch over its socket: a process for each question takes seconds on an emulated machine. */
  async request<O extends Operation>(op: O, args: Operations[O]["args"]): Promise<Operations[O]["result"]> {
    const client = await ControlClient.connect(this.ringyard.control);
    try {
      return await client.request(op, args);
    } finally {
      client.close();
    }
  }

  async attach(port: string): Promise<void> {
    const { vm } = await this.request("port.attach", { name: port, to: "vm" });
    this.devices[port].path = vm!.path;
  }

  /** Lets a driver's device go before the test ends. */
  close(guest: VdpaGuest): void {
    this.guests.delete(guest);
    guest.close();
  }

  closeGuests(): void {
    for (const guest of this.guests) guest.close();
    this.guests.clear();
  }

  /** How long the kernel waits for an answer before it gives a device up; 0: for ever. */
  setMessageTimeout(port: string, seconds: number): void {
    writeFileSync(`/sys/class/vduse/${this.devices[port].name}/msg_timeout`, `${seconds}\n`);
  }
}

/** A rig for the file, its switch open before the first test; `ports` by name and query. */
export function useVdpaRig(ports: Record<string, string>, ...words: string[]): VdpaRig {
  const rig = new VdpaRig();
  const defer = useCleanup();
  const startSwitch = useSwitch();
  beforeAll(async () => {
    const uris: Record<string, string> = {};
    for (const [port, query] of Object.entries(ports)) {
      const name = deviceName();
      uris[port] = `vduse:${name}${query}`;
      rig.devices[port] = { name, path: "" };
    }
    defer(() => endAll(rig));
    rig.ringyard = await startSwitch(uris, ...words);
    for (const port of Object.keys(ports)) {
      await rig.attach(port);
      rig.setMessageTimeout(port, MESSAGE_TIMEOUT_S);
    }
  }, START_LIMIT_MS);
  afterEach(() => rig.closeGuests());
  return rig;
}

async function endAll(rig: VdpaRig): Promise<void> {
  rig.closeGuests();
  await rig.ringyard?.stop();
  await removeLeftovers();
}
