// Facts of a machine, read from texts of /proc and /sys.

import { expect, test } from "bun:test";
import { reportText } from "../../src/cli/doctor.ts";
import { examine } from "../../src/control/doctor.ts";
import { hostFacts } from "../../src/control/host.ts";
import { fakeKinds } from "../support/fake-kinds.ts";

function factsOf(files: Record<string, string>) {
  const facts = hostFacts((path) => files[path] ?? null);
  return Object.fromEntries(facts.map((fact) => [fact.name, fact]));
}

test("privileges, CPUs and limits of this process", () => {
  const facts = factsOf({
    "/proc/self/status": "CapEff:\t0000000000001000\nCpus_allowed_list:\t0-1,4\n",
    "/proc/self/limits": "Max locked memory         8388608              8388608              bytes\n",
    "/proc/meminfo": "HugePages_Total:       8\nHugePages_Free:        7\n",
  });
  expect(facts.privileges).toEqual({ name: "privileges", ok: true, value: "CAP_NET_ADMIN" });
  expect(facts.cpus.value).toBe("3 to run on (0-1,4)");
  expect(facts.memlock.value).toBe("8388608 bytes; nothing needs more");
  expect(facts.hugepages.value).toBe("7 free; not needed");
});

test("what is missing comes with the command that helps", () => {
  const facts = factsOf({ "/proc/self/status": "CapEff:\t0000003fffffefff\n" });
  expect(facts.privileges).toMatchObject({ ok: false, next: "run as root: sudo ringyard" });
});

test("the least quota of the groups above counts", () => {
  const files = {
    "/proc/self/cgroup": "0::/a/b\n",
    "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/a/cpu.max": "40000 100000\n",
    "/sys/fs/cgroup/cpu.max": "200000 100000\n",
  };
  expect(factsOf(files)["cpu quota"].value).toBe("0.40 of a CPU, by the cgroup's cpu.max");
  expect(factsOf({})["cpu quota"].value).toBe("none");
});

test("a kind that does not work says why, and a probe that fails is no crash", () => {
  const broken = {
    ...fakeKinds.tap,
    kind: "broken",
    probe: () => {
      throw new Error("oh");
    },
  };
  const report = examine({ ...fakeKinds, broken });
  expect(report.usable).toBe(true);
  const text = reportText(report);
  expect(text).toContain("vduse       no  vduse ports (module missing; try: modprobe vduse)\n");
  expect(text).toContain("broken      no  tap ports (Error: oh)\n");
  expect(examine({ vduse: fakeKinds.vduse }).usable).toBe(false);
});
