// Who belongs to a VLAN, as `vlan show` has it: by mode, by tag, and which VLANs there are at all.

import { expect, test } from "bun:test";
import { readPortPolicy } from "../../../src/control/policy/port-policy.ts";
import { type VlanFacts, vlanIds, vlanInfo, vlanMembers } from "../../../src/control/policy/vlan-info.ts";

function facts(ports: Record<string, Record<string, unknown>>, more: Partial<VlanFacts> = {}): VlanFacts {
  const memberships = Object.entries(ports).map(([name, words]) => {
    const read = readPortPolicy(words);
    if ("problems" in read) throw new Error(read.problems[0].message);
    return [name, read.is.vlan] as const;
  });
  return {
    ...{ ports: new Map(memberships), vlans: new Map(), ageingS: 300, learned: new Map(), directed: (vid) => vid * 2 },
    ...more,
  };
}

test("members by their modes, and how frames leave them", () => {
  const all = facts({
    ...{ a: { vlan: 10 }, plain: {}, tunnel: { tunnel: 10 } },
    ...{ up: { trunk: "10,20", native: 20 }, tagged: { trunk: "20", native: 10, "native-tagged": true } },
    ...{ s: { trunk: "10", "tag-type": "802.1ad", "vlan-map": { 110: 10 } }, other: { trunk: "20-30" } },
  });
  expect(vlanMembers(10, all)).toEqual([
    { port: "a", mode: "access", leaves: "untagged" },
    { port: "tunnel", mode: "tunnel", leaves: "untagged" },
    { port: "up", mode: "trunk", leaves: "tagged" },
    { port: "tagged", mode: "trunk", leaves: "tagged" },
    { port: "s", mode: "trunk", leaves: "tagged", wireId: 110, tagType: "802.1ad" },
  ]);
  expect(vlanMembers(20, all).map(({ port, leaves }) => `${port} ${leaves}`)).toEqual([
    ...["up untagged", "tagged tagged", "other tagged"],
  ]);
  // What says nothing is of VLAN 1.
  expect(vlanMembers(1, all)).toEqual([{ port: "plain", mode: "access", leaves: "untagged" }]);
});

test("a VLAN whose id stands for another one is not carried, but bare", () => {
  const all = facts({
    ...{ a: { trunk: "all", "vlan-map": { 100: 10 } }, b: { trunk: "10", native: 100, "vlan-map": { 100: 10 } } },
    ...{ c: { trunk: "10,100", "vlan-map": { 100: 10, 10: 100 } } },
  });
  const of = (id: number) => vlanMembers(id, all).map(({ port, leaves, wireId }) => [port, leaves, wireId].join(" "));
  expect(of(100)).toEqual(["b untagged ", "c tagged 10"]);
  expect(of(10)).toEqual(["a tagged 100", "b tagged 100", "c tagged 100"]);
});

test("VLANs are there by a port, a setting or an address; a trunk of all names none", () => {
  const vlan = { vid: 50, learning: false, suppressArp: true, suppressNd: false, ageingS: 9 };
  const it = facts(
    { a: { vlan: 10 }, b: { trunk: "all", native: 7 } },
    { vlans: new Map([[50, vlan]]), learned: new Map([[60, 3]]) },
  );
  expect(vlanIds(it)).toEqual([7, 10, 50, 60]);
  expect(vlanInfo(50, it)).toMatchObject({ ageingS: 9, learning: false, suppress: ["arp"], macs: 0, directed: 100 });
  expect(vlanInfo(60, it)).toMatchObject({ ageingS: 300, learning: true, suppress: [], macs: 3 });
  expect(vlanMembers(60, it)).toEqual([{ port: "b", mode: "trunk", leaves: "tagged" }]);
});

test("a switch without VLANs has VLAN 0, if it is asked for", () => {
  const it = facts({ a: {}, b: {} }, { learned: new Map([[0, 5]]) });
  expect(vlanIds(it)).toEqual([]);
  expect(vlanInfo(0, it)).toMatchObject({ macs: 5 });
  expect(vlanMembers(0, it).map(({ port }) => port)).toEqual(["a", "b"]);
  const vlan = { vid: 0, learning: true, suppressArp: true, suppressNd: true };
  const said = { ...it, vlans: new Map([[0, vlan]]) };
  expect(vlanIds(said)).toEqual([0]);
  expect(vlanInfo(0, said)).toMatchObject({ id: 0, suppress: ["arp", "nd"] });
});
