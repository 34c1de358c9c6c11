// A network device put into a container, seen through iproute2. A veth stands in for the one that virtio-vdpa makes.

import { describe, expect, test } from "bun:test";
import { RingyardError } from "../../../src/core/errors.ts";
import { findLink } from "../../../src/ports/link/link.ts";
import { checkPlace, openPlace, type Place, placeNetdev, refuseTakenName } from "../../../src/ports/vdpa/netdev.ts";
import { closeFd } from "../../../src/sys/fd.ts";
import { useCleanup } from "../../support/cleanup.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { requireNamespaces, useNamespaces } from "../../support/netns.ts";
import { run } from "../../support/process.ts";

const NAME = `ryv${process.pid}`;

requireNamespaces()("a network device", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();

  async function device(): Promise<number> {
    await run(["ip", "link", "add", NAME, "type", "veth", "peer", "name", `${NAME}p`]);
    defer(() => Bun.spawnSync(["ip", "link", "del", `${NAME}p`]));
    return findLink(NAME)!.index;
  }

  function put(index: number, place: Place) {
    const open = openPlace(place);
    try {
      refuseTakenName(open, index);
      return placeNetdev(index, open);
    } finally {
      closeFd(open.netnsFd);
    }
  }

  test("moves, is renamed, comes up and has its addresses", async () => {
    const inside = await namespace();
    const index = await device();
    const before = holdings();
    const link = put(index, { netns: inside.name, ifname: "eth0", ip: ["10.7.0.1/24", "fd07::1/64", "10.7.0.1/24"] });
    expect(heldDifference(before, holdings())).toEqual([]);
    expect(findLink(NAME)).toBeNull();
    const shown = await inside.ip("addr show eth0");
    for (const word of ["UP", "10.7.0.1/24", "fd07::1/64", link.mac]) expect(shown).toContain(word);
    await run(["ip", "link", "del", `${NAME}p`]);
  });

  test("stays where it is when the name is taken, and says which", async () => {
    const inside = await namespace();
    await inside.ip("link add eth0 type veth peer name eth1");
    const index = await device();
    const place = { netns: inside.name, ifname: "eth0", ip: [] };
    expect(() => put(index, place)).toThrow(`network namespace ${inside.name} has a device eth0 already`);
    expect(findLink(NAME)?.index).toBe(index);
    put(index, { ...place, ifname: "eth2" });
    expect(await inside.ip("-br link")).toContain("eth2");
    await run(["ip", "link", "del", `${NAME}p`]);
  });

  test("may be given to our own namespace, under the name it has", async () => {
    const index = await device();
    const link = put(index, { netns: String(process.pid), ifname: NAME, ip: ["10.255.7.1/32"] });
    expect(link).toMatchObject({ index, up: true });
    await run(["ip", "link", "del", `${NAME}p`]);
  });

  test("names the address that the kernel does not take", async () => {
    const inside = await namespace();
    const index = await device();
    const place = { netns: inside.name, ifname: "eth0", ip: ["10.7.0.1/24", "ff02::5/64"] };
    expect(() => put(index, place)).toThrow("the kernel does not take ff02::5/64");
    await run(["ip", "link", "del", `${NAME}p`]);
  });
});

describe("a place is refused before anything happens", () => {
  const ours = { netns: String(process.pid), ifname: "eth0", ip: [] };

  test.each([
    [{ ...ours, ifname: "a/b" }, "BAD_OPTION", '"a/b" is no name'],
    [{ ...ours, ifname: "sixteen-letters-" }, "BAD_OPTION", "is no name"],
    [{ ...ours, ip: ["10.0.0.1/24", "10.0.0.300/24"] }, "BAD_OPTION", "10.0.0.300/24"],
    [{ ...ours, ifname: "a\u009b\u2028" }, "BAD_OPTION", '"a\\u009b\\u2028" is no name'],
    [{ ...ours, ip: ["\u009b\u2028/24"] }, "BAD_OPTION", '"\\u009b\\u2028/24" is not an address'],
    [{ ...ours, netns: "no\n\u009b" }, "NOT_FOUND", 'no network namespace at "/run/netns/no\\n\\u009b"'],
    [{ ...ours, netns: "no-such-namespace" }, "NOT_FOUND", "no network namespace"],
    [{ ...ours, netns: "4194399" }, "NOT_FOUND", "no network namespace at /proc/4194399/ns/net"],
    [{ ...ours, netns: "/dev/null" }, "BAD_OPTION", "is not a network namespace"],
  ])("%p", (place, code, words) => {
    const before = holdings();
    let thrown: unknown;
    try {
      checkPlace(place);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RingyardError);
    expect(thrown).toMatchObject({ code, message: expect.stringContaining(words) });
    expect(heldDifference(before, holdings())).toEqual([]);
  });
});
