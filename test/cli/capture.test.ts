// `ringyard capture` as people run it: a file that tshark reads, a pipe into tcpdump, lines on the screen, and how it ends.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { nthFrame } from "../../src/cli/pcap.ts";
import { useDirectories } from "../support/control.ts";
import { BROADCAST, frame, mac, numbered } from "../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../support/memory-switch.ts";
import { type Background, run, useProcesses } from "../support/process.ts";
import { ringyard } from "../support/ringyard.ts";
import { useServedSwitch } from "../support/served-switch.ts";
import { requirePrograms } from "../support/skip.ts";
import { PATIENCE, until } from "../support/until.ts";

const start = useMemorySwitch();
const serve = useServedSwitch();
const spawn = useProcesses();
const directory = useDirectories();
const MAIN = join(import.meta.dir, "../../src/cli/main.ts");
const COMMAND = `'${process.execPath}' '${MAIN}' capture`;
const LIMIT_MS = 60_000 * PATIENCE;

interface Captured {
  it: MemorySwitch;
  path: string;
  /** A capture that has begun. */
  capture(...words: string[]): Promise<Background>;
}

async function captured(): Promise<Captured> {
  const it = await start({}, "a", "b");
  const { path } = await serve(it.api);
  return {
    ...{ it, path },
    async capture(...words) {
      const capture = spawn(["sh", "-c", `exec ${COMMAND} ${words.join(" ")} --control '${path}'`]);
      await capture.says("Ctrl-C ends it");
      return capture;
    },
  };
}

const tshark = requirePrograms(["tshark", "capinfos", "tcpdump"], "apt install tshark tcpdump");

tshark("into programs", () => {
  test(
    "a file of a port: interface, directions and lengths as tshark reads them",
    async () => {
      const { it, capture } = await captured();
      const file = join(directory(), "a.pcapng");
      const capturing = await capture("a", "-w", file, "--snap", "100");
      it.send("a", frame(BROADCAST, mac(1)));
      await it.receive("b", 1);
      it.send("b", frame(mac(1), mac(2), 1000));
      await it.receive("a", 1);
      expect(await capturing.stop("SIGINT")).toBe(0);
      const fields = ["interface_name", "packet_flags_direction", "len", "cap_len"].flatMap((it) => [
        "-e",
        `frame.${it}`,
      ]);
      const { stdout } = await run(["tshark", "-r", file, "-T", "fields", "-E", "separator=/s", ...fields]);
      const lines = stdout.trim().split("\n");
      expect(lines.map((line) => line.replaceAll("0x0000000", ""))).toEqual(["a 1 64 64", "a 2 1000 100"]);
      const { stdout: info } = await run(["capinfos", file]);
      expect(info).toContain("Number of stat entries = 1");
    },
    LIMIT_MS,
  );

  test(
    "drops have their reason as the packet's comment",
    async () => {
      const { it, capture } = await captured();
      const file = join(directory(), "drops.pcapng");
      const capturing = await capture("drops", "-w", file);
      it.send("a", frame(mac(2), BROADCAST), frame(mac(1), mac(1)), new Uint8Array(10));
      await it.settled();
      expect(await capturing.stop("SIGINT")).toBe(0);
      expect(capturing.output).toContain("2 frames captured, 0 lost; without a frame: runt 1");
      const { stdout } = await run(["tshark", "-r", file, "-T", "fields", "-e", "frame.comment"]);
      expect(stdout.trim().split("\n")).toEqual(["dropped: bad_source", "dropped: own_port"]);
    },
    LIMIT_MS,
  );

  test(
    "a pipe into tcpdump shows frames while they come",
    async () => {
      const { it, path } = await captured();
      const words = `${COMMAND} a --filter 'eth src ${"02:00:00:00:00:01"}' -w - --control '${path}' | tcpdump -lenr -`;
      const piped = spawn(["sh", "-c", words]);
      await piped.says("Ctrl-C ends it");
      it.send("a", frame(BROADCAST, mac(7)), frame(BROADCAST, mac(1)));
      await piped.says("02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff");
      expect(piped.output).not.toContain("02:00:00:00:00:07");
    },
    LIMIT_MS,
  );

  test(
    "it ends with the program behind the pipe",
    async () => {
      const { it, path } = await captured();
      const piped = spawn([
        "bash",
        "-c",
        `${COMMAND} a -w - --control '${path}' | tcpdump -c 1 -nr -; echo "\${PIPESTATUS[@]}"`,
      ]);
      await piped.says("Ctrl-C ends it");
      it.send("a", frame(BROADCAST, mac(1)));
      await piped.says("02:00:00:00:00:01");
      // What is written next finds nobody.
      await until("the capture to end", () => {
        it.trySend("a", frame(BROADCAST, mac(1)));
        return !piped.running;
      });
      await piped.says(/^0 0$/m);
    },
    LIMIT_MS,
  );

  test(
    "a command that is stopped loses frames, and the switch goes on",
    async () => {
      const { it, capture } = await captured();
      const file = join(directory(), "stopped.pcapng");
      const capturing = await capture("a", "--in", "-w", file);
      capturing.child.kill("SIGSTOP");
      const count = 4000;
      for (let sent = 0; sent < count; sent++) {
        const next = numbered(BROADCAST, mac(1), 0, sent, 1514);
        while (!it.trySend("a", next)) await Bun.sleep(0);
      }
      await it.settled();
      capturing.child.kill("SIGCONT");
      await capturing.stop("SIGINT");
      const [, taken, lost] = capturing.output.match(/(\d+) frames captured, (\d+) lost/) ?? [];
      expect(Number(lost)).toBeGreaterThan(0);
      expect(Number(taken) + Number(lost)).toBe(count);
      const { stdout } = await run(["capinfos", "-Tmc", file]);
      expect(stdout).toContain(taken);
    },
    LIMIT_MS,
  );
});

test(
  "a line for each frame, and an end after so many",
  async () => {
    const { it, capture } = await captured();
    const capturing = await capture("a", "--in", "--count", "2");
    it.send("a", ...[1, 2, 3].map((n) => numbered(BROADCAST, mac(n), 0, n)));
    expect(await capturing.child.exited).toBe(0);
    await capturing.says("2 frames captured, 0 lost");
    // The lines come by another pipe than that.
    await capturing.drain();
    expect(capturing.output).toMatch(
      /\d\d:\d\d:\d\d\.\d{6} a in, 64 bytes: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, type/,
    );
    expect(capturing.output).not.toContain("02:00:00:00:00:03 >");
  },
  LIMIT_MS,
);

test(
  "the file is whole when the port goes",
  async () => {
    const { it, capture } = await captured();
    const file = join(directory(), "gone.pcapng");
    const capturing = await capture("a", "-w", file);
    it.send("a", frame(BROADCAST, mac(1)));
    await it.settled();
    await it.api.removePort("a");
    expect(await capturing.child.exited).toBe(0);
    await capturing.says("port a was removed");
    const bytes = await Bun.file(file).bytes();
    const first = nthFrame((at, size) => bytes.subarray(at, at + size), 1, file);
    expect([...first.bytes]).toEqual([...frame(BROADCAST, mac(1))]);
  },
  LIMIT_MS,
);

test(
  "what cannot be is refused with one line, and no file is made",
  async () => {
    const { path } = await captured();
    const file = join(directory(), "none.pcapng");
    const refused = async (...words: string[]) => {
      const { exitCode, stderr } = await ringyard("capture", ...words, "-w", file, "--control", path);
      expect(stderr.trim().split("\n")).toHaveLength(1);
      return [exitCode, stderr];
    };
    expect(await refused("x")).toEqual([1, "ringyard: no port x: `ringyard port list` names them\n"]);
    expect(await refused("drops", "--in")).toEqual([2, "ringyard: --in is for a port: leave it out for drops\n"]);
    expect(await refused("a", "--snap", "0")).toEqual([2, 'ringyard: --snap "0": not a number from 1 to 65557\n']);
    expect((await refused("a", "--filter", "'tcp dport x'"))[0]).toBe(2);
    expect((await refused("rule:7"))[0]).toBe(1);
    expect(existsSync(file)).toBe(false);
  },
  LIMIT_MS,
);
