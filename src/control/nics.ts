// Several NICs at once, for `ringyard nic`: one that fails does not keep the next from its turn. Needs no running switch: what one
// drives is found out from the machine itself. Control thread.

import { errorLine, RingyardError } from "../core/errors.ts";
import type { NicAdmin, NicChange } from "../core/nics.ts";

/** What became of several NICs: those done before one that failed stay done. */
export interface NicChanges {
  changes: NicChange[];
  failed: { address: string; error: RingyardError }[];
}

/** Takes each; those of one IOMMU group go together. */
export function takeNics(admin: NicAdmin, addresses: readonly string[], force: boolean): Promise<NicChanges> {
  return each(addresses, (address) => {
    const together = addresses.filter((other) => other !== address);
    return admin.take(address, { force, together });
  });
}

export function giveNics(admin: NicAdmin, addresses: readonly string[]): Promise<NicChanges> {
  return each(addresses, (address) => admin.give(address));
}

async function each(addresses: readonly string[], act: (address: string) => Promise<NicChange>): Promise<NicChanges> {
  const result: NicChanges = { changes: [], failed: [] };
  for (const address of addresses) {
    try {
      result.changes.push(await act(address));
    } catch (error) {
      const known = error instanceof RingyardError ? error : new RingyardError("SYSTEM", errorLine(error));
      result.failed.push({ address, error: known });
    }
  }
  return result;
}
