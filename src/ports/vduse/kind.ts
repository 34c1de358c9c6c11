// The port kind `vduse:NAME`: a virtio-net device of the kernel's own (vDPA Device in Userspace). A container gets it as an
// ordinary network device (virtio-vdpa), a VM as /dev/vhost-vdpa-N; `attach` says which.
//
//   vduse:web?mac=02:...&mtu=9000&bounce=16M        made here, or adopted where an earlier ringyard left it
//
// Control thread only; what blocks in the kernel is the clerk's (ports/vdpa/clerk.ts).

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import type { Port, PortHost, PortKind, PortSpec, TargetProblem } from "../port.ts";
import { probeVduse } from "../vdpa/probe.ts";
import { removeLeftovers } from "./leftovers.ts";
import { VdusePort } from "./port.ts";

/** What the kernel takes for a device's name, kept to what reads well everywhere it shows up. */
const DEVICE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$/;
const MIB = 2 ** 20;

/** `64M` or bytes; the kernel takes 1 MiB to 1 GiB. */
const bounce = z.string().transform((text, context) => {
  const [, digits, unit] = /^(\d{1,10})([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(digits) * { "": 1, K: 1024, M: MIB, G: 1024 * MIB }[(unit ?? "") as "" | "K" | "M" | "G"];
  if (bytes >= MIB && bytes <= 1024 * MIB && bytes % 4096 === 0) return bytes;
  context.addIssue({ code: "custom", message: "expected a size from 1M to 1G" });
  return z.NEVER;
});

export const vduse: PortKind = {
  kind: "vduse",
  summary: "a virtio-net device of the kernel's, for a container (virtio-vdpa) or a VM (vhost-vdpa)",
  targetForm: "NAME",
  options: { bounce: bounce.optional(), umem: z.enum(["on", "off"]).optional() },
  check,
  probe: probeVduse,
  removeLeftovers,
  async open(spec: PortSpec, host: PortHost): Promise<Port> {
    const wrong = check(spec.target);
    if (wrong !== undefined) throw new RingyardError("BAD_URI", `vduse ${wrong.message}`, wrong.next);
    const port = new VdusePort(spec, host);
    try {
      await port.start();
      return port;
    } catch (error) {
      await port.close(true);
      throw error;
    }
  },
};

function check(target: string): TargetProblem | undefined {
  if (DEVICE_NAME.test(target) && target !== "control") return undefined;
  const message = `${quoted(target.slice(0, 40))} is no name for a device`;
  return { message, next: "use 1 to 31 letters, digits, _ . or -" };
}
