// The operations of the control socket about policies: the schemas of their arguments and the calls, for requests.ts. What settings
// mean is read where those of the configuration are. Control thread.

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted, word } from "../../core/quote.ts";
import { configData, configParts } from "../config-show.ts";
import { listed } from "../listed.ts";
import { suggest } from "../nearest.ts";
import { nameAdvice, portName, shortText } from "../options.ts";
import { type Answer, Rows } from "../rows.ts";
import type { Running } from "../running.ts";
import { knownWords, mustRead } from "./change-words.ts";
import { MIRROR_KEYS, mirrorWords, portsOfMirror, readMirror } from "./mirror-policy.ts";
import type { MirrorInfo, PolicyOperations } from "./policy-api.ts";
import { joinPieces, type PolicyValue, saidWords, wordPieces } from "./policy-words.ts";
import { portPolicyWords } from "./port-policy.ts";
import { type VlanFacts, type VlanMember, vlanIds, vlanInfo, vlanMembers } from "./vlan-info.ts";
import { vlanId } from "./vlan-policy.ts";

const name = (what: string) => shortText(`expected the name of a ${what}`);
const value: z.ZodType<PolicyValue> = z.lazy(() =>
  z.union([z.string(), z.number(), z.boolean(), z.array(value), z.record(z.string(), value)], {
    error: "expected a value",
  }),
);

/** Of any policy; what its keys mean is looked at later. */
export const settings = z.array(
  z.strictObject({ key: shortText("expected a key"), value }, { error: "expected { key, value }" }),
  { error: "expected a list of settings" },
);

const nothing = z.strictObject({});

export const policySchemas = {
  "policy.show": nothing,
  "port.policy": z.strictObject({ name: name("port") }),
  "vlan.show": z.strictObject({ id: z.number({ error: "expected a VLAN id" }).optional() }),
  "vlan.set": z.strictObject({ id: z.number({ error: "expected a VLAN id" }), settings }),
  "mirror.list": nothing,
  "mirror.add": z.strictObject({ name: name("mirror"), settings }),
  "mirror.del": z.strictObject({ name: name("mirror") }),
} satisfies { [O in PolicyOperation]: z.ZodType<PolicyOperations[O]["args"]> };

type PolicyOperation = keyof PolicyOperations;
type Result<O extends PolicyOperation> = Answer<PolicyOperations[O]["result"]>;
type PolicyCalls = { [O in PolicyOperation]: (args: PolicyOperations[O]["args"]) => Result<O> | Promise<Result<O>> };

export function policyCalls(running: Running): PolicyCalls {
  return {
    "policy.show": () => ({ policies: configParts(configData({ ...running.config, rules: [] })).policies }),
    "port.policy": ({ name }) => portPolicy(running, name),
    "vlan.show": ({ id }) => vlans(running, id),
    "vlan.set": async ({ id, settings }) => {
      await running.setVlan(mustBeVlan(id), joinPieces(settings));
      return {};
    },
    "mirror.list": () => mirrors(running),
    "mirror.add": async ({ name, settings }) => {
      if (!portName.safeParse(name).success)
        throw new RingyardError("BAD_OPTION", `${quoted(name)} is not the name of a mirror`, nameAdvice(name));
      const what = `mirror ${word(name)}`;
      const words = knownWords(what, joinPieces(settings), MIRROR_KEYS);
      await running.addMirror(mustRead(what, readMirror(name, words)));
      return {};
    },
    "mirror.del": async ({ name }) => {
      await running.deleteMirror(name);
      return {};
    },
  };
}

function portPolicy(running: Running, name: string): Result<"port.policy"> {
  const { ports } = running.config;
  const port = ports.get(name);
  if (port === undefined)
    throw new RingyardError("NOT_FOUND", `no port ${word(name)}`, suggest(name, "ports:", ports.keys()));
  const { policy = {} } = port;
  return { settings: wordPieces(portPolicyWords(policy)) };
}

async function vlans(running: Running, asked: number | undefined): Promise<Result<"vlan.show">> {
  const only = asked === undefined ? undefined : mustBeVlan(asked);
  const facts = await factsOf(running);
  const ids = only === undefined ? vlanIds(facts) : [only];
  return { vlans: Rows.of(ids, (id) => vlanInfo(id, facts)), members: new Rows(membersOf(ids, facts)) };
}

function* membersOf(ids: readonly number[], facts: VlanFacts): Generator<({ vlan: number } & VlanMember)[]> {
  for (const id of ids) yield vlanMembers(id, facts).map((member) => ({ vlan: id, ...member }));
}

function mustBeVlan(id: number): number {
  if (vlanId.safeParse(id).success) return id;
  throw new RingyardError(
    "BAD_OPTION",
    `${quoted(id)} is no VLAN id`,
    "write 1 to 4094, or 0 for a switch without VLANs",
  );
}

async function factsOf({ api, config }: Running): Promise<VlanFacts> {
  const learned = await api.fdbLearned();
  return {
    ports: new Map([...config.ports].map(([name, { policy }]) => [name, policy?.vlan])),
    vlans: config.vlans,
    ageingS: api.settings.ageingS,
    learned,
    directed: (vid) => api.policy.directed(vid),
  };
}

function mirrors({ config }: Running): Result<"mirror.list"> {
  const all = [...config.mirrors.values()].map(({ mirror }) => mirror);
  return {
    mirrors: all.map((mirror): MirrorInfo => {
      const gone = portsOfMirror(mirror).filter((port) => !config.ports.has(port));
      const inactive = gone.length === 0 ? {} : { inactive: `no port ${listed(gone)}` };
      return { name: mirror.name, ...inactive };
    }),
    settings: saidWords(all.map((mirror) => [mirror.name, mirrorWords(mirror)] as const)),
  };
}
