// The control socket as a client sees it, and as one who means ill: a bad frame costs its sender the connection and
// nobody else anything.

import { describe, expect, test } from "bun:test";
import { ControlClient } from "../../src/control/client.ts";
import { encodeFrame } from "../../src/control/frame.ts";
import { CONNECTIONS_MAX } from "../../src/control/server.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { useCleanup } from "../support/cleanup.ts";
import { type RawClient, useDirectories, useServed } from "../support/control.ts";
import { failure } from "../support/failure.ts";
import { until } from "../support/until.ts";

const serve = useServed();
const directory = useDirectories();
const defer = useCleanup();

const version = encodeFrame({ id: 1, op: "version", args: {} });
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const framed = (item: Uint8Array) => Buffer.concat([hex(item.length.toString(16).padStart(8, "0")).reverse(), item]);

describe("requests", () => {
  test("add, show, change and remove ports", async () => {
    const client = await (await serve()).client();
    const { port } = await client.request("port.add", { name: "web", uri: "tap:web?mtu=1500", link: "down" });
    expect(port).toMatchObject({ name: "web", uri: "tap:web?mtu=1500", admin: "down", mtu: 1500 });
    await client.request("port.set", { name: "web", link: "up", mtu: 9000, macLimit: 5 });
    expect((await client.request("port.show", { name: "web" })).port).toMatchObject({
      admin: "up",
      mtu: 9000,
      macLimit: 5,
    });
    expect((await client.request("port.list", {})).ports.map(({ name }) => name)).toEqual(["web"]);
    expect((await client.request("config.show", {})).ports).toEqual([
      { name: "web", uri: "tap:web?mtu=9000", link: "up", macLimit: 5 },
    ]);
    await client.request("port.del", { name: "web" });
    expect((await client.request("port.list", {})).ports).toEqual([]);
  });

  test("attach and detach ports", async () => {
    const { client, fake } = await serve();
    const asked = await client();
    await asked.request("port.add", { name: "web", uri: "vduse:web" });
    await asked.request("port.add", { name: "sink", uri: "null:" });
    const ip = ["10.0.0.2/24", "fd00::1/64", "0.0.0.0/0"];
    expect(await asked.request("port.attach", { name: "web", to: "netns", netns: "1", ip, ifname: "lan0" })).toEqual({
      netdev: { netns: "1", ifname: "lan0", mac: "02:00:00:00:00:0a" },
    });
    expect(fake.attached.get("web")).toEqual({ to: "netns", netns: "1", ip, ifname: "lan0" });
    expect((await asked.request("port.detach", { name: "web" })).port.name).toBe("web");
    expect(await asked.request("port.attach", { name: "web", to: "vm" })).toMatchObject({
      vm: { path: "/dev/vhost-vdpa-0" },
    });
    expect(fake.attached.get("web")).toEqual({ to: "vm" });
    await expect(asked.request("port.attach", { name: "sink", to: "vm" })).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
  });

  test("pin, show and forget addresses", async () => {
    const { client, fake } = await serve();
    const { request, close } = bound(await client());
    await request("port.add", { name: "web", uri: "null:" });
    await request("fdb.add", { mac: "02:00:00:00:00:0A", port: "web" });
    fake.entries.set("x", { mac: "x", port: "web", ageS: 3, static: false });
    expect((await request("fdb.show", { port: "web" })).entries).toEqual([
      { mac: "02:00:00:00:00:0a", port: "web", ageS: 0, static: true },
      { mac: "x", port: "web", ageS: 3, static: false },
    ]);
    expect(await request("fdb.flush", {})).toEqual({ flushed: 1 });
    await request("fdb.del", { mac: "02:00:00:00:00:0a" });
    expect((await request("fdb.show", {})).entries).toEqual([]);
    close();
  });

  test("answer in order, also when many are sent at once", async () => {
    const client = await (await serve()).client();
    const names = Array.from({ length: 40 }, (_, index) => `p${index}`);
    await Promise.all(names.map((name) => client.request("port.add", { name, uri: "null:" })));
    expect((await client.request("port.list", {})).ports.map(({ name }) => name)).toEqual(names);
  });

  test("get tables of 60,000 entries in parts", async () => {
    const { client, fake } = await serve();
    for (let index = 0; index < 60_000; index++) {
      const mac = `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
      fake.entries.set(mac, { mac, port: "web", ageS: index, static: false });
    }
    const { entries, limit } = await (await client()).request("fdb.show", {});
    expect(limit).toBe(65536);
    expect(entries).toEqual([...fake.entries.values()]);
  });

  const refused: [string, object, string, string][] = [
    ["port.list", { all: true }, "BAD_REQUEST", 'port.list: unknown argument "all": takes none'],
    ["port.show", {}, "BAD_REQUEST", "port.show: name: expected the name of a port, found nothing"],
    ["port.show", { name: "web" }, "NOT_FOUND", "no port web"],
    ["port.del", { name: "a\nb" }, "NOT_FOUND", 'no port "a\\nb": ports: none'],
    ["port.set", { name: "web", mtu: 5 }, "BAD_REQUEST", "port.set: mtu: expected a number from 68 to 65535, found 5"],
    ["port.set", { name: "web", link: "on" }, "BAD_REQUEST", 'port.set: link: expected up or down, found "on"'],
    [
      "port.add",
      { name: "web", uri: "tab:x" },
      "BAD_URI",
      'port web: unknown port kind "tab": did you mean tap? known kinds: memory, null, tap, vduse, vhost-user',
    ],
    [
      "port.add",
      { name: "web", uri: "tap:x", macLimt: 1 },
      "BAD_REQUEST",
      'port.add: unknown argument "macLimt": did you mean macLimit? takes link, macLimit, name, policy, uri',
    ],
    [
      "fdb.add",
      { mac: "01:00:00:00:00:00", port: "web" },
      "BAD_REQUEST",
      'fdb.add: mac: expected a unicast MAC address such as 02:00:00:00:00:01, found "01:00:00:00:00:00"',
    ],
    [
      "fdb.add",
      { mac: "02:00:00:00:00:01", port: "web", vlan: 4095 },
      "BAD_REQUEST",
      "fdb.add: vlan: expected a number from 1 to 4094, found 4095",
    ],
    ["port.attach", { name: "web", to: "host" }, "BAD_REQUEST", 'port.attach: to: expected netns or vm, found "host"'],
    [
      "port.attach",
      { name: "web", to: "netns" },
      "BAD_REQUEST",
      "port.attach: netns: expected the name of a network namespace, a PID or an absolute path, found nothing",
    ],
    [
      "port.attach",
      { name: "web", to: "netns", netns: "a/b" },
      "BAD_REQUEST",
      'port.attach: netns: expected the name of a network namespace, a PID or an absolute path, found "a/b"',
    ],
    [
      "port.attach",
      { name: "web", to: "vm", ip: ["10.0.0.2/24"] },
      "BAD_REQUEST",
      'port.attach: ip: expected nothing beside a vm, found ["10.0.0.2/24"]',
    ],
    [
      "port.attach",
      { name: "web", to: "netns", netns: "blue", ip: ["::1/64", 4] },
      "BAD_REQUEST",
      "port.attach: ip.1: expected an address, found 4",
    ],
    ["port.attach", { name: "wbe", to: "vm" }, "NOT_FOUND", "no port wbe: ports: none"],
    ["port.detach", { name: "web" }, "NOT_FOUND", "no port web: ports: none"],
    ["shutdown", {}, "BAD_REQUEST", "shutdown: remove: expected true or false, found nothing"],
    [
      "port.lst",
      {},
      "BAD_REQUEST",
      'unknown operation "port.lst": did you mean port.list? known: capture.close, capture.open, capture.read, config.show, fdb.add, fdb.del, fdb.flush, fdb.show, meter.del, meter.list, meter.set, mirror.add, mirror.del, mirror.list, policy.show, port.add and 18 more',
    ],
    [
      "toString",
      {},
      "BAD_REQUEST",
      'unknown operation "toString": known: capture.close, capture.open, capture.read, config.show, fdb.add, fdb.del, fdb.flush, fdb.show, meter.del, meter.list, meter.set, mirror.add, mirror.del, mirror.list, policy.show, port.add and 18 more',
    ],
  ];
  test.each(refused)("%s %j is refused, and the connection goes on", async (op, args, code, line) => {
    const client = await (await serve()).client();
    const error = await client.request(op as "version", args).catch((thrown: RingyardError) => thrown);
    expect(error).toBeInstanceOf(RingyardError);
    const { code: found, message, next } = error as RingyardError;
    expect([found, next === undefined ? message : `${message}: ${next}`]).toEqual([code as never, line]);
    expect(await client.request("version", {})).toMatchObject({ protocol: 1, pid: process.pid });
  });

  test("that fail inside are answered, and the switch goes on", async () => {
    const { client, fake } = await serve();
    fake.failures.set("addPort", new TypeError("a bug"));
    const asked = await client();
    await expect(asked.request("port.add", { name: "a", uri: "null:" })).rejects.toMatchObject({
      code: "SYSTEM",
      message: "port.add: a bug",
    });
    expect(await asked.request("version", {})).toMatchObject({ protocol: 1 });
  });
});

describe("a bad frame is answered, counted, and ends its connection only", () => {
  const cases: [string, string, Uint8Array][] = [
    ["too long", "frame_too_long", hex("01400000")],
    ["of 4 GiB", "frame_too_long", hex("ffffffff")],
    ["empty", "frame_empty", hex("00000000")],
    ["no CBOR", "reserved", framed(hex("fc"))],
    ["an HTTP request", "frame_too_long", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a bomb of arrays", "too_long", framed(hex("9a ff ff ff ff"))],
    ["a bomb of maps", "too_long", framed(hex("bb 00 00 00 ff ff ff ff ff"))],
    ["a bomb of text", "too_long", framed(hex("7a 7f ff ff ff"))],
    ["a bomb of depth", "too_deep", framed(new Uint8Array(16384).fill(0x81))],
    ["a bomb without end", "indefinite_length", framed(new Uint8Array(16384).fill(0x9f))],
    ["two items", "trailing_bytes", framed(hex("01 01"))],
    ["a tag", "tag", framed(hex("d8 24 00"))],
  ];
  test.each(cases)("%s", async (_, name, bytes) => {
    const { raw, errors, client } = await serve();
    const other = await client();
    const bad = await raw();
    bad.send(bytes);
    await bad.ended();
    expect(bad.replies).toEqual([
      { id: 0, ok: false, error: { code: "PROTOCOL", message: name.replaceAll("_", " ") } },
    ]);
    expect(errors(name)).toBe(1);
    expect((await other.request("stats", {})).control.errors).toEqual({ [name]: 1 });
  });

  test("something that is no request is refused, and the connection goes on", async () => {
    const { raw, errors } = await serve();
    const bad = await raw();
    const things = [
      null,
      1,
      [],
      {},
      { id: 1 },
      { id: 0, op: "version" },
      { id: 1.5, op: "version" },
      { id: 1, op: 2 },
      { id: 1, op: "version", args: 3 },
      { id: 1, op: "version", args: [] },
    ];
    for (const thing of things) bad.send(encodeFrame(thing));
    await bad.reply(things.length);
    for (const reply of bad.replies) expect(reply).toMatchObject({ id: 0, ok: false, error: { code: "BAD_REQUEST" } });
    expect(errors("bad_request")).toBe(things.length);
    bad.send(version);
    expect(await bad.reply(things.length + 1)).toMatchObject({ id: 1, ok: true });
  });

  test("a frame that is cut off by the end of the connection is counted", async () => {
    const { raw, errors } = await serve();
    const bad = await raw();
    bad.send(version.subarray(0, 9));
    bad.socket.end();
    await until("the count", () => errors("cut_off") === 1);
  });

  test("a request may arrive byte by byte", async () => {
    const slow = await (await serve()).raw();
    for (const byte of version) {
      slow.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await slow.reply()).toMatchObject({ id: 1, ok: true });
  });
});

describe("a client that takes what is not its own", () => {
  test("connections end at the limit, and places become free again", async () => {
    const { raw, errors, server, client } = await serve();
    const open: RawClient[] = [];
    while (open.length < CONNECTIONS_MAX) open.push(await raw());
    await until("all of them", () => server.stats().connections === CONNECTIONS_MAX);
    const late = await raw();
    await late.ended();
    expect(late.replies).toMatchObject([
      { id: 0, ok: false, error: { code: "LIMIT", message: "more than 64 clients" } },
    ]);
    await expect((await client()).request("version", {})).rejects.toMatchObject({ code: "LIMIT" });
    expect(errors("too_many_connections")).toBe(2);
    open[7].send(version);
    expect(await open[7].reply()).toMatchObject({ ok: true });
    open[3].socket.end();
    await until("a free place", () => server.stats().connections === CONNECTIONS_MAX - 1);
    expect(await (await client()).request("version", {})).toMatchObject({ protocol: 1 });
  });

  test("more requests than answers are waited for end the connection", async () => {
    const { raw, errors } = await serve();
    const greedy = await raw();
    greedy.send(Buffer.concat(Array.from({ length: 100 }, () => version)));
    await greedy.ended();
    expect(errors("backlog")).toBe(1);
  });

  test("silence ends the connection", async () => {
    const { raw, errors } = await serve({ idleMs: 50 });
    const silent = await raw();
    await silent.ended();
    expect(errors("idle")).toBe(1);
  });

  test("answers that are not taken end the connection, hold one frame meanwhile, and nobody else waits", async () => {
    const { raw, errors, fake, client, server } = await serve({ slowMs: 300 });
    for (let index = 0; index < 60_000; index++)
      fake.entries.set(`${index}`, { mac: `${index}`, port: "web", ageS: 0, static: true });
    const slow = await raw();
    slow.socket.pause();
    slow.send(encodeFrame({ id: 1, op: "fdb.show", args: {} }));
    const other = await client();
    await until("the request", async () => (await other.request("stats", {})).control.requests >= 2);
    await until("the end", () => errors("slow_reader") === 1);
    expect(server.stats().connections).toBe(1);
    expect(await other.request("version", {})).toMatchObject({ protocol: 1 });
    // What the kernel keeps for a socket, a frame, and what the next one is made of.
    expect(fake.rowsMade).toBeGreaterThan(0);
    expect(fake.rowsMade).toBeLessThan(30_000);
    const made = fake.rowsMade;
    await other.request("version", {});
    expect(fake.rowsMade).toBe(made);
  });
});

describe("the client", () => {
  test("says where it looked for a switch", async () => {
    const path = `${directory()}/none.sock`;
    await expect(ControlClient.connect(path)).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: `no switch is running at ${path}`,
      next: "start it with ringyard up, or name its control socket with --control PATH",
    });
  });

  test("learns that the switch ended", async () => {
    const { client, server } = await serve();
    const asked = await client();
    await asked.request("version", {});
    server.close();
    await until(
      "the end",
      async () => (await asked.request("version", {}).catch((error: RingyardError) => error)) instanceof RingyardError,
    );
    await expect(asked.request("version", {})).rejects.toMatchObject({ code: "UNREACHABLE" });
  });

  test("does not believe an unreadable answer", async () => {
    const path = `${directory()}/liar.sock`;
    const liar = Bun.listen({ unix: path, socket: { data: (socket) => void socket.write(hex("ffffffff")) } });
    const client = await ControlClient.connect(path);
    await expect(client.request("version", {})).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: `${path}: unreadable answer: frame too long`,
      next: "is this ringyard's control socket?",
    });
    liar.stop(true);
  });

  const foreign = [
    null,
    7,
    [],
    {},
    { id: 1, ok: true },
    { id: 1, ok: true, result: [] },
    { id: 1, ok: false },
    { id: 1, ok: false, error: { code: "BUSY", message: { is: "no text" } } },
    { id: 1, ok: false, error: { code: "BUSY", message: "x", next: 4 } },
    { id: "1", ok: true, result: {} },
    { ok: false, error: { code: "BUSY", message: "x" } },
  ];
  test.each(foreign.map((answer) => [answer]))("does not take %j for an answer of ringyard", async (answer) => {
    const { path, error } = await refusal(answer);
    expect(error).toMatchObject({
      code: "UNREACHABLE",
      message: `${path}: not an answer of ringyard`,
      next: "is this ringyard's control socket?",
    });
  });

  test("shows in one line what it is told", async () => {
    const message = "no\nport \x1b[2J\r\n  x\u2028y\u009b\n";
    const { error } = await refusal({ id: 1, ok: false, error: { code: "BUSY", message, next: "a\nb" } });
    expect(error).toMatchObject({ code: "BUSY", message: "no port \\u001b[2J x y\\u009b", next: "a b" });
  });

  /** What a client makes of this answer. */
  async function refusal(answer: unknown): Promise<{ path: string; error: RingyardError }> {
    const path = `${directory()}/other.sock`;
    const other = Bun.listen({ unix: path, socket: { data: (socket) => void socket.write(encodeFrame(answer)) } });
    defer(() => other.stop(true));
    const client = await ControlClient.connect(path);
    return { path, error: await failure(client.request("version", {})) };
  }
});

function bound(client: ControlClient): { request: ControlClient["request"]; close: () => void } {
  return { request: client.request.bind(client), close: () => client.close() };
}
