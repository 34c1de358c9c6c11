// What a configuration may say: schemas of its tables, and their mistakes as one line each. Pure.

import { z } from "zod";
import { parseCpus } from "../core/cpus.ts";
import { fitsLine, quoted } from "../core/quote.ts";
import type { Steps } from "../core/turns.ts";
import { FDB_ADDRESSES_MAX } from "../dataplane/fdb-layout.ts";
import type { PortSpec } from "../ports/port.ts";
import type { SwitchSettings } from "./api.ts";
import type { Config, ConfigProblem, PortConfig } from "./config.ts";
import { readMirrors, readPolicy, readVlans, splitPort } from "./config-policy.ts";
import { readMeters, readRules } from "./config-rules.ts";
import type { Place } from "./config-toml.ts";
import { nearest, suggest } from "./nearest.ts";
import { link } from "./options.ts";
import { CONTROL_PATH_MAX } from "./paths.ts";
import { isPlainTable } from "./plain-table.ts";
import type { PortSettings } from "./policy/named-policy.ts";
import { PORT_POLICY_KEYS } from "./policy/port-policy.ts";
import type { KnownRules } from "./rules/known-rules.ts";
import { type Kinds, readPort } from "./uri.ts";
import { valueText } from "./uri-text.ts";

const POLL_MODES = ["adaptive", "busy", "interrupt"] as const;
/** A day: an address that has been silent for longer tells nothing. */
const AGEING_MAX_S = 86_400;
/** The most that a port or the switch can be told to learn. */
export const MAC_LIMIT_MAX = FDB_ADDRESSES_MAX;

const wholeNumber = (min: number, max: number) => {
  const error = `expected a whole number from ${min} to ${max}`;
  // One check: of several, each would tell the same mistake.
  return z.number({ error }).refine((number) => Number.isInteger(number) && number >= min && number <= max, { error });
};

const cpuList = "expected CPUs such as 0-1 or [0, 1]";
const cpus = z.union([z.string(), z.array(z.number())], { error: cpuList }).transform((value, context) => {
  const list = parseCpus(typeof value === "string" ? value : value.join(","));
  if (list === null) context.addIssue({ code: "custom", message: cpuList });
  return list ?? z.NEVER;
});

export const poll = z.enum(POLL_MODES, { error: `expected ${POLL_MODES.join(", ")}` });
const portMacLimit = wholeNumber(0, MAC_LIMIT_MAX);

const absolutePath = { error: "expected an absolute path" };
const controlPath = z
  .string(absolutePath)
  .startsWith("/", { ...absolutePath, abort: true })
  .refine(fitsLine, { error: "expected a path without control characters" })
  .refine((path) => Buffer.byteLength(path) <= CONTROL_PATH_MAX, {
    error: `expected ${CONTROL_PATH_MAX} bytes at most`,
  });

const switchTable = z.strictObject({
  cpus: cpus.optional(),
  poll: poll.optional(),
  control: controlPath.optional(),
  ageing: wholeNumber(1, AGEING_MAX_S).optional(),
  "mac-limit": wholeNumber(1, MAC_LIMIT_MAX).optional(),
});

const optionValue = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())], {
  error: "expected a string, a number or a list of strings",
});

const uri = z.string({ error: "expected a port uri such as tap:web" });

const portTable = z.object({ uri, link: link.optional(), "mac-limit": portMacLimit.optional() }).catchall(optionValue);

const SECTIONS = ["switch", "ports", "vlans", "mirrors", "rules", "meters"];

/** Fills `config` from a plain value, and returns what is wrong with it. */
export function* checkConfig(
  value: Record<string, unknown>,
  kinds: Kinds,
  config: Config,
  known: KnownRules,
): Steps<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  for (const key of Object.keys(value)) {
    if (!SECTIONS.includes(key))
      problems.push({ path: [key], message: `unknown table: ${suggest(key, "known:", SECTIONS)}` });
  }
  if (value.switch !== undefined) readSwitch(value.switch, config, problems);
  const ports = value.ports ?? {};
  if (!isPlainTable(ports)) {
    problems.push({ path: ["ports"], message: "expected a table of ports" });
  } else {
    for (const [name, port] of Object.entries(ports)) readPortEntry(name, port, kinds, config, problems);
  }
  if (value.vlans !== undefined) readVlans(value.vlans, config, problems);
  if (value.mirrors !== undefined) readMirrors(value.mirrors, config, problems);
  if (value.rules !== undefined) yield* readRules(value.rules, config, problems, known);
  if (value.meters !== undefined) readMeters(value.meters, config, problems);
  return problems;
}

function readSwitch(table: unknown, config: Config, problems: ConfigProblem[]): void {
  if (!isPlainTable(table)) {
    problems.push({ path: ["switch"], message: `expected a table, found ${quoted(table)}` });
    return;
  }
  const parsed = switchTable.safeParse(table);
  if (!parsed.success) {
    problems.push(...describe(parsed.error, table, ["switch"], Object.keys(switchTable.shape)));
    return;
  }
  const { control, ageing, "mac-limit": macLimit, ...rest } = parsed.data;
  const settings: SwitchSettings = rest;
  if (ageing !== undefined) settings.ageingS = ageing;
  if (macLimit !== undefined) settings.macLimit = macLimit;
  config.settings = settings;
  if (control !== undefined) config.control = control;
}

function readPortEntry(name: string, port: unknown, kinds: Kinds, config: Config, problems: ConfigProblem[]): void {
  const place = ["ports", name];
  const table = typeof port === "string" ? { uri: port } : port;
  if (!isPlainTable(table)) {
    problems.push({ path: place, message: `expected a uri or a table, found ${quoted(table)}` });
    return;
  }
  const words = splitPort(table);
  const policy = readPolicy(words.policy, place, problems);
  const parsed = portTable.safeParse(words.others);
  if (!parsed.success) {
    problems.push(...describe(parsed.error, words.others, place, []));
    return;
  }
  const { uri, "mac-limit": macLimit, ...others } = parsed.data;
  const options: Record<string, string | string[]> = {};
  for (const [option, value] of Object.entries(others)) {
    if (value !== undefined) options[option] = Array.isArray(value) ? value : valueText(value);
  }
  const spec = readPort(name, uri, kinds, options);
  if (!Array.isArray(spec)) {
    config.ports.set(name, portConfig(spec, { macLimit, policy }));
    return;
  }
  for (const { option, message, next, foreign = false } of spec) {
    const path = option === undefined ? place : [...place, option];
    const meant = option !== undefined && foreign ? nearest(option, PORT_KEYS) : undefined;
    if (meant !== undefined) problems.push({ path, message: `unknown key: did you mean ${meant}?` });
    else problems.push({ path, message: next === undefined ? message : `${message}: ${next}` });
  }
}

/** Keys of a port's table that are no options of its uri. */
const PORT_KEYS = [...PORT_POLICY_KEYS, "mac-limit"];

/** A port as its description says it shall be: the link of the URI, or up. */
export function portConfig(spec: PortSpec, said: { macLimit?: number; policy?: PortSettings } = {}): PortConfig {
  const { macLimit, policy } = said;
  return {
    ...{ spec, link: spec.options.link ?? "up" },
    ...(macLimit === undefined ? {} : { macLimit }),
    ...(policy === undefined || Object.keys(policy).length === 0 ? {} : { policy }),
  };
}

function describe(error: z.ZodError, value: unknown, place: Place, known: string[]): ConfigProblem[] {
  return error.issues.flatMap((issue) => {
    const path = [...place, ...issue.path.map((key) => (typeof key === "number" ? key : String(key)))];
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key: ${suggest(key, "known:", known)}`,
      }));
    }
    const found = issue.path.reduce<unknown>(
      (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
      value,
    );
    const what = found === undefined ? "found nothing" : `found ${quoted(found)}`;
    return [{ path, message: `${issue.message}, ${what}` }];
  });
}
