// The port kinds by URI scheme: what the control thread loads of them. The dataplane never imports a kind; it gets them here.

import { memory } from "../ports/memory/kind.ts";
import { nullPort } from "../ports/null.ts";
import type { PortKind } from "../ports/port.ts";
import { tap } from "../ports/tap/kind.ts";
import { vduse } from "../ports/vduse/kind.ts";
import { vhostUser } from "../ports/vhost-user/kind.ts";

export const kinds: Readonly<Record<string, PortKind>> = {
  [vhostUser.kind]: vhostUser,
  [vduse.kind]: vduse,
  [tap.kind]: tap,
  [memory.kind]: memory,
  [nullPort.kind]: nullPort,
};
