// The PHY inside the device, through MDIC (82574: 10.2.2.7, 82576: 8.2.4): power and negotiation, nothing more. What it
// negotiates is in STATUS. Control thread; a register of the PHY takes some 64 us.

import type { Registers } from "../registers.ts";
import {
  BMCR_ANENABLE,
  BMCR_ANRESTART,
  BMCR_PDOWN,
  E1000_MDIC,
  E1000_MDIC_ERROR,
  E1000_MDIC_OP_READ,
  E1000_MDIC_OP_WRITE,
  E1000_MDIC_PHY_1,
  E1000_MDIC_READY,
  E1000_MDIC_REG_SHIFT,
  E1000_STATUS,
  E1000_STATUS_LU,
  MII_BMCR,
} from "./registers.ts";

/** Reads of MDIC until it is ready: each takes a microsecond on a bus. */
const MDIC_READS = 2000;

/** A PHY register, or -1 where the PHY does not answer. */
function readPhy(registers: Registers, register: number): number {
  return access(registers, (register << E1000_MDIC_REG_SHIFT) | E1000_MDIC_PHY_1 | E1000_MDIC_OP_READ);
}

/** Whether the PHY took it. */
function writePhy(registers: Registers, register: number, value: number): boolean {
  const command = value | (register << E1000_MDIC_REG_SHIFT) | E1000_MDIC_PHY_1 | E1000_MDIC_OP_WRITE;
  return access(registers, command) >= 0;
}

function access(registers: Registers, command: number): number {
  registers.write32(E1000_MDIC, command);
  for (let reads = 0; reads < MDIC_READS; reads++) {
    const answer = registers.read32(E1000_MDIC);
    if ((answer & E1000_MDIC_READY) === 0) continue;
    return (answer & E1000_MDIC_ERROR) !== 0 ? -1 : answer & 0xffff;
  }
  return -1;
}

/**
 * Switches the PHY on, or off so that the other end sees no link. One that is on and has a link keeps it; one that has none
 * negotiates anew, for the 82576 of QEMU does not begin by itself after a reset.
 */
export function powerPhy(registers: Registers, on: boolean): boolean {
  const control = readPhy(registers, MII_BMCR);
  if (control < 0) return false;
  if (!on) return writePhy(registers, MII_BMCR, control | BMCR_PDOWN);
  const linked = (registers.read32(E1000_STATUS) & E1000_STATUS_LU) !== 0;
  if ((control & BMCR_PDOWN) === 0 && linked) return true;
  return writePhy(registers, MII_BMCR, (control & ~BMCR_PDOWN) | BMCR_ANENABLE | BMCR_ANRESTART);
}
