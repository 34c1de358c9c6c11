// What a request over the control socket does: one table from operation to the schema of its arguments and the call.
// Control thread.

import { z } from "zod";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { VID_MAX } from "../dataplane/bridge/policy.ts";
import type { SwitchEnd } from "./api.ts";
import { attachSchema, attachTarget } from "./attach-request.ts";
import { captureCalls, captureSchemas } from "./capture-requests.ts";
import { MAC_LIMIT_MAX, portConfig } from "./config-schema.ts";
import { configData, configParts } from "./config-show.ts";
import type { Handler } from "./connection.ts";
import { suggest } from "./nearest.ts";
import { link, MTU_MAX, MTU_MIN, mac, shortText } from "./options.ts";
import { changeWords, knownWords, mustRead } from "./policy/change-words.ts";
import { policyCalls, policySchemas, settings } from "./policy/policy-requests.ts";
import { joinPieces } from "./policy/policy-words.ts";
import { PORT_POLICY_KEYS, readPortPolicy } from "./policy/port-policy.ts";
import { type ControlStats, type Operation, type Operations, PROTOCOL_VERSION } from "./protocol.ts";
import type { Answer } from "./rows.ts";
import { ruleCalls, ruleSchemas } from "./rules/rule-requests.ts";
import type { Running } from "./running.ts";
import { parsePort } from "./uri.ts";
import { VERSION } from "./version.ts";

const number = (min: number, max: number) => {
  const error = `expected a number from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
const name = shortText("expected the name of a port");
const unicastMac = z.string({ error: "expected a MAC address" }).pipe(mac);
const macLimit = number(0, MAC_LIMIT_MAX);
const nothing = z.strictObject({});
const vlan = number(1, VID_MAX).optional();
const ofPortOrVlan = z.strictObject({ port: name.optional(), vlan });

const schemas = {
  version: nothing,
  "port.list": nothing,
  "port.show": z.strictObject({ name }),
  "port.add": z.strictObject({
    name,
    uri: z.string({ error: "expected a port uri" }),
    link: link.optional(),
    macLimit: macLimit.optional(),
    policy: settings.optional(),
  }),
  "port.del": z.strictObject({ name }),
  "port.set": z.strictObject({
    name,
    link: link.optional(),
    mtu: number(MTU_MIN, MTU_MAX).nullish(),
    macLimit: macLimit.nullish(),
    policy: settings.optional(),
  }),
  "port.attach": attachSchema(name),
  "port.detach": z.strictObject({ name }),
  "fdb.show": ofPortOrVlan,
  "fdb.add": z.strictObject({ mac: unicastMac, port: name, vlan }),
  "fdb.del": z.strictObject({ mac: unicastMac, vlan }),
  "fdb.flush": ofPortOrVlan,
  ...policySchemas,
  ...ruleSchemas,
  ...captureSchemas,
  stats: nothing,
  "config.show": nothing,
  shutdown: z.strictObject({ remove: z.boolean({ error: "expected true or false" }) }),
} satisfies { [O in Operation]: z.ZodType<Operations[O]["args"]> };

type Calls = {
  [O in Operation]: (args: z.output<(typeof schemas)[O]>, ended: AbortSignal) => Result<O> | Promise<Result<O>>;
};
type Result<O extends Operation> = Answer<Operations[O]["result"]>;

/** What requests reach beside the running configuration. */
export interface RequestHost {
  /** The socket's own counters. */
  control(): ControlStats;
  /** Ends the switch; resolves when it has ended. */
  shutdown(remove: boolean): Promise<SwitchEnd>;
}

function callsOf(running: Running, { control, shutdown }: RequestHost): Calls {
  const { api } = running;
  return {
    version: () => ({ version: VERSION, protocol: PROTOCOL_VERSION, pid: process.pid }),
    "port.list": () => ({ ports: api.ports() }),
    "port.show": ({ name }) => ({ port: api.port(name) }),
    "port.add": async ({ name, uri, link, macLimit, policy = [] }) => {
      const spec = parsePort(name, uri, running.kinds, link === undefined ? {} : { link });
      const what = `port ${name}`;
      const words = changeWords({}, knownWords(what, joinPieces(policy), PORT_POLICY_KEYS));
      const said = mustRead(what, readPortPolicy(words));
      return { port: await running.addPort(portConfig(spec, { macLimit, policy: said })) };
    },
    "port.del": async ({ name }) => {
      await running.removePort(name);
      return {};
    },
    "port.set": async ({ name, policy, ...changes }) => {
      const words = policy === undefined ? {} : { policy: joinPieces(policy) };
      return { port: await running.setPort(name, { ...changes, ...words }) };
    },
    "port.attach": ({ name, ...target }) => running.attachPort(name, attachTarget({ name, ...target })),
    "port.detach": async ({ name }) => ({ port: await running.detachPort(name) }),
    "fdb.show": (args) => api.fdbRows(args.port, args.vlan),
    "fdb.add": (args) => {
      api.fdbAdd(args.mac, args.port, args.vlan);
      return {};
    },
    "fdb.del": (args) => {
      api.fdbDelete(args.mac, args.vlan);
      return {};
    },
    "fdb.flush": async (args) => ({ flushed: await api.fdbFlush(args.port, args.vlan) }),
    ...policyCalls(running),
    ...ruleCalls(running),
    ...captureCalls(api.capture),
    stats: () => ({ ...api.stats(), control: control() }),
    "config.show": () => configParts(configData(running.config)),
    shutdown: ({ remove }) => shutdown(remove),
  };
}

/** Serves requests on a running switch. */
export function requestHandler(running: Running, host: RequestHost): Handler {
  const calls = callsOf(running, host) as Record<
    Operation,
    (args: unknown, ended: AbortSignal) => object | Promise<object>
  >;
  return async ({ op, args }, ended) => {
    if (!Object.hasOwn(schemas, op)) {
      throw new RingyardError(
        "BAD_REQUEST",
        `unknown operation ${quoted(op)}`,
        suggest(op, "known:", Object.keys(schemas)),
      );
    }
    const parsed = schemas[op as Operation].safeParse(args);
    if (!parsed.success) throw badArguments(op, parsed.error, args);
    try {
      return await calls[op as Operation](parsed.data, ended);
    } catch (error) {
      if (error instanceof RingyardError) throw error;
      throw new RingyardError("SYSTEM", `${op}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

function badArguments(op: string, error: z.ZodError, args: Record<string, unknown>): RingyardError {
  const [issue] = error.issues;
  const place = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const [key] = issue.keys;
    if (place !== "")
      return new RingyardError("BAD_REQUEST", `${op}: ${place}: unknown key ${quoted(key)}`, "leave it out");
    const known = Object.keys(schemas[op as Operation].shape);
    return new RingyardError("BAD_REQUEST", `${op}: unknown argument ${quoted(key)}`, suggest(key, "takes", known));
  }
  const found = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], args);
  return new RingyardError("BAD_REQUEST", `${op}: ${place}: ${issue.message}, found ${quoted(found)}`);
}
