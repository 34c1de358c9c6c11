// src/uapi against the C compiler: always with the recorded layouts, and with the compiler itself where there is one. A typed
// number in src/uapi is worth nothing until something that did not come from the same hand agrees.

import { describe, expect, test } from "bun:test";
import {
  compileGolden,
  compileModule,
  differences,
  type Golden,
  headerVersion,
  readGolden,
  readUapi,
  tablesOf,
  type UapiModule,
} from "../../scripts/uapi.ts";
import { requirePrograms } from "../support/skip.ts";

describe("src/uapi", () => {
  test("agrees with the recorded layouts, name by name (npm run uapi records them anew)", async () => {
    expect(differences(await readUapi(), readGolden().modules)).toEqual([]);
  });

  test("holds data only", () => {
    expect(() => tablesOf("bad", { helper: () => 1 })).toThrow("neither a constant nor a struct table");
  });
});

describe("a difference is seen", () => {
  const golden: Record<string, UapiModule> = {
    m: { constants: { A: 1, B: 2 }, structs: { struct_s: { size: 8, fields: { x: [0, 4], y: [4, 4] } } } },
  };

  test("in a constant, a size, an offset, and a name that one side lacks", () => {
    const ours: Record<string, UapiModule> = {
      m: { constants: { A: 3 }, structs: { struct_s: { size: 12, fields: { x: [0, 4], y: [8, 4], z: [0, 1] } } } },
    };
    expect(differences(ours, golden)).toEqual([
      "m: A: 3 here, 1 in golden",
      "m: B: absent here, 2 in golden",
      "m: sizeof struct_s: 12 here, 8 in golden",
      "m: struct_s.y: [8,4] here, [4,4] in golden",
      "m: struct_s.z: [0,1] here, absent in golden",
    ]);
  });

  test("not where there is none", () => {
    expect(differences(golden, golden)).toEqual([]);
  });
});

/** A newer header may append to a struct; what it had before stays where it was. */
function withoutSizes(golden: Golden): Record<string, UapiModule> {
  const modules = structuredClone(golden.modules);
  for (const { structs } of Object.values(modules)) {
    for (const table of Object.values(structs)) table.size = 0;
  }
  return modules;
}

requirePrograms(["gcc"], "apt install gcc libc6-dev linux-libc-dev")("the C compiler", () => {
  const headers = ["<linux/virtio_ring.h>"];
  const structs = { struct_vring_desc: { size: 0, fields: { len: [0, 0] as const } } };

  test("is asked for values, not told them", () => {
    expect(compileModule("fixture", { constants: { VRING_DESC_F_WRITE: 99 }, structs }, headers)).toEqual({
      constants: { VRING_DESC_F_WRITE: 2 },
      structs: { struct_vring_desc: { size: 16, fields: { len: [8, 4] } } },
    });
  });

  test("names what no header has", () => {
    const module = { constants: { VRING_NO_SUCH_THING: 1 }, structs: {} };
    expect(() => compileModule("fixture", module, headers)).toThrow("VRING_NO_SUCH_THING");
  });

  test("agrees with the recorded layouts", async () => {
    const recorded = readGolden();
    const compiled = compileGolden(await readUapi());
    const same = compiled.source.linuxLibcDev === recorded.source.linuxLibcDev;
    const [left, right] = same
      ? [compiled.modules, recorded.modules]
      : [withoutSizes(compiled), withoutSizes(recorded)];
    expect(headerVersion()).not.toBe("");
    expect(differences(left, right)).toEqual([]);
    // The compiler runs once for each header; beside other work that takes longer than bun's five seconds.
  }, 60_000);
});
