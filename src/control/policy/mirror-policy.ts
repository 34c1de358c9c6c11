// Mirrors as people give them, in `[mirrors.NAME]` and `mirror add NAME KEY=VALUE`:
//
//   { ports: ["vm1", "vm2:in"], vlans: ["10:in"], to: "mon", truncate: 128 }   <->   NamedMirror
//
// Whether there are ports of these names is not looked at here (missingPorts says which it takes). Pure.

import type { z } from "zod";
import { MAX_FRAME } from "../../mem/batch.ts";
import type { ConfigProblem } from "../config.ts";
import { suggest } from "../nearest.ts";
import { portName } from "../options.ts";
import type { NamedMirror } from "./named-policy.ts";
import { directed, directedWord, valueProblem, vid, wholeNumber } from "./policy-values.ts";
import type { PolicyRead, PolicyWords } from "./policy-words.ts";

/** Ethernet addresses and type: less says nothing. */
const TRUNCATE_MIN = 14;

const SCHEMAS = {
  ports: directed("ports", "vm1", portName),
  vlans: directed("VLANs", "10", vid),
  to: portName,
  truncate: wholeNumber("bytes", TRUNCATE_MIN, MAX_FRAME),
} as const satisfies Record<string, z.ZodType>;

type Said = { [K in keyof typeof SCHEMAS]?: z.output<(typeof SCHEMAS)[K]> };

export const MIRROR_KEYS: readonly string[] = Object.keys(SCHEMAS);

export function readMirror(name: string, words: Readonly<Record<string, unknown>>): PolicyRead<NamedMirror> {
  const problems: ConfigProblem[] = [];
  const said: Said = {};
  for (const [key, value] of Object.entries(words)) {
    if (!Object.hasOwn(SCHEMAS, key)) {
      problems.push({ path: [key], message: `unknown key: ${suggest(key, "known:", MIRROR_KEYS)}` });
      continue;
    }
    const parsed = SCHEMAS[key as keyof typeof SCHEMAS].safeParse(value);
    if (parsed.success) Object.assign(said, { [key]: parsed.data });
    else problems.push(valueProblem([key], value, parsed.error));
  }
  if (problems.length > 0) return { problems };
  const { ports = [], vlans = [], to, truncate = 0 } = said;
  if (to === undefined) return problem([], "a mirror needs a port for the copies: say to = NAME");
  if (ports.length === 0 && vlans.length === 0) return problem([], "a mirror of nothing: say ports or vlans");
  if (ports.some(({ of }) => of === to)) return problem(["to"], `port ${to} is mirrored itself: choose another port`);
  return {
    is: {
      ...{ name, to, truncate },
      ports: ports.map(({ of, direction }) => ({ port: of, direction })),
      vlans: vlans.map(({ of, direction }) => ({ vid: of, direction })),
    },
  };
}

function problem(path: ConfigProblem["path"], message: string): { problems: ConfigProblem[] } {
  return { problems: [{ path, message }] };
}

/** As they can be read again. */
export function mirrorWords({ ports, vlans, to, truncate }: NamedMirror): PolicyWords {
  return {
    ...(ports.length === 0 ? {} : { ports: ports.map(({ port, direction }) => directedWord(port, direction)) }),
    ...(vlans.length === 0 ? {} : { vlans: vlans.map(({ vid, direction }) => directedWord(vid, direction)) }),
    to,
    ...(truncate === 0 ? {} : { truncate }),
  };
}

/** The ports that a mirror names. */
export function portsOfMirror({ ports, to }: NamedMirror): string[] {
  return [...new Set([...ports.map(({ port }) => port), to])];
}
