// Fake virtio NICs taken into use by their driver, for tests of that alone: each is given back with its test, and one that is refused
// is left silent, with nothing held.

import { afterEach, expect } from "bun:test";
import { RingyardError } from "../../../../src/core/errors.ts";
import type { Nic, NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { type FakeOptions, FakeVirtioNet, OFFERED } from "./fake-device.ts";
import { OPTIONS } from "./rig.ts";

/** What a device offers by itself, without these. */
export const without = (...bits: number[]) => OFFERED.filter((bit) => !bits.includes(bit));

export async function open(device: FakeVirtioNet, options: Partial<NicOptions> = {}): Promise<Nic> {
  return await virtioNetDriver.open(device, { ...OPTIONS, ...options });
}

export interface FakeDevices {
  fakeDevice(options?: FakeOptions): FakeVirtioNet;
  /** The line that a person reads, and the device left alone. */
  refusal(device: FakeVirtioNet, options?: Partial<NicOptions>): Promise<string>;
}

export function useFakeDevices(): FakeDevices {
  const devices: FakeVirtioNet[] = [];
  afterEach(() => {
    for (const device of devices.splice(0)) device.close();
  });
  return {
    fakeDevice(options = {}) {
      const device = new FakeVirtioNet(options);
      devices.push(device);
      return device;
    },
    async refusal(device, options = {}) {
      const before = holdings();
      try {
        (await open(device, options)).stop();
        return "it opens";
      } catch (error) {
        if (!(error instanceof RingyardError)) throw error;
        // Its memory and eventfds are the device's to give back.
        device.close();
        devices.splice(devices.indexOf(device), 1);
        expect(heldDifference(before, holdings()).filter((line) => !line.startsWith("-"))).toEqual([]);
        expect(device.busMaster).toBe(false);
        return `${error.code}: ${error.advice}`;
      }
    },
  };
}
