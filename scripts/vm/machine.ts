// A virtual machine with a kernel of its own and the host's root, read-only: boot once, run commands, shut down.
//
//   const vm = await bootVm({ kernel: "sid" });
//   try { const { code } = await vm.run(["bun", "test", "./x.test.ts"], { seconds: 60 }); } finally { await vm.close(); }
//
// A machine has a folder of its own under the host's temporary one, with QEMU's sockets, the console and `results`, which the
// guest can write to (RESULTS there). close() removes it; keepConsole() saves the console. QEMU dies with this process.
//
// It cannot hang: a command has a limit, which the guest enforces, and after a grace the host by ending the machine.

import { existsSync, openSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RingyardError } from "../../src/core/errors.ts";
import { PROGRAM_PATH } from "../packages.ts";
import { beforeSignalsEnd } from "../signals.ts";
import { cacheRoot } from "./cache.ts";
import { bootFailure, bootsAgain, complaints, type EmulatorsFault, emulatorsFault } from "./console.ts";
import { vmInitramfs } from "./initramfs.ts";
import { DEFAULT_KERNEL, findKernel, type Kernel } from "./kernels.ts";
import { keepText, sweepFolders } from "./leftovers.ts";
import type { Sink } from "./marked-stream.ts";
import { wireSocket } from "./nics.ts";
import { Ports } from "./ports.ts";
import { DEFAULT_OPTIONS, type MachineOptions, qemuCommand } from "./qemu.ts";
import { findQemu, type Qemu } from "./qemus.ts";
import { guestEnvironment, script } from "./script.ts";

const ROOT = join(import.meta.dir, "../..");
/** A boot takes 4 to 6 s on an idle machine of two cores. */
const BOOT_LIMIT_MS = 120_000;
const BOOT_ATTEMPTS = 4;
/** What a command gets beyond its own limit, which the guest enforces, before the machine is ended. */
const GRACE_MS = 20_000;
const SHOWN_LENGTH = 4_000;
/** Where the guest finds the folder `results` of the host. */
export const RESULTS = "/run/vm/results";

export interface VmOptions extends Partial<MachineOptions> {
  kernel?: string;
  /** By how much it gives way to other work of the host's: nice(1). */
  nice?: number;
  /** Told what takes time. Default: stderr. */
  say?: (line: string) => void;
}

export interface RunOptions {
  /** The command is ended after so many seconds, with all that it started. */
  seconds: number;
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** What the command started and left behind: killed with it, or kept for the next one. */
  leftovers?: "kill" | "keep";
  stdout?: Sink;
  stderr?: Sink;
}

export interface RunResult {
  /** The command's; 124 or 137 where it took longer than its limit. */
  code: number;
  timedOut: boolean;
}

/** The machine is no more: it panicked, or hung and was ended. Its console is kept. */
export class VmGone extends Error {
  constructor(
    message: string,
    /** The path of its console. */
    readonly console: string,
    /** Set where the emulator is to blame, and a new machine may do. */
    readonly fault: EmulatorsFault | undefined,
  ) {
    super(message);
  }
}

/** Programs that the host must have. */
export function missingPrograms(): string[] {
  const needed = ["qemu-system-x86_64", "busybox", "cpio", "xz", "setpriv"];
  return needed.filter((program) => Bun.which(program, { PATH: PROGRAM_PATH }) === null);
}

/** Finds the kernel, boots it, and again where the emulator makes it panic before it is there. */
export async function bootVm(options: VmOptions = {}): Promise<Vm> {
  const say = options.say ?? ((line: string) => console.error(`vm: ${line}`));
  const missing = missingPrograms();
  if (missing.length > 0) {
    throw new RingyardError("MISSING", `no virtual machine without ${missing.join(", ")}`, "npm run setup");
  }
  const kernel = await findKernel(options.kernel ?? DEFAULT_KERNEL, say);
  const wanted = { ...DEFAULT_OPTIONS, ...options };
  const qemu = await findQemu(wanted.qemu, say);
  const initramfs = await vmInitramfs(kernel, wanted.nics);
  for (let attempt = 1; ; attempt++) {
    const vm = await Vm.start(kernel, initramfs, qemu, wanted, options.nice);
    if (await vm.ready()) return vm;
    const reason = bootFailure(vm.console(), vm.running);
    const message = `the kernel ${kernel.version} ${reason} before its first command\n${vm.lastWords()}`;
    await vm.keepConsole(`${reason} before its first command`);
    await vm.close();
    if (!bootsAgain(reason, attempt, BOOT_ATTEMPTS)) throw new RingyardError("SYSTEM", message);
    say(`${kernel.version} ${reason} in early boot (attempt ${attempt} of ${BOOT_ATTEMPTS}), booting again`);
  }
}

export class Vm {
  #turn: Promise<unknown> = Promise.resolve();
  #keptConsole: string | undefined;

  /** Use `bootVm`. */
  private constructor(
    readonly kernel: Kernel,
    private readonly folder: string,
    private readonly ports: Ports,
    private readonly process: Bun.Subprocess<"ignore", "ignore", number>,
  ) {
    machines.add(this);
  }

  static async start(kernel: Kernel, initramfs: string, qemu: Qemu, options: MachineOptions, nice = 0): Promise<Vm> {
    sweepFolders(tmpdir());
    const folder = await mkdtemp(join(tmpdir(), `ringyard-vm-${process.pid}-`));
    const results = join(folder, "results");
    const boot = join(results, ".boot");
    await mkdir(boot, { recursive: true });
    await copyFile(join(import.meta.dir, "agent.sh"), join(boot, "agent.sh"));
    await writeFile(join(boot, "settings"), `hugepages=${options.hugepages}\n`);
    const hidden = [ROOT, join(cacheRoot(), "ringyard")].filter((path) => /^\/(tmp|run|var\/tmp)\//.test(path));
    await writeFile(join(boot, "keep"), hidden.map((path) => `${path}\n`).join(""));
    const ports = await Ports.listen(folder);
    const image = { kernel: join(kernel.folder, "vmlinuz"), initramfs, folder, results, qemu };
    // setpriv: QEMU dies with this process even where that is killed and can clean nothing up.
    const prefix = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", `${nice}`];
    const child = Bun.spawn([...prefix, ...qemuCommand(options, image)], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: openSync(join(folder, "qemu.log"), "a"),
      env: { ...process.env, ...qemu.env, PATH: PROGRAM_PATH },
    });
    return new Vm(kernel, folder, ports, child);
  }

  /** On the host: what the guest knows as RESULTS. */
  get results(): string {
    return join(this.folder, "results");
  }

  /** On the host: the other end of the wire of the NIC "outside" (nics.ts), in a machine with NICs. */
  get wire(): string {
    return wireSocket(this.folder);
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** What the kernel printed, and after it what QEMU complained of. */
  console(): string {
    return ["console.log", "qemu.log"].map((name) => readIfThere(join(this.folder, name))).join("");
  }

  lastWords(): string {
    return this.console().slice(-SHOWN_LENGTH);
  }

  /** Whether the agent came up: false when QEMU ended, or nothing was heard in time. */
  async ready(): Promise<boolean> {
    return await this.#unlessGone(this.ports.line("ready"), BOOT_LIMIT_MS);
  }

  /**
   * Runs a command: words as they are, or one text for a shell. Its output goes to the sinks as it comes. Commands of one
   * machine run one after the other. Throws VmGone when the machine ends meanwhile, and ended it is when it does not answer.
   */
  run(command: readonly string[] | string, options: RunOptions): Promise<RunResult> {
    const result = this.#turn.then(() => this.#run(command, options));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** As `run`, for what must succeed: returns what it printed on stdout. */
  async check(command: readonly string[] | string, seconds = 60): Promise<string> {
    const out: Uint8Array[] = [];
    const err: Uint8Array[] = [];
    const sinks = { stdout: (bytes: Uint8Array) => out.push(bytes), stderr: (bytes: Uint8Array) => err.push(bytes) };
    const { code } = await this.run(command, { seconds, ...sinks });
    const output = Buffer.concat(out).toString();
    if (code === 0) return output;
    throw new RingyardError("SYSTEM", `"${command}" ends with ${code}\n${output}${Buffer.concat(err)}`);
  }

  /** What the kernel complained of since the last call. */
  async complaints(): Promise<string[]> {
    return complaints(await this.check("dmesg --read-clear", 30));
  }

  /** Copies the console to the cache, under the reason why; returns its path there. Once for each machine. */
  async keepConsole(reason: string): Promise<string> {
    if (this.#keptConsole === undefined) {
      this.#keptConsole = await keepText(
        `${this.kernel.version}: ${reason}\n${this.console()}`,
        `${this.kernel.name}-${process.pid}`,
      );
    }
    return this.#keptConsole;
  }

  /** Ends the machine and removes its folder. What the guest wrote to `results` must have been read before. */
  async close(): Promise<void> {
    machines.delete(this);
    this.process.kill("SIGKILL");
    await this.process.exited;
    this.ports.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #run(command: readonly string[] | string, options: RunOptions): Promise<RunResult> {
    const { seconds, leftovers = "kill", cwd = ROOT, stdout = () => {}, stderr = () => {} } = options;
    const began = performance.now();
    const env = { ...guestEnvironment(process.env, ROOT, this.kernel.name), ...options.env };
    const answer = this.ports.send({ script: script(command, cwd, env), seconds, leftovers }, stdout, stderr);
    let code = 0;
    const answered = answer.then((given) => {
      code = given;
    });
    if (await this.#unlessGone(answered, seconds * 1000 + GRACE_MS)) {
      return { code, timedOut: (code === 124 || code === 137) && performance.now() - began >= seconds * 1000 };
    }
    const what = !this.running ? "ended" : `did not answer ${GRACE_MS / 1000} s after the limit`;
    this.process.kill("SIGKILL");
    const path = await this.keepConsole(`${what}: ${command}`);
    const message = `the virtual machine (${this.kernel.version}) ${what}; its console: ${path}\n${this.lastWords()}`;
    throw new VmGone(message, path, emulatorsFault(this.console()));
  }

  /** Waits for what the guest will say: true when it came, false when the machine or the time ended before. */
  async #unlessGone(awaited: Promise<unknown>, limitMs: number): Promise<boolean> {
    const timer = Promise.withResolvers<boolean>();
    const timeout = setTimeout(() => timer.resolve(false), limitMs);
    const gone = this.process.exited.then(() => false);
    const came = await Promise.race([awaited.then(() => true), gone, timer.promise]);
    clearTimeout(timeout);
    return came;
  }
}

/** Machines that run. */
const machines = new Set<Vm>();
let trapped = false;

/** A signal that ends this process ends the machines that there are by then, too. To be said once or more often. */
export function closeOnSignals(): void {
  if (trapped) return;
  trapped = true;
  beforeSignalsEnd(async () => {
    for (const vm of machines) await vm.close();
  });
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
