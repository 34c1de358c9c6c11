// The pure parts of a virtual machine: what is asked of QEMU and of the guest's shell, what comes back in one stream, what a
// kernel's messages mean.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import {
  bootFailure,
  bootsAgain,
  complaints,
  type EmulatorsFault,
  emulatorsFault,
  type LostRun,
  lostGuest,
  lostInside,
  runsAgain,
} from "../../scripts/vm/console.ts";
import { MarkedStream } from "../../scripts/vm/marked-stream.ts";
import { machineKind, readNeeds, runsOn, together } from "../../scripts/vm/needs.ts";
import { parse } from "../../scripts/vm/options.ts";
import { DEFAULT_OPTIONS, qemuCommand } from "../../scripts/vm/qemu.ts";
import { guestEnvironment, script } from "../../scripts/vm/script.ts";
import { testKernels } from "../../scripts/vm/tests.ts";
import { threadWaitingForUs, waitsForUs } from "../support/qemu/waits.ts";

/** A file's first run, with guests inside on the machine's KVM. */
const FIRST = { complained: false, attempt: 1, nested: true, emulated: false };

describe("the command line", () => {
  const quiet = (argv: string[]) =>
    parse(argv, (command) => command.exitOverride().configureOutput({ writeErr: () => {} }));

  test("options of ours come before the command, whose own are left alone", () => {
    const { options, command } = quiet(["--kernel", "sid", "--iommu", "ls", "--kernel", "-la"]);
    expect(options).toMatchObject({ kernel: "sid", iommu: true, memory: DEFAULT_OPTIONS.memory, timeout: 600 });
    expect(command).toEqual(["ls", "--kernel", "-la"]);
  });

  test("one word is a text for a shell", () => {
    expect(quiet(["echo a; echo b"]).command).toBe("echo a; echo b");
  });

  test("words for QEMU are handed on in their order", () => {
    const { options } = quiet(["--qemu-arg", "-device", "--qemu-arg", "e1000e", "true"]);
    expect(options.qemuArg).toEqual(["-device", "e1000e"]);
    const image = { kernel: "k", initramfs: "i", folder: "f", results: "r" };
    expect(qemuCommand({ ...DEFAULT_OPTIONS, qemuArgs: options.qemuArg }, image).slice(-2)).toEqual(options.qemuArg);
  });

  test("what is not known or no number is refused", () => {
    expect(() => quiet(["--kernel", "5.4", "true"])).toThrow("5.4");
    expect(() => quiet(["--memory", "much", "true"])).toThrow("a whole number");
    expect(() => quiet([])).toThrow("missing required argument");
    expect(() => testKernels("6.12,5.4")).toThrow("no kernel 5.4");
    expect(testKernels("sid")).toEqual(["sid"]);
    expect(testKernels("")).toEqual(["6.12", "sid", "build"]);
  });

  test("hugepages must fit into the memory", () => {
    const image = { kernel: "k", initramfs: "i", folder: "f", results: "r" };
    expect(() => qemuCommand({ ...DEFAULT_OPTIONS, hugepages: 1300 }, image)).toThrow("1300 hugepages in 3072 MiB");
  });

  test("an IOMMU is there when it is asked for, before the devices behind it", () => {
    const image = { kernel: "k", initramfs: "i", folder: "f", results: "r" };
    expect(qemuCommand(DEFAULT_OPTIONS, image).join(" ")).not.toContain("iommu");
    const command = qemuCommand({ ...DEFAULT_OPTIONS, iommu: true }, image).join(" ");
    expect(command).toMatch(/q35,kernel-irqchip=split .*-device intel-iommu,.*-device virtio.* intel_iommu=on/);
  });
});

describe("the command inside", () => {
  const run = (command: readonly string[] | string, env = {}) =>
    Bun.spawnSync(["sh", "-c", script(command, "/", env)]).stdout.toString();

  test("gets its words and its variables as they are", () => {
    const word = 'it\'s "a" $HOME `x` \\ \n end';
    expect(run(["printf", "%s|", word, ""])).toBe(`${word}||`);
    expect(run('printf %s "$WORD"', { WORD: word })).toBe(word);
    expect(run("pwd")).toBe("/\n");
  });

  test("sees of the environment what means something to it", () => {
    const outside = { CI: "true", RINGYARD_TEST_SCALE: "full", SECRET: "x", HOME: "/h", RINGYARD_UNSET: undefined };
    const inside = guestEnvironment(outside, "/tree", "sid");
    expect(inside).toMatchObject({ CI: "true", RINGYARD_TEST_SCALE: "full", RINGYARD_VM: "sid", HOME: "/tmp/home" });
    expect(inside.PATH).toStartWith("/tree/node_modules/.bin:");
    expect(Object.keys(inside)).not.toContain("SECRET");
    expect(Object.keys(inside)).not.toContain("RINGYARD_UNSET");
  });
});

describe("a stream with marks", () => {
  /** Pushes all in pieces of the sizes given, in turn; returns what came before the mark, and whether that was found. */
  function passed(text: string, mark: string, sizes: readonly number[]): { got: string; pieces: number } {
    const stream = new MarkedStream();
    let got = "";
    let pieces = 0;
    void stream.until(mark, (bytes) => {
      got += Buffer.from(bytes).toString("latin1");
      pieces++;
    });
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const size = sizes[turn % sizes.length];
      stream.push(bytes.subarray(at, at + size));
      at += size;
    }
    return { got, pieces };
  }

  test("hands on all bytes before the mark and none after it, however they are cut", () => {
    // Few letters, so that beginnings of the mark are everywhere.
    const word = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 30 });
    const mark = "abacab!";
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(word, word, sizes, (before, after, cut) => {
        expect(passed(`${before}${mark}${after}`, mark, cut).got).toBe(before);
      }),
    );
  });

  test("hands on at once what cannot be the mark's beginning", () => {
    expect(passed("no newline yet", "0123", [100]).got).toBe("no newline yet");
    expect(passed("so far 012", "0123", [100]).got).toBe("so far ");
  });

  test("ends once for each mark, and forgets what comes between commands", async () => {
    const stream = new MarkedStream();
    const first: string[] = [];
    const ended = stream.until("M1", (bytes) => first.push(`${Buffer.from(bytes)}`));
    stream.push(Buffer.from("oneM1left behind"));
    await ended;
    stream.push(Buffer.from("noise"));
    const second: string[] = [];
    const again = stream.until("M2", (bytes) => second.push(`${Buffer.from(bytes)}`));
    stream.push(Buffer.from("twoM2"));
    await again;
    expect([first.join(""), second.join("")]).toEqual(["one", "two"]);
  });
});

describe("a kernel's messages", () => {
  test("complaints are told from noise", () => {
    const messages = [
      "[    0.000000] Linux version 6.12",
      "[   12.345678] WARNING: CPU: 1 PID: 300 at drivers/vdpa/vdpa_user/vduse_dev.c:900 vduse_dev_release+0x1/0x2",
      "[   12.4] BUG: kernel NULL pointer dereference, address: 0000000000000000",
      "[   13.0] Oops: Oops: 0000 [#1] PREEMPT SMP",
      "[   14.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
      "[   15.0] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
      "[   16.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks",
      "<4>[   17.0] INFO: task ringyard:12 blocked for more than 120 seconds.",
    ];
    expect(complaints(messages.join("\n")).map((line) => line.slice(0, 12))).toEqual([
      "WARNING: CPU",
      "BUG: kernel ",
      "Oops: Oops: ",
      "INFO: task r",
    ]);
    expect(complaints(messages.join("\n"), 1)).toHaveLength(1);
  });

  test("a boot is tried again after a panic or a standstill, not for ever, and not where QEMU ends by itself", () => {
    const panic = "[    0.3] Oops: int3\n[    0.3] Kernel panic - not syncing: Fatal exception in interrupt";
    expect(bootFailure(panic, false)).toBe("panicked");
    expect(bootFailure("[    0.3] Oops: int3", true)).toBe("stood still");
    expect(bootFailure("qemu-system-x86_64: -device: unknown", false)).toBe("was ended");
    expect(bootsAgain("panicked", 1, 3)).toBe(true);
    expect(bootsAgain("stood still", 2, 3)).toBe(true);
    expect(bootsAgain("panicked", 3, 3)).toBe(false);
    expect(bootsAgain("was ended", 1, 3)).toBe(false);
  });
});

describe("the death of a machine", () => {
  /** As the console had it when it happened, shortened: of the second one the rest never came. */
  const noise =
    "[  137.1] kvm: kvm [449]: vcpu0, guest rIP: 0xffffffff81073744 Unhandled WRMSR(0xc0010007) = 0xffff\r\n";
  const report = (what: string, comm: string) =>
    `${what}\r\n[   58.2] CPU: 0 UID: 0 PID: 452 Comm: ${comm} Not tainted 6.12.117+deb12-amd64 #1  Debian 6.12.117-1\r\n`;
  const overflow =
    "[   58.2] BUG: TASK stack guard page was hit at 00000000290ff5f8\r\n[   58.2] Oops: stack guard page: 0000 [#1]";
  const inEntry = "[   58.2] RIP: 0010:error_entry+0x10/0x170\r\n";
  const inKvm =
    "[ 58.2] RIP: 0010:__svm_vcpu_run+0xa0/0x220 [kvm_amd]\r\n[ 58.2]  ? vring_interrupt+0x1/0x2 [virtio_ring]\r\n";
  const panic = "[  188.8] Kernel panic - not syncing: corrupted stack end detected inside scheduler\r\n";
  const inGuest = report(overflow, "qemu-system-x86");
  const kind = (console: string) => emulatorsFault(console)?.kind;

  test("is the emulator's fault in the process that runs a guest inside", () => {
    expect(emulatorsFault(noise + inGuest + inEntry + panic)).toEqual({
      kind: "virtualisation",
      line: "BUG: TASK stack guard page was hit at 00000000290ff5f8",
    });
    expect(kind(noise + inGuest + inEntry + inKvm + panic)).toBe("virtualisation");
    expect(kind(report("[ 9.1] Kernel panic - not syncing: Fatal exception", "qemu-system-x86"))).toBe(
      "virtualisation",
    );
  });

  test("is a finding in any other process, and where the guest's was not the first to fail", () => {
    expect(kind(report(overflow, "bun") + inEntry + panic)).toBeUndefined();
    expect(kind(report(overflow, "bun") + inGuest + inKvm + panic)).toBeUndefined();
    expect(kind(report("[ 3.1] WARNING: CPU: 1 PID: 300 at vduse_dev.c:900", "bun") + inGuest + panic)).toBeUndefined();
    const faults = "[ 3.1] DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0x1000\r\n";
    expect(kind(faults + inGuest + inEntry + panic)).toBeUndefined();
    expect(kind(report("[ 3.1] BUG: Bad page state in process bun", "bun") + inGuest + panic)).toBeUndefined();
  });

  test("is a finding where another module than KVM's was at work, or the kernel lived on", () => {
    const inVdpa = "[   58.2]  vhost_vdpa_unlocked_ioctl+0x3e/0x400 [vhost_vdpa]\r\n";
    expect(kind(inGuest + inEntry + inVdpa + panic)).toBeUndefined();
    expect(kind(`${inGuest}[ 58.2] RIP: 0010:vduse_vdpa_reset+0x1c/0x30 [vduse]\r\n${panic}`)).toBeUndefined();
    expect(kind(inGuest + inEntry)).toBeUndefined();
    expect(kind(noise)).toBeUndefined();
    expect(kind("")).toBeUndefined();
  });

  test("is the emulator's fault, whatever ran, where the kernel patched its own code", () => {
    expect(kind(`${report("[ 9.3] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", "kcompactd0")}${panic}`)).toBe("patching");
    expect(kind(`${report("[ 9.3] Oops: general protection fault", "kcompactd0")}${panic}`)).toBeUndefined();
  });

  test("lets a file run once more that says it runs guests inside, and no other", () => {
    const fault = emulatorsFault(inGuest + inEntry + panic);
    const patching: EmulatorsFault = { kind: "patching", line: "" };
    const first: LostRun = { ...FIRST, fault, output: "(pass) one [3ms]\n" };
    expect(runsAgain(first)).toBe(true);
    expect(runsAgain({ ...first, attempt: 2 })).toBe(true);
    expect(runsAgain({ ...first, emulated: true })).toBe(false);
    expect(runsAgain({ ...first, nested: false })).toBe(false);
    expect(runsAgain({ ...first, fault: undefined })).toBe(false);
    expect(runsAgain({ ...first, fault: patching, attempt: 2, nested: false })).toBe(true);
    expect(runsAgain({ ...first, fault: patching, attempt: 2, emulated: true })).toBe(true);
    expect(runsAgain({ ...first, fault: patching, attempt: 3 })).toBe(false);
  });

  test("hides no test that had failed before", () => {
    const fault = emulatorsFault(inGuest + inEntry + panic);
    for (const output of ["(fail) two [2ms]\n", "\x1b[0m\x1b[31m✗\x1b[0m\x1b[1m two\x1b[0m [2ms]\n"]) {
      expect(runsAgain({ ...FIRST, fault, output: `(pass) one\n${output}` })).toBe(false);
    }
  });
});

describe("a guest inside that stands still", () => {
  const still = `error: ${lostGuest("vm1", "standstill", 'waited 120000 ms for the end of "cat answer"')}`;
  const failed = "(fail) two [2ms]\n";
  const run = (output: string) => ({ ...FIRST, fault: lostInside(output), output });

  test("lets its file run once more, and no file without guests inside", () => {
    const first = run(`(pass) one\n${still}\n${failed}error: port vm1 has no carrier\n${failed}`);
    expect(first.fault).toEqual({ kind: "standstill", line: still });
    expect(runsAgain(first)).toBe(true);
    expect(runsAgain({ ...first, emulated: true })).toBe(false);
    expect(runsAgain({ ...first, nested: false })).toBe(false);
  });

  test("or is reset does so", () => {
    const reset = `error: ${lostGuest("vm1", "reset", 'before the end of "cat answer"')}`;
    const first = run(`(pass) one\n${reset}\n${failed}`);
    expect(first.fault).toEqual({ kind: "reset", line: reset });
    expect(runsAgain(first)).toBe(true);
    expect(runsAgain({ ...first, emulated: true })).toBe(false);
    expect(runsAgain(run(`${failed}${reset}\n${failed}`))).toBe(false);
  });

  test("hides no complaint of the machine's kernel", () => {
    const first = run(`${still}\n${failed}x: the kernel complained:\n  DMAR: DRHD: handling fault\n`);
    expect(runsAgain(first)).toBe(true);
    expect(runsAgain({ ...first, complained: true })).toBe(false);
  });

  test("is none where its QEMU waits for ringyard", () => {
    const waits = (lines: string[]) => waitsForUs(lines.map((line) => `[<0>] ${line}\n`).join(""));
    const [message, ioctl] = [
      "vduse_dev_msg_sync+0x1a5/0x2d0 [vduse]",
      "vhost_vdpa_unlocked_ioctl+0x5a/0xd70 [vhost_vdpa]",
    ];
    expect(waits(["schedule+0x27/0xf0", message, ioctl])).toBe(`[<0>] ${message}`);
    expect(waits(["schedule+0x27/0xf0", "unix_stream_connect+0x317/0x6f0"])).toContain("unix_stream_connect");
    expect(waits(["do_sys_poll+0x4ba/0x5e0", "__x64_sys_ppoll+0xe9/0x130"])).toBeUndefined();
    expect(waits(["kvm_vcpu_block+0x45/0xc0 [kvm]", "kvm_vcpu_ioctl+0x135/0x690 [kvm]"])).toBeUndefined();
    expect(threadWaitingForUs(process.pid)).toBeUndefined();
    expect(threadWaitingForUs(2 ** 30)).toBeUndefined();
  });

  test("hides no test that failed for another reason before", () => {
    const other = "error: expect(received).toBe(expected)";
    expect(runsAgain(run(`${other}\n${failed}${still}\n${failed}`))).toBe(false);
    expect(runsAgain(run(`${other}\n${failed}`))).toBe(false);
    expect(runsAgain(run(`${still}\n(pass) one\n`))).toBe(false);
    expect(runsAgain(run(`${still.replace("guest", "port")}\n${failed}`))).toBe(false);
  });

  test("may have the machine's kernel die behind it", () => {
    const fault: EmulatorsFault = { kind: "virtualisation", line: "" };
    expect(runsAgain({ ...run(`${still}\n${failed}`), fault })).toBe(true);
    expect(runsAgain({ ...run(`${still}\n${failed}`), fault, nested: false })).toBe(false);
    expect(runsAgain({ ...run(`${still}\n${failed}`), fault: undefined })).toBe(false);
  });
});

describe("the needs of a test file", () => {
  test("are read from its comments", () => {
    const text =
      "// A test.\n// VM: hugepages 256\n// VM: prepare test/support/a.ts\n// VM: kernels sid, 6.12\nimport 1;";
    expect(readNeeds(text, "x")).toEqual({ hugepages: 256, kernels: ["sid", "6.12"], prepare: ["test/support/a.ts"] });
    expect(() => readNeeds("// VM: hugepages many\n", "x.test.ts")).toThrow('x.test.ts: "// VM: hugepages many"');
    expect(() => readNeeds("// VM: iommus\n", "x")).toThrow("is no need");
    expect(readNeeds("// VM: nested\n", "x")).toEqual({ nested: true, prepare: [] });
    expect(() => readNeeds("// VM: nested 1\n", "x")).toThrow("is no need");
  });

  test("say on which kernels it runs", () => {
    const on = (text: string, full: boolean) =>
      ["6.12", "sid", "build"].filter((kernel) => runsOn(kernel, readNeeds(text, "x"), full)).join();
    expect(on("", false)).toBe("6.12,sid");
    expect(on("// VM: kernels build\n", true)).toBe("build");
    expect(on("// VM: kernels 6.12\n// VM: also sid, build\n", false)).toBe("6.12");
    expect(on("// VM: kernels 6.12\n// VM: also sid, build\n", true)).toBe("6.12,sid,build");
  });

  test("name the guests that the file runs inside", () => {
    const root = join(import.meta.dir, "../..");
    for (const file of new Bun.Glob("test/vm/**/*.test.ts").scanSync({ cwd: root })) {
      const text = readFileSync(join(root, file), "utf8");
      expect(`${file} ${readNeeds(text, file).nested}`).toBe(`${file} ${text.includes("/qemu/guest.ts") || undefined}`);
    }
  });

  test("of several files become one machine's", () => {
    const all = [
      { hugepages: 5, prepare: ["a"] },
      { prepare: ["b", "a"], iommu: true },
      { hugepages: 9, nested: true, prepare: [] },
    ];
    expect(together(all)).toEqual({ hugepages: 9, iommu: true, prepare: ["a", "b"] });
    expect(together([])).toEqual({ prepare: [] });
  });

  test("that are no other file's get it a machine of its own", () => {
    const kind = (text: string) => machineKind(readNeeds(text, "x"));
    expect(kind("// VM: hugepages 9\n")).toBe(kind(""));
    const kinds = ["", "// VM: nics\n", "// VM: qemu backports\n", "// VM: processors 2\n"].map(kind);
    expect(new Set(kinds).size).toBe(kinds.length);
  });
});
