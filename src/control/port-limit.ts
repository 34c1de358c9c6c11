// How many addresses a port may be allowed: no more than the switch holds, and that a running switch cannot change. Asked before anything of a
// change is done, since the fdb would refuse the limit when the rest is done already. Pure.

import { RingyardError } from "../core/errors.ts";
import { type Config, ConfigError } from "./config.ts";

/** Throws BAD_OPTION where a port shall have a limit above `most`, the switch's; `place` is `port NAME`, or where it stands in a file. */
export function checkPortLimit(place: string, limit: number | undefined, most: number): void {
  if (limit === undefined || limit <= most) return;
  const next = `choose ${most} at most, or start the switch with a larger mac-limit`;
  throw new RingyardError("BAD_OPTION", `${place}: mac-limit: ${limit} is more than the ${most} of the switch`, next);
}

/** The same of all ports of a configuration; throws ConfigError with a line for each. */
export function checkPortLimits(ports: Config["ports"], most: number): void {
  const lines: string[] = [];
  for (const [name, { place, macLimit }] of ports) {
    try {
      checkPortLimit(place ?? `port ${name}`, macLimit, most);
    } catch (error) {
      if (!(error instanceof RingyardError)) throw error;
      lines.push(error.advice);
    }
  }
  if (lines.length > 0) throw new ConfigError(lines);
}
