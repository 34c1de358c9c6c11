// The names in vhost-vdpa-abi.ts against the C compiler and the kernel's headers of this machine.

import { expect, test } from "bun:test";
import { compileModule, differences, tablesOf } from "../../scripts/uapi.ts";
import { requirePrograms } from "./skip.ts";
import * as abi from "./vhost-vdpa-abi.ts";

requirePrograms(["gcc"], "apt install gcc libc6-dev linux-libc-dev")("vhost-vdpa-abi.ts", () => {
  test("says what linux/vhost.h says", () => {
    const ours = tablesOf("vhost-vdpa-abi", abi);
    expect(Object.keys(ours.constants).length).toBeGreaterThan(20);
    const compiled = compileModule("vhost-vdpa-abi", ours, ["<linux/vhost.h>"]);
    expect(differences({ abi: ours }, { abi: compiled })).toEqual([]);
  });
});
