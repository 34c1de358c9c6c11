// Where frames go, and why some do not: every verdict of the learning switch, seen from outside over memory ports. That
// each frame is accounted for is checked at the end of every test (memory-switch.ts).

import { describe, expect, test } from "bun:test";
import { BROADCAST, frame, type Mac, mac, macText, numbered, readNumbered } from "../support/frames.ts";
import { useMemorySwitch } from "../support/memory-switch.ts";

const start = useMemorySwitch();

describe("a flood", () => {
  const destinations: [string, Mac][] = [
    ["broadcast", BROADCAST],
    ["multicast", [0x01, 0x00, 0x5e, 0, 0, 0xfb]],
    ["IPv6 multicast", [0x33, 0x33, 0, 0, 0, 1]],
    ["unknown unicast", mac(99)],
    ["01:80:c2:00:00:10, first behind the reserved block", [0x01, 0x80, 0xc2, 0, 0, 0x10]],
    ["01:80:c2:00:01:00, in another block", [0x01, 0x80, 0xc2, 0, 1, 0]],
    ["01:80:c2:01:00:00, in another block", [0x01, 0x80, 0xc2, 1, 0, 0]],
  ];
  test.each(destinations)("of %s reaches every port but its own", async (_, to) => {
    const it = await start({}, "a", "b", "c", "d");
    const sent = frame(to, mac(1), 77);
    it.send("a", sent);
    for (const name of ["b", "c", "d"]) expect(await it.receive(name, 1)).toEqual([sent]);
    await it.settled();
    expect(it.drain("a")).toEqual([]);
    expect(it.api.stats().totals).toMatchObject({ rxFrames: 1, copies: 2, txFrames: 3, dropped: 0 });
  });

  test("of eight ports is seven frames, whoever sends", async () => {
    const names = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];
    const it = await start({}, ...names);
    for (const [k, name] of names.entries()) it.send(name, numbered(BROADCAST, mac(k), k, 0));
    for (const [k, name] of names.entries()) {
      const senders = (await it.receive(name, 7)).map((bytes) => readNumbered(bytes)?.sender);
      expect(senders.sort()).toEqual(names.map((_, other) => other).filter((other) => other !== k));
    }
    await it.settled();
    for (const name of names) expect(it.drain(name)).toEqual([]);
  });

  test("with nowhere to go is dropped as no_destination", async () => {
    const it = await start({}, "alone");
    it.send("alone", frame(BROADCAST, mac(1)), frame(mac(2), mac(1)));
    await it.settled();
    expect(it.drops("alone")).toEqual({ no_destination: 2 });
    expect(it.drain("alone")).toEqual([]);
  });
});

describe("what the switch drops at the sender", () => {
  const sources: [string, Mac][] = [
    ["a broadcast source", BROADCAST],
    ["a multicast source", [0x01, 0x00, 0x5e, 0, 0, 1]],
    ["the zero source", [0, 0, 0, 0, 0, 0]],
  ];
  test.each(sources)("%s, as bad_source, wherever it stands in a burst", async (_, from) => {
    const it = await start({}, "a", "b");
    const good = numbered(BROADCAST, mac(1), 1, 7);
    const bad = frame(BROADCAST, from);
    it.send("a", bad, good, bad, bad, good, bad);
    expect(await it.receive("b", 2)).toEqual([good, good]);
    await it.settled();
    expect(it.drops("a")).toEqual({ bad_source: 4 });
    expect((await it.api.fdb()).entries.map((entry) => entry.mac)).toEqual([macText(mac(1))]);
  });

  test("01:80:c2:00:00:00 to 0f, as reserved", async () => {
    const it = await start({}, "a", "b");
    for (let last = 0; last < 16; last++) it.send("a", frame([0x01, 0x80, 0xc2, 0, 0, last], mac(1)));
    it.send("a", frame(BROADCAST, mac(1)));
    await it.receive("b", 1);
    await it.settled();
    expect(it.drops("a")).toEqual({ reserved: 16 });
    expect(it.drain("b")).toEqual([]);
  });

  test("unicast to a station on the port it came from, as own_port", async () => {
    const it = await start({}, "a", "b");
    it.send("a", frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)));
    await it.receive("b", 2);
    it.send("a", frame(mac(2), mac(1)), frame(mac(1), mac(2)));
    await it.settled();
    expect(it.drops("a")).toEqual({ own_port: 2 });
    expect(it.drain("a")).toEqual([]);
    expect(it.drain("b")).toEqual([]);
  });
});

describe("link down", () => {
  test("stops a port in both directions, and up lets it go on", async () => {
    const it = await start({}, "a", "b", "c");
    it.send("b", frame(BROADCAST, mac(2)));
    await it.receive("a", 1);
    await it.receive("c", 1);
    expect((await it.api.setPort("b", { link: "down" })).admin).toBe("down");
    it.send("a", frame(mac(2), mac(1)), frame(BROADCAST, mac(1)));
    it.send("b", frame(mac(1), mac(2)), frame(BROADCAST, mac(2)));
    expect(await it.receive("c", 1)).toEqual([frame(BROADCAST, mac(1))]);
    await it.settled();
    // One unicast towards it and two frames from it; the flood just leaves it out.
    expect(it.drops("b")).toEqual({ link_down: 3 });
    expect(it.drain("a")).toEqual([]);
    await it.api.setPort("b", { link: "up" });
    it.send("a", frame(mac(2), mac(1)));
    it.send("b", frame(mac(1), mac(2)));
    await it.receive("b", 1);
    await it.receive("a", 1);
    expect(it.drops("b")).toEqual({ link_down: 3 });
  });

  test("of all others leaves a flood no_destination", async () => {
    const it = await start({}, "a", "b");
    await it.api.setPort("b", { link: "down" });
    it.send("a", frame(BROADCAST, mac(1)));
    await it.settled();
    expect([it.drops("a"), it.drops("b")]).toEqual([{ no_destination: 1 }, {}]);
  });
});

describe("the receiver's limits", () => {
  test("longer than its mtu and 22 bytes is oversized, for that receiver", async () => {
    const it = await start({}, "a", "wide");
    await it.add("narrow", "mtu=1000");
    const fits = frame(BROADCAST, mac(1), 1022);
    const long = frame(BROADCAST, mac(1), 1023);
    it.send("a", fits, long, long, fits);
    expect(await it.receive("wide", 4)).toEqual([fits, long, long, fits]);
    expect(await it.receive("narrow", 2)).toEqual([fits, fits]);
    await it.settled();
    expect([it.drops("narrow"), it.drops("wide")]).toEqual([{ oversized: 2 }, {}]);
  });

  test("unicast of one burst: the long ones are left out, the others stay in order", async () => {
    const it = await start({}, "a");
    await it.add("narrow", "mtu=100");
    it.send("narrow", frame(BROADCAST, mac(2)));
    await it.receive("a", 1);
    const sizes = [122, 123, 60, 2000, 122, 124, 61];
    it.send("a", ...sizes.map((size, k) => numbered(mac(2), mac(1), 1, k, size)));
    const numbers = (await it.receive("narrow", 4)).map((bytes) => readNumbered(bytes)?.number);
    expect(numbers).toEqual([0, 2, 4, 6]);
    await it.settled();
    expect(it.drops("narrow")).toEqual({ oversized: 3 });
  });

  test("a full ring drops as no_buffer, and takes frames again when it has room", async () => {
    const it = await start({}, "a", "c");
    await it.add("small", "size=4");
    const all = Array.from({ length: 10 }, (_, k) => numbered(BROADCAST, mac(1), 1, k));
    it.send("a", ...all);
    expect(await it.receive("c", 10)).toEqual(all);
    await it.settled();
    expect(it.drops("small")).toEqual({ no_buffer: 6 });
    expect(await it.receive("small", 4)).toEqual(all.slice(0, 4));
    // The last buffer read goes back with the next call.
    expect(it.drain("small")).toEqual([]);
    it.send("a", all[9]);
    expect(await it.receive("small", 1)).toEqual([all[9]]);
    await it.settled();
    expect(it.drops("small")).toEqual({ no_buffer: 6 });
  });

  test("a frame shorter than an Ethernet header is a runt", async () => {
    const it = await start({}, "a", "b");
    it.send("a", frame(BROADCAST, mac(1)).subarray(0, 13), frame(BROADCAST, mac(1)).subarray(0, 14));
    expect((await it.receive("b", 1))[0].length).toBe(14);
    await it.settled();
    expect(it.drops("a")).toEqual({ runt: 1 });
  });
});

describe("order", () => {
  test("frames of mixed destinations in one burst keep their order at each port", async () => {
    const it = await start({}, "a", "b", "c", "d");
    const stations: Record<string, Mac> = { b: mac(2), c: mac(3), d: mac(4) };
    for (const [name, address] of Object.entries(stations)) {
      it.send(name, frame(mac(1), address));
      await it.settled();
    }
    for (const name of ["a", "b", "c", "d"]) it.drain(name);
    // Unicast to each, floods in between, own-port and reserved ones to be left out, in a fixed shuffle.
    const to: Mac[] = [mac(2), mac(3), BROADCAST, mac(4), mac(1), mac(3), [0x01, 0x80, 0xc2, 0, 0, 2], mac(2), mac(50)];
    const burst = Array.from({ length: 180 }, (_, k) => numbered(to[(k * 7 + (k >> 4)) % to.length], mac(1), 1, k));
    it.send("a", ...burst);
    await it.settled();
    for (const [name, address] of Object.entries(stations)) {
      const meant = [macText(address), macText(BROADCAST), macText(mac(50))];
      const expected = burst.filter((bytes) => meant.includes(macText([...bytes.subarray(0, 6)])));
      expect(it.drain(name).map((received) => received.frame)).toEqual(expected);
    }
    const own = burst.filter((bytes) => macText([...bytes.subarray(0, 6)]) === macText(mac(1))).length;
    expect(it.drops("a").own_port).toBe(own);
  });

  test("contents arrive as they were sent, at every length", async () => {
    const it = await start({}, "a", "b");
    for (let size = 14; size <= 2036; size += 1) {
      const sent = frame(BROADCAST, mac(1), size);
      for (let k = 14; k < size; k++) sent[k] = (k * 31 + size) & 0xff;
      it.send("a", sent);
      expect(Buffer.compare((await it.receive("b", 1))[0], sent)).toBe(0);
      // Every length up to a few cache lines, then those around copy's and the driver's limits.
      if (size > 320 && size % 64 === 1) size += 60;
    }
  });
});
