// Netlink against this kernel: one answer, a refusal, and a dump that comes in several pieces.

import { describe, expect, test } from "bun:test";
import { closeFd, O_RDONLY, openFd } from "../../src/sys/fd.ts";
import {
  attributesOf,
  NETLINK_ROUTE,
  netlinkCall,
  netlinkDump,
  stringAttribute,
  textOf,
  u32Attribute,
} from "../../src/sys/netlink.ts";
import { inNetns } from "../../src/sys/thread.ts";
import { IFLA_IFNAME, RTM_GETLINK, struct_ifinfomsg } from "../../src/uapi/rtnetlink.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { requireNamespaces, useNamespaces } from "../support/netns.ts";
import { run } from "../support/process.ts";

const HEAD = new Uint8Array(struct_ifinfomsg.size);

function dumpNames(): string[] {
  const links = netlinkDump(NETLINK_ROUTE, RTM_GETLINK, HEAD, "RTM_GETLINK");
  return links.map((link) => textOf(attributesOf(link, struct_ifinfomsg.size).get(IFLA_IFNAME)));
}

describe("a netlink call", () => {
  test("gets the one answer it asks for", () => {
    const request = Buffer.concat([HEAD, stringAttribute(IFLA_IFNAME, "lo")]);
    const answer = netlinkCall(NETLINK_ROUTE, RTM_GETLINK, request, "RTM_GETLINK");
    expect(textOf(attributesOf(answer, struct_ifinfomsg.size).get(IFLA_IFNAME))).toBe("lo");
  });

  test("throws what the kernel refuses, by name, and holds nothing", () => {
    const before = holdings();
    const absent = Buffer.concat([HEAD, stringAttribute(IFLA_IFNAME, "no-such-dev0")]);
    expect(() => netlinkCall(NETLINK_ROUTE, RTM_GETLINK, absent, "RTM_GETLINK")).toThrow("RTM_GETLINK: ENODEV");
    expect(() => netlinkDump(NETLINK_ROUTE, 0xfff, HEAD, "no such type")).toThrow("no such type: EOPNOTSUPP");
    expect(heldDifference(before, holdings())).toEqual([]);
  });
});

test("a value of 32 bits is little-endian, after its header", () => {
  expect([...u32Attribute(3, 0x01020304)]).toEqual([8, 0, 3, 0, 4, 3, 2, 1]);
});

requireNamespaces()("a dump", () => {
  const namespace = useNamespaces();

  test("is whole, in however many pieces it comes", async () => {
    const inside = await namespace();
    // A link's attributes take about 1 KiB, a piece of a dump is at most 32 KiB.
    const wanted = Array.from({ length: 60 }, (_, index) => [`ve${index}a`, `ve${index}b`]);
    const batch = wanted.map(([a, b]) => `link add ${a} type veth peer name ${b}`).join("\n");
    await run(["ip", "-n", inside.name, "-batch", "-"], { stdin: batch });
    const fd = openFd(inside.path, O_RDONLY);
    try {
      expect(inNetns(fd, dumpNames).sort()).toEqual(["lo", ...wanted.flat()].sort());
    } finally {
      closeFd(fd);
    }
  });
});
