// What a change of policies does to the fdb: ageing of VLANs, addresses of a port in VLANs that it left, and where a pinned one belongs.

import { expect, test } from "bun:test";
import { FdbPolicy } from "../../../src/control/policy/fdb-policy.ts";
import {
  type BridgePolicy,
  NO_POLICY,
  PORT_DEFAULTS,
  type PortPolicy,
  type VlanMembership,
} from "../../../src/dataplane/bridge/policy.ts";
import { fdbLearn, fdbLookup } from "../../../src/dataplane/fdb.ts";
import { allocateFdb, type Fdb } from "../../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import { fdbAddStatic } from "../../../src/dataplane/fdb-table.ts";
import { macAt, macText } from "../../dataplane/fdb-check.ts";

const VLAN = { learning: true, suppressArp: false, suppressNd: false };
const MAC = macAt(1);

function policyOf(ports: Record<number, Partial<PortPolicy>>, others: Partial<BridgePolicy> = {}): BridgePolicy {
  const listed = Object.entries(ports).map(([port, said]) => ({ ...PORT_DEFAULTS, ...said, port: Number(port) }));
  return { ...NO_POLICY, ...others, ports: listed };
}

const access = (vid: number): { vlan: VlanMembership } => ({ vlan: { mode: "access", vid } });
function trunk(first: number, last: number, native = 0): { vlan: VlanMembership } {
  return { vlan: { mode: "trunk", allowed: [[first, last]], native, nativeTagged: false, tpid: 0x8100, map: [] } };
}

/** VLANs and ports of what is known. */
function known(fdb: Fdb): string[] {
  return [...fdbEntries(fdb, 0)]
    .flat()
    .map(({ vid, port, static: pinned }) => `${vid} ${port}${pinned ? " static" : ""}`)
    .sort();
}

/** `port` learns a station in each of these VLANs. */
function learn(fdb: Fdb, port: number, ...vids: number[]): void {
  for (const vid of vids) {
    const { lo, hi } = macAt(port);
    fdbLearn(fdb, lo, hi, port, 0, vid);
  }
}

test("a VLAN ages by its own time, the others by the switch's, whichever changes last", async () => {
  const fdb = allocateFdb(64);
  const policy = new FdbPolicy(fdb, 300);
  const ages = () =>
    [0, 10, 20].map((vid) => {
      fdbLearn(fdb, MAC.lo, MAC.hi, 1, 0, vid);
      return [50, 60, 61, 100, 101, 300, 301].filter((nowS) => fdbLookup(fdb, MAC.lo, MAC.hi, nowS, vid) === 1).pop();
    });
  expect(ages()).toEqual([300, 300, 300]);
  await policy.changed({
    ...NO_POLICY,
    vlans: [
      { vid: 10, ...VLAN, ageingS: 60 },
      { vid: 20, ...VLAN },
    ],
  });
  expect(ages()).toEqual([300, 60, 300]);
  policy.setAgeing(100);
  expect(ages()).toEqual([100, 60, 100]);
  await policy.changed(NO_POLICY);
  expect(ages()).toEqual([100, 100, 100]);
});

test("what a port learned in VLANs that it left is forgotten, the rest is not", async () => {
  const fdb = allocateFdb(64);
  const policy = new FdbPolicy(fdb, 300);
  await policy.changed(policyOf({ 1: trunk(10, 30), 2: access(20) }));
  learn(fdb, 1, 10, 20, 30);
  learn(fdb, 2, 20);
  learn(fdb, 3, 1);
  fdbAddStatic(fdb, macText(macAt(9)), 1, 10);
  await policy.changed(policyOf({ 1: { ...trunk(10, 30), isolated: true }, 2: access(20) }));
  expect(known(fdb)).toEqual(["1 3", "10 1", "10 1 static", "20 1", "20 2", "30 1"]);
  await policy.changed(policyOf({ 1: trunk(15, 25), 2: access(10) }));
  expect(known(fdb)).toEqual(["1 3", "10 1 static", "20 1"]);
});

test("with the first VLAN of a switch, and with its last, everything learned is forgotten", async () => {
  const fdb = allocateFdb(64);
  const policy = new FdbPolicy(fdb, 300);
  await policy.changed(policyOf({ 1: { isolated: true } }));
  learn(fdb, 1, 0);
  learn(fdb, 2, 0);
  expect(known(fdb)).toEqual(["0 1", "0 2"]);
  await policy.changed(policyOf({ 1: access(1) }));
  expect(known(fdb)).toEqual([]);
  learn(fdb, 1, 1);
  learn(fdb, 2, 1);
  expect(known(fdb)).toEqual(["1 1", "1 2"]);
  await policy.changed(NO_POLICY);
  expect(known(fdb)).toEqual([]);
});

test("the VLAN of a port's untagged frames, and those to which it belongs", async () => {
  const policy = new FdbPolicy(allocateFdb(64), 300);
  const told = (port: number) => [policy.vlanOf(port), [0, 1, 10, 15].filter((vid) => policy.belongs(port, vid))];
  expect(told(1)).toEqual([0, [0]]);
  await policy.changed(
    policyOf({ 1: access(10), 2: trunk(10, 20), 3: trunk(10, 20, 15), 4: { vlan: { mode: "tunnel", vid: 15 } } }),
  );
  expect([1, 2, 3, 4, 5].map(told)).toEqual([
    [10, [10]],
    [undefined, [10, 15]],
    [15, [10, 15]],
    [15, [15]],
    [1, [1]],
  ]);
});
