// Addresses with prefix lengths: read from text, and put on a device as iproute2 sees it.

import { describe, expect, test } from "bun:test";
import { RingyardError } from "../../../src/core/errors.ts";
import { addAddress, listAddresses, parseCidr } from "../../../src/ports/link/address.ts";
import { findLink } from "../../../src/ports/link/link.ts";
import { enter, openNetns } from "../../../src/ports/link/netns.ts";
import { closeFd } from "../../../src/sys/fd.ts";
import { requireNamespaces, useNamespaces } from "../../support/netns.ts";

const hex = (text: string) => Buffer.from(parseCidr(text).address).toString("hex");

describe("an address with a prefix length", () => {
  test.each([
    ["10.0.0.1/24", "0a000001", 24],
    ["255.255.255.255/0", "ffffffff", 0],
    ["::/128", "00000000000000000000000000000000", 128],
    ["::1/64", "00000000000000000000000000000001", 64],
    ["fd00::/8", "fd000000000000000000000000000000", 8],
    ["2001:DB8:0:1::a:b/64", "20010db80000000100000000000a000b", 64],
    ["1:2:3:4:5:6:7:8/127", "00010002000300040005000600070008", 127],
    ["::ffff:192.0.2.1/96", "00000000000000000000ffffc0000201", 96],
    ["64:ff9b::192.0.2.33/96", "0064ff9b0000000000000000c0000221", 96],
  ])("is read: %s", (text, bytes, prefixLength) => {
    expect(hex(text)).toBe(bytes);
    expect(parseCidr(text).prefixLength).toBe(prefixLength);
  });

  test.each([
    "",
    "10.0.0.1",
    "10.0.0.1/",
    "10.0.0.1/33",
    "10.0.0.300/24",
    "10.0.0/24",
    "10.0.0.1/-1",
    "10.0.0.1/24 ",
    "fd00::1/129",
    "fd00::1::2/64",
    "fe80::1%eth0/64",
    "host/24",
    "/24",
  ])("is refused: %p", (text) => {
    const error = (() => {
      try {
        return parseCidr(text);
      } catch (thrown) {
        return thrown as RingyardError;
      }
    })();
    expect(error).toBeInstanceOf(RingyardError);
    expect(error).toMatchObject({ code: "BAD_OPTION", message: expect.stringContaining(JSON.stringify(text)) });
  });
});

requireNamespaces()("on a device", () => {
  const namespace = useNamespaces();

  test("it is what iproute2 shows, of both families; twice is EEXIST, nonsense EINVAL or its like", async () => {
    const inside = await namespace();
    await inside.ip("link add d0 type veth peer name d1");
    const fd = openNetns(inside.path);
    try {
      const add = (text: string) => enter(fd, () => addAddress(findLink("d0")!.index, parseCidr(text)));
      for (const text of ["10.1.2.3/25", "192.0.2.7/32", "fd00:1::5/64"]) add(text);
      const [{ addr_info }] = JSON.parse(await inside.ip("-json addr show d0")) as [
        { addr_info: { family: string; local: string; prefixlen: number; scope: string }[] },
      ];
      const shown = addr_info
        .filter(({ scope }) => scope === "global")
        .map((each) => `${each.local}/${each.prefixlen}`);
      expect(shown.sort()).toEqual(["10.1.2.3/25", "192.0.2.7/32", "fd00:1::5/64"]);
      expect(() => add("10.1.2.3/25")).toThrow("RTM_NEWADDR: EEXIST");
      expect(() => add("ff02::1/64")).toThrow("RTM_NEWADDR: ");
    } finally {
      closeFd(fd);
    }
  });
});

test("the addresses that there are are listed by device, the loopback's among them", () => {
  const all = listAddresses();
  expect(all.get(1)).toContain("127.0.0.1/8");
  for (const text of [...all.values()].flat()) expect(parseCidr(text).prefixLength).toBeGreaterThan(0);
});
