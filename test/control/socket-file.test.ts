// The control socket's file: private from birth, never taken from a living switch, replaced when its switch is dead.

import { describe, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ControlClient } from "../../src/control/client.ts";
import { defaultControlPath, makeControlDirectory } from "../../src/control/paths.ts";
import { ControlServer } from "../../src/control/server.ts";
import { publishSocket } from "../../src/control/socket-file.ts";
import { useCleanup } from "../support/cleanup.ts";
import { useDirectories } from "../support/control.ts";
import { quiet } from "../support/fake-switch.ts";
import { run, useProcesses } from "../support/process.ts";
import { requireRoot } from "../support/skip.ts";
import { PATIENCE, until } from "../support/until.ts";

const defer = useCleanup();
const directory = useDirectories();
const spawn = useProcesses();

async function listen(path: string, pid = 1): Promise<ControlServer> {
  const server = await ControlServer.listen(path, async () => ({ version: "x", protocol: 1, pid }), quiet);
  defer(() => server.close());
  return server;
}

const ask = async (path: string) => {
  const client = await ControlClient.connect(path);
  const { pid } = await client.request("version", {});
  client.close();
  return pid;
};

/** The file that a switch leaves behind when it is killed: bound, and nobody listens. */
async function staleSocket(path: string): Promise<void> {
  const listener = Bun.listen({ unix: `${path}.gone`, socket: { data() {} } });
  linkSync(`${path}.gone`, path);
  listener.stop(true);
  await expect(ControlClient.connect(path)).rejects.toMatchObject({ code: "UNREACHABLE" });
}

describe("the socket", () => {
  test("is for its owner only, whatever the umask, and leaves nothing else in the directory", async () => {
    const path = join(directory(), "control.sock");
    const umask = process.umask(0);
    await listen(path);
    expect(process.umask(umask)).toBe(0);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(readdirSync(join(path, ".."))).toEqual(["control.sock"]);
  });

  test("goes when the switch ends", async () => {
    const path = join(directory(), "control.sock");
    const server = await listen(path);
    server.close();
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  test("that is another's by now is left alone", async () => {
    const path = join(directory(), "control.sock");
    const first = await listen(path);
    unlinkSync(path);
    await listen(path, 2);
    first.close();
    expect(await ask(path)).toBe(2);
  });

  test("of a living switch is refused, and that switch goes on", async () => {
    const path = join(directory(), "control.sock");
    await listen(path);
    await expect(listen(path)).rejects.toMatchObject({
      code: "BUSY",
      message: `a switch is already running at ${path}`,
      next: "stop it, or name another path with --control",
    });
    expect(await ask(path)).toBe(1);
    expect(readdirSync(join(path, ".."))).toEqual(["control.sock"]);
  });

  test("of a dead switch is replaced", async () => {
    const path = join(directory(), "control.sock");
    await staleSocket(path);
    await listen(path, 3);
    expect(await ask(path)).toBe(3);
    expect(readdirSync(join(path, ".."))).toEqual(["control.sock"]);
  });

  test("is not made over a file", async () => {
    const path = join(directory(), "control.sock");
    writeFileSync(path, "precious");
    await expect(listen(path)).rejects.toMatchObject({ code: "EXISTS", message: `${path} exists and is no socket` });
    expect(existsSync(path)).toBe(true);
  });

  test("needs its directory", async () => {
    const path = join(directory(), "missing", "control.sock");
    await expect(listen(path)).rejects.toMatchObject({ code: "SYSTEM", message: `cannot bind ${path}: ENOENT` });
  });

  test("where there can be none is one clear line", async () => {
    const loop = join(directory(), "loop");
    symlinkSync(loop, loop);
    const cases = [
      ["/dev/null/x", "ENOTDIR"],
      [join(loop, "x"), "ELOOP"],
    ];
    for (const [path, code] of cases) {
      await expect(listen(path)).rejects.toMatchObject({
        code: "SYSTEM",
        message: `cannot look at ${path}: ${code}`,
        next: "name another path with --control",
      });
    }
  });

  test("with a path too long for sun_path is one clear line", async () => {
    const path = join(directory(), "x".repeat(100));
    await expect(listen(path)).rejects.toMatchObject({
      code: "BAD_OPTION",
      message: `control path of ${path.length} bytes is too long`,
      next: "name one of at most 95 with --control",
    });
    const most = join(directory(), "x").padEnd(95, "x");
    await listen(most);
    expect(await ask(most)).toBe(1);
  });

  test("that comes alive between the first look and the taking is not taken", async () => {
    const path = join(directory(), "control.sock");
    await staleSocket(path);
    const listeners: Bun.UnixSocketListener<undefined>[] = [];
    const bind = (at: string) => listeners.push(Bun.listen({ unix: at, socket: { data() {} } }));
    const attempt = publishSocket(path, (own) => {
      unlinkSync(path);
      bind(path);
      bind(own);
    });
    await expect(attempt).rejects.toMatchObject({ code: "BUSY" });
    (await ControlClient.connect(path)).close();
    expect(readdirSync(join(path, ".."))).toEqual(["control.sock"]);
    for (const listener of listeners) listener.stop(true);
  });

  test("is taken by nobody while another is taking it", async () => {
    const path = join(directory(), "control.sock");
    await staleSocket(path);
    const other = spawn(["flock", "-o", join(path, ".."), "sh", "-c", "echo locked; exec cat"]);
    await other.says("locked");
    const taking = listen(path, 4);
    await until("it to wait", () => existsSync(`${path}.${process.pid}`));
    await expect(ControlClient.connect(path)).rejects.toMatchObject({ code: "UNREACHABLE" });
    expect(existsSync(`${path}.${process.pid}`)).toBe(true);
    await other.stop();
    await taking;
    expect(await ask(path)).toBe(4);
  });

  test(
    "is won by one of several that start at once",
    async () => {
      const path = join(directory(), "control.sock");
      await staleSocket(path);
      const script = `
      import { ControlServer } from "${join(import.meta.dir, "../../src/control/server.ts")}";
      const log = { error() {} };
      await Bun.stdin.stream().getReader().read();
      try {
        await ControlServer.listen("${path}", async () => ({ pid: process.pid }), log);
        console.log("won");
      } catch (error) { console.log(error.code); }`;
      const children = [1, 2, 3, 4].map(() => spawn([process.execPath, "-e", script]));
      for (const child of children) child.write("go\n");
      for (const child of children) await child.says(/won|[A-Z]/, { timeoutMs: 30_000 });
      const words = children.map(({ output }) => output.trim());
      expect([...words].sort()).toEqual(["BUSY", "BUSY", "BUSY", "won"]);
      expect(await ask(path)).toBe(children[words.indexOf("won")].pid);
    },
    60_000 * PATIENCE,
  );
});

describe("the default path", () => {
  test("depends on the user", () => {
    expect(defaultControlPath(0, {})).toBe("/run/ringyard/control.sock");
    expect(defaultControlPath(1000, { XDG_RUNTIME_DIR: "/run/user/1000" })).toBe(
      "/run/user/1000/ringyard/control.sock",
    );
    expect(defaultControlPath(1000, {})).toBe("/tmp/ringyard-1000/control.sock");
    expect(defaultControlPath(1000, { XDG_RUNTIME_DIR: "relative" })).toBe("/tmp/ringyard-1000/control.sock");
    expect(defaultControlPath(1000, { XDG_RUNTIME_DIR: "/run/\x1b[2J" })).toBe("/tmp/ringyard-1000/control.sock");
  });

  test("has a directory that only we can write", () => {
    const path = join(directory(), "made", "control.sock");
    makeControlDirectory(path);
    expect(statSync(join(path, "..")).mode & 0o7777).toBe(0o700);
    makeControlDirectory(path);
  });

  test("is refused where the directory is a link, or open to others", () => {
    const base = directory();
    mkdirSync(join(base, "open"), { mode: 0o777 });
    Bun.spawnSync(["chmod", "777", join(base, "open")]);
    symlinkSync("/tmp", join(base, "link"));
    for (const name of ["open", "link"]) {
      expect(() => makeControlDirectory(join(base, name, "control.sock"))).toThrow(
        "is not a directory that only we can write",
      );
    }
  });
});

requireRoot("another user is played by setpriv")("another user", () => {
  test("may not connect", async () => {
    const path = join(directory(), "control.sock");
    await listen(path);
    Bun.spawnSync(["chmod", "755", join(path, "..")]);
    const script = `require("node:net").connect("${path}").on("error", (e) => console.log(e.code)).on("connect", () => { console.log("in"); process.exit() })`;
    const { stdout } = await run(
      ["setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", process.execPath, "-e", script],
      {
        env: { HOME: "/tmp", TMPDIR: "/tmp" },
        allowFailure: true,
      },
    );
    expect(stdout.trim()).toBe("EACCES");
  });
});
