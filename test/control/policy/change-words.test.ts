// Settings changed by words: replaced, taken back, and the mode of a port in VLANs changed as one.

import { expect, test } from "bun:test";
import { changeWords } from "../../../src/control/policy/change-words.ts";
import { joinPieces, type PolicyWords, wordPieces } from "../../../src/control/policy/policy-words.ts";

const CHANGES: [PolicyWords, PolicyWords, PolicyWords][] = [
  [{ isolated: true }, { vlan: "20" }, { isolated: true, vlan: "20" }],
  [{ isolated: true, police: "1 Mbit/s" }, { isolated: "", police: "none" }, {}],
  [{}, { flood: "none" }, { flood: "none" }],
  [{ flood: "none" }, { flood: "" }, {}],
  [{ vlan: 10 }, { trunk: "10,20", native: "10" }, { trunk: "10,20", native: "10" }],
  [{ trunk: "10", native: 10, "tag-type": "802.1ad", sticky: true }, { vlan: "10" }, { vlan: "10", sticky: true }],
  [{ trunk: "10", native: 10 }, { trunk: "10,20" }, { trunk: "10,20", native: 10 }],
  [{ trunk: "10", native: 10 }, { trunk: "" }, {}],
  // Taking away what is not there takes away nothing else.
  [{ trunk: "10", native: 10 }, { vlan: "" }, { trunk: "10", native: 10 }],
  [{ vlan: 10 }, { tunnel: "100" }, { tunnel: "100" }],
  // Contradictions in one change are left for the reader to refuse.
  [{}, { vlan: "10", trunk: "20" }, { vlan: "10", trunk: "20" }],
  [{ vlan: 10 }, { native: "5" }, { vlan: 10, native: "5" }],
];

test.each(CHANGES)("%j and %j make %j", (before, changes, after) => {
  expect(changeWords(before, changes)).toEqual(after);
});

test("long lists go in pieces that make them whole again", () => {
  const words = {
    vlan: 10,
    "source-guard": Array.from({ length: 1000 }, (_, n) => `station ${n} ${"fe80::1 ".repeat(20)}`),
    groups: [],
  };
  const pieces = wordPieces(words);
  expect(pieces.length).toBeGreaterThan(10);
  for (const piece of pieces) expect(JSON.stringify(piece).length).toBeLessThan(9_000);
  expect(joinPieces(pieces)).toEqual(words);
});

// Before, each piece had all that came before it copied: minutes.
test("a hundred thousand pieces make one list", () => {
  const pieces = Array.from({ length: 100_000 }, (_, n) => ({ key: "groups", value: [`g${n}`] }));
  expect((joinPieces(pieces).groups as string[]).length).toBe(100_000);
  expect(pieces[0].value).toEqual(["g0"]);
});
