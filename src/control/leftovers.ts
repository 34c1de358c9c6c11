// What earlier switches left on this machine, of all kinds that can leave something. For `ringyard down --remove`, whose
// process serves no port itself. Control thread.

import { RingyardError } from "../core/errors.ts";
import type { Leftovers } from "../ports/port.ts";
import type { Kinds } from "./uri.ts";

/** Takes it away; names are `KIND:TARGET`. Throws what a kind throws, but for kinds that this machine has not. */
export async function removeLeftovers(kinds: Kinds): Promise<Leftovers> {
  const all: Leftovers = { removed: [], failed: [], served: [] };
  for (const kind of Object.values(kinds)) {
    if (kind.removeLeftovers === undefined) continue;
    try {
      const { removed, failed, served } = await kind.removeLeftovers();
      const named = (name: string) => `${kind.kind}:${name}`;
      all.removed.push(...removed.map(named));
      all.served.push(...served.map(named));
      all.failed.push(...failed.map(({ name, reason }) => ({ name: named(name), reason })));
    } catch (error) {
      if (!(error instanceof RingyardError && error.code === "MISSING")) throw error;
    }
  }
  return all;
}
