// Where a PCI device is: `0000:03:00.0` (domain, bus, device, function), as the kernel writes it. Pure.

import { RingyardError } from "../../../core/errors.ts";
import { quoted } from "../../../core/quote.ts";

const FORM = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/;

/** The kernel's form of an address, whose domain may be left out; undefined for what is none. */
export function pciAddress(text: string): string | undefined {
  const [, domain = "0000", bus, device, index] = FORM.exec(text.toLowerCase()) ?? [];
  if (bus === undefined || Number.parseInt(device, 16) > 31) return undefined;
  return `${domain}:${bus}:${device}.${index}`;
}

/** The same, or a RingyardError. */
export function requireAddress(text: string): string {
  const address = pciAddress(text);
  if (address !== undefined) return address;
  throw new RingyardError(
    "BAD_OPTION",
    `${quoted(text.slice(0, 40))} is no PCI address`,
    "write it as 0000:03:00.0; ringyard nic list shows them",
  );
}
