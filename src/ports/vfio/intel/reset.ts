// Making a device silent and bringing it to its state after power-on: 82574 data sheet 4.6.1 to 4.6.3, 82576 data sheet 4.5.
// The order is that of both data sheets: interrupts masked, receiver and transmitter off, no more requests on the bus, reset.
// Control thread.

import type { Registers } from "../registers.ts";
import {
  E1000_CTRL,
  E1000_CTRL_GIO_MASTER_DISABLE,
  E1000_CTRL_RST,
  E1000_EECD,
  E1000_EECD_AUTO_RD,
  E1000_ICR,
  E1000_IMC,
  E1000_RCTL,
  E1000_STATUS,
  E1000_STATUS_GIO_MASTER_ENABLE,
  E1000_TCTL,
} from "./registers.ts";

/** What a read of a device gives that is not there any more. */
export const GONE = 0xffffffff;
/** PCIe 2.0, 2.8: a completion may take 50 ms; the data sheets wait 80 for the last request. */
const MASTER_DISABLE_MS = 80;
/** Both data sheets: the NVM is read within 20 ms of a reset. A device without one never says so, and works all the same. */
const AUTO_READ_MS = 20;
/** The 82574 needs 25 ms after the NVM was read until its PHY is configured (DPDK's base code, too). */
const PHY_CONFIGURED_MS = 25;

/** Masks interrupts, stops both directions and waits until the device makes no more requests. False: it still might. */
export function quiesce(registers: Registers): boolean {
  registers.write32(E1000_IMC, 0xffffffff);
  registers.write32(E1000_RCTL, 0);
  registers.write32(E1000_TCTL, 0);
  registers.write32(E1000_CTRL, registers.read32(E1000_CTRL) | E1000_CTRL_GIO_MASTER_DISABLE);
  for (let ms = 0; ms < MASTER_DISABLE_MS; ms++) {
    const status = registers.read32(E1000_STATUS);
    if (status === GONE || (status & E1000_STATUS_GIO_MASTER_ENABLE) === 0) return true;
    Bun.sleepSync(1);
  }
  return false;
}

/** The software reset; registers must not be touched for a moment after it. */
export function resetNow(registers: Registers): void {
  registers.write32(E1000_CTRL, registers.read32(E1000_CTRL) | E1000_CTRL_RST);
  Bun.sleepSync(1);
  registers.write32(E1000_IMC, 0xffffffff);
  registers.read32(E1000_ICR);
}

/** Silence, reset, and the wait until addresses and defaults have come from the NVM. False: the device does not answer. */
export async function resetDevice(registers: Registers): Promise<boolean> {
  quiesce(registers);
  resetNow(registers);
  for (let ms = 0; ms < AUTO_READ_MS; ms++) {
    const control = registers.read32(E1000_EECD);
    if (control === GONE) return false;
    if ((control & E1000_EECD_AUTO_RD) !== 0) break;
    await Bun.sleep(1);
  }
  await Bun.sleep(PHY_CONFIGURED_MS);
  registers.write32(E1000_IMC, 0xffffffff);
  registers.read32(E1000_ICR);
  return registers.read32(E1000_EECD) !== GONE;
}
