// What a ringyard that was killed, and is not started again, left in the kernel: VDUSE devices on the vDPA bus that carry our
// vendor id. For `ringyard down --remove` where no switch runs. Control thread of a process that serves no device itself.

import { errorLine, RingyardError } from "../../core/errors.ts";
import { closeFd } from "../../sys/fd.ts";
import type { Leftovers } from "../port.ts";
import { Clerk } from "../vdpa/clerk.ts";
import { openDevice, VduseControl, VENDOR_ID } from "./control.ts";
import { Responder } from "./responder.ts";

/** Takes every such device off the bus and destroys it; containers and VMs lose it. Throws RingyardError without VDUSE. */
export async function removeLeftovers(): Promise<Leftovers> {
  const control = VduseControl.open();
  const clerk = Clerk.acquire();
  const responder = Responder.acquire();
  const result: Leftovers = { removed: [], failed: [], served: [] };
  try {
    for (const { name, vendorId } of await clerk.list()) {
      if (vendorId !== VENDOR_ID) continue;
      try {
        const removed = await removeDevice(name, control, clerk, responder);
        (removed ? result.removed : result.served).push(name);
      } catch (error) {
        result.failed.push({ name, reason: errorLine(error) });
      }
    }
    return result;
  } finally {
    await responder.release();
    await clerk.release();
    control.close();
  }
}

/** Returns false where a process serves it. Throws RingyardError, BUSY where a VM holds it. */
async function removeDevice(name: string, control: VduseControl, clerk: Clerk, responder: Responder): Promise<boolean> {
  // Its driver says goodbye by a reset, which somebody has to answer.
  const fd = openUnserved(name);
  if (fd === null) return false;
  responder.add(fd, {
    onRequest: (request, answered) => {
      if (!answered) responder.answer(fd, request.id, true);
    },
    onBroken: () => undefined,
  });
  try {
    await clerk.remove(name);
  } finally {
    await responder.remove(fd);
    closeFd(fd);
  }
  if (control.destroy(name) === "busy") {
    throw new RingyardError("BUSY", `vduse ${name}: still in use`, "ringyard down --remove, once more");
  }
  return true;
}

function openUnserved(name: string): number | null {
  try {
    return openDevice(name);
  } catch (error) {
    if (error instanceof RingyardError && error.code === "BUSY") return null;
    throw error;
  }
}
