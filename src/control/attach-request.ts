// The arguments of `port.attach`: their shape, and which go together. Whether a namespace is there, or a name or an address
// one that a device can have, is for the port's kind to say. Pure.

import { z } from "zod";
import type { AttachTarget } from "../ports/port.ts";
import { shortText } from "./options.ts";
import type { AttachArgs } from "./protocol.ts";

/** Far more than a container has; keeps a request within a frame. */
const ADDRESSES_MAX = 64;
/** PATH_MAX of Linux, for a namespace that is named by its path. */
const NAMESPACE_MAX = 4096;
const namespace = { error: "expected the name of a network namespace, a PID or an absolute path" };

/** The schema of `port.attach`'s arguments; `name` is the schema of a port's name. */
export function attachSchema(name: z.ZodString) {
  return z
    .strictObject({
      name,
      to: z.enum(["netns", "vm"], { error: "expected netns or vm" }),
      netns: z
        .string(namespace)
        .max(NAMESPACE_MAX, namespace)
        .regex(/^(\/.+|(?!\.{1,2}$)[^/\0]{1,255})$/, namespace)
        .optional(),
      ifname: shortText("expected the name of a network device").optional(),
      ip: z
        .array(shortText("expected an address"), { error: "expected a list of addresses" })
        .max(ADDRESSES_MAX, `expected at most ${ADDRESSES_MAX} addresses`)
        .optional(),
    })
    .superRefine((args, context) => {
      if (args.to === "netns") {
        if (args.netns === undefined) context.addIssue({ code: "custom", path: ["netns"], message: namespace.error });
        return;
      }
      for (const key of ["netns", "ifname", "ip"] as const) {
        if (args[key] === undefined) continue;
        context.addIssue({ code: "custom", path: [key], message: "expected nothing beside a vm" });
      }
    });
}

/** What checked arguments ask for. */
export function attachTarget({ to, netns = "", ifname, ip }: AttachArgs): AttachTarget {
  if (to === "vm") return { to };
  return { to, netns, ...(ifname !== undefined && { ifname }), ...(ip !== undefined && { ip }) };
}
