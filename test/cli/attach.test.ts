// `ringyard attach`, `detach` and `down` as processes, on a switch whose ports are attached to nothing real.

import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { attachedText } from "../../src/cli/attach-view.ts";
import type { Attached } from "../../src/ports/port.ts";
import { useDirectories } from "../support/control.ts";
import { type Background, useProcesses } from "../support/process.ts";
import { ringyard } from "../support/ringyard.ts";

const FAKE_UP = join(import.meta.dir, "../support/fake-up.ts");
const directory = useDirectories();
const spawn = useProcesses();

/** A switch with `web`, that can be attached, and `sink`, that cannot. */
async function start(env: Record<string, string> = {}): Promise<{ control: string; process: Background }> {
  const control = join(directory(), "c.sock");
  const words = ["--control", control, "--port", "web=vduse:web", "--port", "sink=null:"];
  const running = spawn([process.execPath, FAKE_UP, ...words], { env });
  await running.says("ringyard ready");
  return { control, process: running };
}

const done = (stdout: string) => ({ stdout, stderr: "", exitCode: 0 });

describe("attach", () => {
  let control: string;
  beforeAll(async () => {
    control = (await start()).control;
  });

  test("to a container says in one line what it got", async () => {
    const words = ["attach", "web", "--netns", "blue", "--ip", "10.0.0.2/24", "--ip", "fd00::2/64"];
    expect(await ringyard(...words, "--control", control)).toEqual(
      done("web: eth0 in blue, 10.0.0.2/24, fd00::2/64, 02:00:00:00:00:0a\n"),
    );
    expect(await ringyard("detach", "web", "--control", control)).toEqual(done(""));
    const named = await ringyard("attach", "web", "--netns", "1", "--ifname", "lan0", "--json", "--control", control);
    expect(JSON.parse(named.stdout)).toEqual({ netdev: { netns: "1", ifname: "lan0", mac: "02:00:00:00:00:0a" } });
    const { stdout } = await ringyard("detach", "web", "--json", "--control", control);
    expect(JSON.parse(stdout)).toMatchObject({ name: "web", kind: "vduse" });
  });

  test("to a VM prints what QEMU has to be told", async () => {
    expect(await ringyard("attach", "web", "--vm", "--control", control)).toEqual(
      done(
        "web: /dev/vhost-vdpa-0, for QEMU\n" +
          "  -netdev vhost-vdpa,id=web,vhostdev=/dev/vhost-vdpa-0 \\\n" +
          "  -name 'a guest'\n",
      ),
    );
  });

  const refused: [string[], number, string][] = [
    [["web"], 2, "attach needs --netns or --vm: ringyard attach web --netns NAME, or ringyard attach web --vm"],
    [["web", "--vm", "--netns", "a"], 2, "--netns and --vm exclude each other: attach a port to one of them"],
    [["web", "--vm", "--ip", "::1/64"], 2, "--ip goes with --netns: a VM names and addresses its device itself"],
    [["web", "--vm", "--ifname", "a"], 2, "--ifname goes with --netns: a VM names and addresses its device itself"],
    [["wbe", "--vm"], 1, "no port wbe: did you mean web? ports: sink, web"],
    [["sink", "--vm"], 1, "port sink: a null port has nothing to attach"],
    [
      ["web", "--netns", "a/b"],
      2,
      'port.attach: netns: expected the name of a network namespace, a PID or an absolute path, found "a/b"',
    ],
  ];
  test.each(refused)("%j is refused", async (words, exitCode, line) => {
    const stderr = `ringyard: ${line}\n`;
    expect(await ringyard("attach", ...words, "--control", control)).toEqual({ stdout: "", stderr, exitCode });
  });
});

describe("what an attachment prints", () => {
  const qemu = ["-object", "memory-backend-memfd,size=1G", "-S", "-name", "it's a guest", "-device", "x,id=$y"];
  const cases: [string, Attached, string][] = [
    ["nothing known", {}, "p: attached\n"],
    [
      "words for a shell",
      { vm: { path: "/dev/vhost-vdpa-3", qemu } },
      "p: /dev/vhost-vdpa-3, for QEMU\n  -object memory-backend-memfd,size=1G \\\n  -S \\\n" +
        "  -name 'it'\\''s a guest' \\\n  -device 'x,id=$y'\n",
    ],
  ];
  test.each(cases)("%s", (_, attached, text) => {
    expect(attachedText("p", attached)).toBe(text);
  });
});

describe("down", () => {
  test("returns when the switch has ended, and says what stays", async () => {
    const { control, process } = await start();
    await ringyard("attach", "web", "--vm", "--control", control);
    expect(await ringyard("down", "--control", control)).toEqual(
      done("stays attached: web (ringyard up goes on with it, ringyard down --remove takes it away)\n"),
    );
    expect(existsSync(control)).toBe(false);
    expect(await process.child.exited).toBe(0);
    await process.drain();
    const log = process.output.split("\n").filter((line) => line.startsWith("{"));
    expect(log.map((line) => JSON.parse(line).msg)).toEqual(["ready", "stopping", "stopped"]);
  });

  test("prints JSON, and nothing where nothing stays", async () => {
    const first = await start();
    expect(await ringyard("down", "--control", first.control)).toEqual(done(""));
    const { control } = await start();
    const { stdout } = await ringyard("down", "--json", "--control", control);
    expect(JSON.parse(stdout)).toEqual({ kept: [], failed: [], removed: [], served: [] });
  });

  test("without a switch is exit code 3", async () => {
    const { stderr, exitCode } = await ringyard("down", "--control", join(directory(), "none.sock"));
    expect(stderr).toStartWith("ringyard: no switch is running at ");
    expect(exitCode).toBe(3);
  });

  test("says so when the switch is killed meanwhile", async () => {
    const { control, process } = await start({ FAKE_HANG: "close" });
    const down = ringyard("down", "--control", control);
    await process.says("stopping");
    await process.stop("SIGKILL");
    expect(await down).toEqual({
      stdout: "",
      stderr:
        `ringyard: the switch ended before it was done (${control}: the switch closed the connection): ` +
        "ringyard down --remove takes away what is left, ringyard up goes on with it\n",
      exitCode: 1,
    });
  });

  test("and one SIGTERM are one end, a second SIGTERM ends the switch at once", async () => {
    const { control, process } = await start({ FAKE_HANG: "close" });
    const down = ringyard("down", "--control", control);
    await process.says("stopping");
    process.child.kill("SIGTERM");
    // Refused: so the switch still answers, and the first signal has been and gone.
    expect((await ringyard("port", "list", "--control", control)).stderr).toContain("shutting down");
    expect(await process.stop("SIGTERM")).toBe(1);
    expect((await down).exitCode).toBe(1);
  });

  // With VDUSE, here would be a real device to lose; test/vm has that case.
  const vduse = existsSync("/dev/vduse/control");
  if (vduse) console.log("down --remove is skipped: it would remove VDUSE devices that a switch left on this machine");
  test.skipIf(vduse)("--remove takes away all, with a switch or without", async () => {
    const { control, process } = await start();
    await ringyard("attach", "web", "--vm", "--control", control);
    expect(await ringyard("down", "--remove", "--control", control)).toEqual(done(""));
    expect(await process.child.exited).toBe(0);
    expect(await ringyard("down", "--remove", "--control", control)).toEqual(done(""));
  });
});
