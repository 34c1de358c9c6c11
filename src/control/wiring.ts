// The port kinds by URI scheme: what the control thread loads of them. The dataplane never imports a kind; it gets them here.
// And who takes NICs from the kernel for the kind that drives them, and the driver of memory ports for whoever measures with them.

import type { NicAdmin } from "../core/nics.ts";
import { memoryDriver } from "../ports/memory/driver.ts";
import { memory } from "../ports/memory/kind.ts";
import { nullPort } from "../ports/null.ts";
import type { PortKind } from "../ports/port.ts";
import { tap } from "../ports/tap/kind.ts";
import { vduse } from "../ports/vduse/kind.ts";
import { machineNics } from "../ports/vfio/bind/binder.ts";
import { vfio } from "../ports/vfio/kind.ts";
import { vhostUser } from "../ports/vhost-user/kind.ts";

export const kinds: Readonly<Record<string, PortKind>> = {
  [vhostUser.kind]: vhostUser,
  [vduse.kind]: vduse,
  [vfio.kind]: vfio,
  [tap.kind]: tap,
  [memory.kind]: memory,
  [nullPort.kind]: nullPort,
};

/** Of this machine; for `ringyard nic`, which needs no switch. */
export const nics: NicAdmin = machineNics();

export { memoryDriver };
