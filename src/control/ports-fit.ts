// Whether a switch can have these ports: as many, with their limits of addresses and their processors. Asked before anything of a change is done:
// the switch itself would refuse a port when others have gone for it, or a limit when the rest is set. Pure.

import { errorLine, RingyardError } from "../core/errors.ts";
import { MAX_PORTS } from "../dataplane/shared.ts";
import { type Config, ConfigError, type PortConfig } from "./config.ts";
import { checkPortCpu } from "./host.ts";

/** What a running switch keeps. */
export interface SwitchRoom {
  macLimit: number;
  /** Absent: not known yet. */
  cpus?: readonly number[];
}

/** Throws BAD_OPTION where a port shall have a limit above `most`, the switch's; `place` is `port NAME`, or where it stands in a file. */
export function checkPortLimit(place: string, limit: number | undefined, most: number): void {
  if (limit === undefined || limit <= most) return;
  const next = `choose ${most} at most, or start the switch with a larger mac-limit`;
  throw new RingyardError("BAD_OPTION", `${place}: mac-limit: ${limit} is more than the ${most} of the switch`, next);
}

/** Throws ConfigError with a line for each port that does not fit. */
export function checkPortsFit(ports: Config["ports"], room: SwitchRoom): void {
  if (ports.size > MAX_PORTS)
    throw new ConfigError([`ports: ${ports.size} are more than the ${MAX_PORTS} that a switch has`]);
  const lines = [...ports.values()].flatMap((port) => mistakesOf(port, room));
  if (lines.length > 0) throw new ConfigError(lines);
}

function mistakesOf({ spec, macLimit, place = `port ${spec.name}` }: PortConfig, room: SwitchRoom): string[] {
  const { cpu } = spec.options;
  const checks = [
    () => checkPortLimit(place, macLimit, room.macLimit),
    () => cpu !== undefined && room.cpus !== undefined && checkPortCpu(place, cpu, room.cpus),
  ];
  return checks.flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      return [errorLine(error)];
    }
  });
}
