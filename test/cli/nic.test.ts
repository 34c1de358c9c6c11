// What `ringyard nic` prints, and which words it takes.

import { describe, expect, test } from "bun:test";
import { changeText, givenText, nicTable } from "../../src/cli/nic-view.ts";
import type { HostNic, NicChange } from "../../src/core/nics.ts";
import { ringyard } from "../support/ringyard.ts";

const nic: HostNic = {
  address: "0000:03:00.0",
  vendor: "8086",
  device: "10d3",
  driver: "e1000e",
  group: "18",
  netdevs: [{ name: "eth9", addresses: [], defaultRoute: false }],
  neighbours: [],
  drivenAs: "e1000e",
  usable: true,
  taken: false,
  users: [],
  problems: [],
  warnings: [],
};
const change: NicChange = {
  address: "0000:03:00.0",
  changed: true,
  driver: "vfio-pci",
  before: "e1000e",
  netdevs: ["eth9"],
  warnings: [],
};

describe("the table", () => {
  test("has a line for each, with what it is where nothing is wrong", () => {
    const named = { ...nic, name: "Intel Corporation 82574L" };
    expect(nicTable([named])).toBe(
      "ADDRESS       ID         DRIVER  NETDEV  GROUP  OK   NOTE\n" +
        "0000:03:00.0  8086:10d3  e1000e  eth9    18     yes  driven as e1000e; Intel Corporation 82574L\n",
    );
  });

  test("says first why not, with what to do, then what would be disturbed", () => {
    const { group, driver, drivenAs, ...bare } = nic;
    const problems: HostNic["problems"] = [
      { about: "driver", code: "UNSUPPORTED", message: "ringyard has no driver for 8086:10d3" },
      { about: "module", code: "MISSING", message: "the kernel's vfio-pci is not loaded", next: "modprobe vfio-pci" },
    ];
    const row = nicTable([{ ...bare, netdevs: [], usable: false, problems, warnings: ["eth9 has 10.0.0.1/24"] }]);
    expect(row.split("\n")[1]).toBe(
      "0000:03:00.0  8086:10d3  -       -       -      no  ringyard has no driver for 8086:10d3; " +
        "the kernel's vfio-pci is not loaded: modprobe vfio-pci; eth9 has 10.0.0.1/24",
    );
  });

  test("shows who shares a group, and which are taken", () => {
    const neighbours = [{ address: "0000:03:00.1", harmless: true }];
    const row = nicTable([{ ...nic, driver: "vfio-pci", netdevs: [], taken: true, neighbours }]);
    expect(row).toContain("  vfio-pci  -       18 with 0000:03:00.1  taken  driven as e1000e");
  });
});

describe("a change", () => {
  const cases: [string, Partial<NicChange>, string][] = [
    ["taken", {}, "e1000e -> vfio-pci (eth9 is gone)"],
    ["given", { driver: "e1000e", before: "vfio-pci" }, "vfio-pci -> e1000e (eth9 is back)"],
    ["given to nobody", { driver: undefined, before: "vfio-pci", netdevs: [] }, "vfio-pci -> no driver"],
    ["taken before", { changed: false }, "was taken before"],
    ["never taken", { changed: false, driver: "e1000e" }, "has e1000e, nothing to do"],
  ];
  test.each(cases)("is told: %s", (_, given, expected) => {
    expect(changeText({ ...change, ...given })).toBe(`0000:03:00.0: ${expected}\n`);
  });

  test("comes with its warnings, a line each", () => {
    expect(
      changeText({ ...change, warnings: ["a", "b"] })
        .split("\n")
        .slice(1),
    ).toEqual(["0000:03:00.0: a", "0000:03:00.0: b", ""]);
  });

  test("of all names what was given and what was left", () => {
    expect(givenText({ given: [], failed: [], served: [] })).toBe("");
    expect(givenText({ given: ["a", "b"], failed: [], served: ["c"] })).toBe(
      "given back: a, b\na process drives it, left alone: c\n",
    );
  });
});

describe("the command", () => {
  test("wants addresses or --all, and not both", async () => {
    for (const words of [["give"], ["give", "--all", "0000:03:00.0"]]) {
      const { stderr, exitCode } = await ringyard("nic", ...words);
      expect({ stderr, exitCode }).toEqual({
        stderr: "ringyard: nic give: give addresses or --all: ringyard nic list shows what is taken\n",
        exitCode: 2,
      });
    }
    expect((await ringyard("nic", "take")).exitCode).toBe(2);
  });

  test("names what is no address, and goes on to the next", async () => {
    const { stdout, stderr, exitCode } = await ringyard("nic", "take", "eth0", "ffff:ff:1f.7");
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
    expect(stderr.split("\n")).toEqual([
      'ringyard: "eth0" is no PCI address: write it as 0000:03:00.0; ringyard nic list shows them',
      "ringyard: ffff:ff:1f.7: there is no such PCI device: ringyard nic list shows the NICs that there are",
      "",
    ]);
  });

  test("lists what there is, as JSON too", async () => {
    const { stdout, exitCode } = await ringyard("nic", "list", "--json");
    expect(exitCode).toBe(0);
    expect(Array.isArray(JSON.parse(stdout))).toBe(true);
    expect((await ringyard("nic", "list")).stdout).toStartWith("ADDRESS");
  });
});
