// The NIC drivers that there are. Control thread.

import { driver82574 } from "./intel/nic-82574.ts";
import { driver82576 } from "./intel/nic-82576.ts";
import type { NicDriver } from "./nic.ts";
import { virtioNetDriver } from "./virtio/driver.ts";

export const NIC_DRIVERS: readonly NicDriver[] = [virtioNetDriver, driver82574, driver82576];

/** What the inventory wants to know of a driver. */
export type KnownDriver = Pick<NicDriver, "name" | "matches">;
