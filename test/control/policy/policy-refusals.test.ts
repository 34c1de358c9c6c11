// Policies that cannot be, and a dataplane that refuses: what was in force stays, and no port inherits what was said of another.

import { beforeEach, describe, expect, test } from "bun:test";
import type { NamedPolicy } from "../../../src/control/policy/named-policy.ts";
import { PolicyService } from "../../../src/control/policy/policy-service.ts";
import { RingyardError } from "../../../src/core/errors.ts";
import { type BridgePolicy, NO_POLICY } from "../../../src/dataplane/bridge/policy.ts";
import { failure } from "../../support/failure.ts";

let told: BridgePolicy[];
let refuses: boolean;
let service: PolicyService;
let logged: [object, string][];

beforeEach(() => {
  told = [];
  refuses = false;
  const setPolicy = async (policy: BridgePolicy) => {
    if (refuses) throw new RingyardError("SYSTEM", "no memory");
    told.push(policy);
  };
  logged = [];
  service = new PolicyService({ setPolicy, directed: () => 0 }, (change) => change(), {
    info: (facts, message) => logged.push([facts, message]),
  });
});

const policy = (parts: Partial<NamedPolicy>): NamedPolicy => ({ ports: new Map(), vlans: [], mirrors: [], ...parts });
const ISOLATED = policy({ ports: new Map([["a", { isolated: true }]]) });
const listed = () => (told.at(-1) ?? NO_POLICY).ports.map(({ port }) => port);

const direction = "both" as const;
const IMPOSSIBLE: [string, NamedPolicy, string][] = [
  [
    "a VLAN id",
    policy({ ports: new Map([["a", { vlan: { mode: "access", vid: 4095 } }]]) }),
    "port a: vlan: expected a VLAN id from 1 to 4094, found 4095",
  ],
  [
    "a range",
    policy({
      ports: new Map([
        ["a", { vlan: { mode: "trunk", allowed: [[9, 5]], native: 0, nativeTagged: false, tpid: 0x8100, map: [] } }],
      ]),
    }),
    'port a: trunk: expected VLAN ids from 1 to 4094 such as "10,20-30", or "all", found "9-5"',
  ],
  [
    "a tag type",
    policy({
      ports: new Map([
        ["a", { vlan: { mode: "trunk", allowed: [[1, 5]], native: 0, nativeTagged: false, tpid: 0x9100, map: [] } }],
      ]),
    }),
    'port a: tag-type: expected 802.1Q or 802.1ad, found "37120"',
  ],
  [
    "a rate",
    policy({ ports: new Map([["a", { police: { unit: "bits", rate: 0, burst: 8 } }]]) }),
    "port a: police: expected 1 to 10^12 a second",
  ],
  ["a VLAN twice", policy({ vlans: [vlan(10), vlan(10)] }), "vlan 10 is there twice"],
  ["a VLAN of no id", policy({ vlans: [vlan(-1)] }), "vlan -1: no id of a VLAN"],
  [
    "a mirror of itself",
    policy({ mirrors: [{ name: "m", ports: [{ port: "a", direction }], vlans: [], to: "a", truncate: 0 }] }),
    "mirror m: to: port a is mirrored itself: choose another port",
  ],
  [
    "weights",
    policy({ ports: new Map([["a", { scheduler: [0, 1, 1, 1, 1, 1, 1, 1] }]]) }),
    "port a: scheduler: expected strict, or 8 weights from 1 to 1000, that of priority 0 first, found [0,1,1,1,1,1,1,1]",
  ],
];

function vlan(vid: number) {
  return { vid, learning: false, suppressArp: false, suppressNd: false };
}

test.each(IMPOSSIBLE)("%s that cannot be leaves what was in force", async (_, impossible, line) => {
  await service.portComes("a", 3);
  await service.set(ISOLATED);
  const error = await failure(service.set(impossible));
  expect(error.code).toBe("BAD_OPTION");
  expect(error.message).toStartWith(line);
  expect(service.get()).toBe(ISOLATED);
  expect(told).toHaveLength(1);
});

test("a dataplane that refuses leaves what was in force", async () => {
  await service.portComes("a", 3);
  await service.set(ISOLATED);
  refuses = true;
  await failure(service.setPort("a", { sticky: true }));
  expect(service.get()).toBe(ISOLATED);
});

test("the log has what changed, not what was refused, nor ports that come and go", async () => {
  await service.set(ISOLATED);
  await service.portComes("a", 7);
  await service.portGoes("a");
  refuses = true;
  await failure(service.setPort("b", { sticky: true }));
  expect(logged).toEqual([[{ ports: 1, vlans: 0, mirrors: 0 }, "policies changed"]]);
});

describe("ports", () => {
  test("that nothing is said of come and go without a word to the dataplane", async () => {
    await service.set(ISOLATED);
    await service.portComes("b", 1);
    await service.portGoes("b");
    expect(told).toHaveLength(1);
  });

  test("that are not there wait, and come with their policy", async () => {
    await service.set(ISOLATED);
    expect(listed()).toEqual([]);
    await service.portComes("a", 7);
    expect(listed()).toEqual([7]);
  });

  test("that the dataplane cannot be told of do not come", async () => {
    await service.set(ISOLATED);
    refuses = true;
    await failure(service.portComes("a", 7));
    refuses = false;
    await service.setPort("b", { sticky: true });
    expect(listed()).toEqual([]);
  });

  test("that could not be forgotten are forgotten before the next one comes", async () => {
    await service.portComes("a", 7);
    await service.set(ISOLATED);
    refuses = true;
    await failure(service.portGoes("a"));
    // Nothing is said of b, but the index that it gets was a's.
    await failure(service.portComes("b", 7));
    refuses = false;
    await service.portComes("b", 7);
    expect(listed()).toEqual([]);
    expect(told).toHaveLength(2);
    // And then all is told.
    await service.portComes("c", 8);
    expect(told).toHaveLength(2);
  });

  test("that were not there go without a word", async () => {
    await service.set(ISOLATED);
    await service.portGoes("a");
    expect(told).toHaveLength(1);
  });
});
