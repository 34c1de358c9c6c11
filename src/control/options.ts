// The options that every port kind takes, as schemas over the strings that a URI carries, and the other words that more
// than one place reads: port names, MAC addresses, CPU lists. A schema's message says what was expected; whoever reports
// it adds what was found.

import { z } from "zod";
import { CPU_COUNT_MAX } from "../core/cpus.ts";
import { MAX_PAIRS } from "../dataplane/shared.ts";
import { OFFLOAD_NAMES } from "../virtio/features.ts";

const someName = { error: "expected a port name of 1 to 32 letters, digits, _ . -" };
/** A port's name: safe in a shell, in a file name and as a bare TOML key (but for the dot). */
export const portName = z
  .string(someName)
  .regex(/^[A-Za-z0-9_.-]{1,32}$/, someName)
  // Names are keys of objects in TOML and JSON, where this one would be the object's prototype.
  .refine((name) => name !== "__proto__", { error: "expected another port name" });

/** What to do about a text that is no name of a port, a meter or whatever is called as ports are. */
export function nameAdvice(text: unknown): string {
  return text === "__proto__" ? "choose another name" : "write 1 to 32 letters, digits, _ . -";
}

/** A text in a request; the switch keeps and prints it, so it has an end. */
export function shortText(expected: string, most = 64) {
  return z.string({ error: expected }).max(most, { error: `expected at most ${most} characters` });
}

/** A whole number written in decimal. */
export function integer(min: number, max: number) {
  return z
    .string()
    .refine((text) => /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `expected a number from ${min} to ${max}`,
    })
    .transform(Number);
}

/** A host's own address: the group bit (the lowest of the first octet, IEEE 802) is clear, and it is not all zero. */
export const mac = z
  .string()
  .refine((text) => /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(text) && !/^[0:]*$/.test(text), {
    error: "expected a unicast MAC address such as 02:00:00:00:00:01",
  })
  .transform((text) => text.toLowerCase());

/** 68 is the least MTU of IPv4 (RFC 791), 65535 the greatest that virtio-net's 16-bit field can say. */
export const MTU_MIN = 68;
export const MTU_MAX = 65535;

/** `csum,tso4,uso`, in any order, or `none`. Segmentation without checksums does not exist (virtio 1.3, 5.1.3.1). */
const offload = z.string().transform((text, context) => {
  const words = text === "none" ? [] : [...new Set(text.split(","))].sort();
  const has = (word: string) => words.includes(word);
  const fail = (message: string) => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  if (!words.every((word) => OFFLOAD_NAMES.includes(word)))
    return fail(`expected none or a list of ${[...OFFLOAD_NAMES].sort().join(", ")}`);
  if ((has("tso4") || has("tso6") || has("uso")) && !has("csum"))
    return fail("expected csum beside tso4, tso6 and uso");
  if (has("ecn") && !has("tso4") && !has("tso6")) return fail("expected tso4 or tso6 beside ecn");
  return words;
});

/** The link that the administrator wants. In a URI it is where a port begins: it changes while the port runs. */
export const link = z.enum(["up", "down"], { error: "expected up or down" });

export const commonOptions = {
  cpu: integer(0, CPU_COUNT_MAX - 1),
  link,
  mac,
  mtu: integer(MTU_MIN, MTU_MAX),
  queues: integer(1, MAX_PAIRS),
  offload,
} as const;
