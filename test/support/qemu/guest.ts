// A small Linux guest under QEMU, with one virtio-net device: on a vhost-user socket, or what `ringyard attach --vm` says.
//
//   ttyS0 -> QEMU's stdout   the kernel's console; with QEMU's own complaints it is shown when something fails
//   ttyS1 <-> commands.ts    commands of the test, answered by init.sh
//   eth0  <-> the switch     QEMU connects (and reconnects), or listens where mode is "server"; or the device of `attached`
//   QMP   <-> qmp.ts         where `slots` asks for memory that can be added later
//
// Under software emulation, but inside the virtual machine of `npm run vm`: that one emulates a processor with virtualisation,
// and a guest on its KVM is emulated once, not twice. RINGYARD_GUESTS=tcg does without: the runner sets it where KVM there has failed.
//
// The emulator loses a race with the kernel's patching of its own code in one boot of 25 or so, and the kernel panics before
// init runs. `panic=-1` makes it reboot at once: panics before init's ready line are forgiven up to a limit, one after
// it is an error. Commands of one guest run one after another; guests run beside each other.

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { complaints, type LostGuest, lostGuest } from "../../../scripts/vm/console.ts";
import { useCleanup } from "../cleanup.ts";
import { type Background, useProcesses } from "../process.ts";
import { InVain, PATIENCE, until } from "../until.ts";
import { CommandChannel, type CommandResult } from "./commands.ts";
import type { GuestImage } from "./image.ts";
import { keepKvmInUse } from "./kvm.ts";
import { qmp } from "./qmp.ts";
import { threadWaitingForUs } from "./waits.ts";

/** Boots take 3 to 6 s on an idle machine of two cores; the limit leaves room for a busy one and for panics. */
const BOOT_LIMIT_MS = 60_000;
const EARLY_PANICS_FORGIVEN = 3;
/** What a guest gets beyond a command's own limit, which its `timeout` enforces, before it counts as hung. Times PATIENCE, as all limits here. */
const GRACE_MS = 10_000;
/** As much of the console as an error shows. */
const SHOWN_LENGTH = 3_000;
const MEMORY_MB = 256;
const IN_MACHINE = process.env.RINGYARD_VM !== undefined;
const ACCELERATOR = IN_MACHINE && process.env.RINGYARD_GUESTS !== "tcg" && existsSync("/dev/kvm") ? "kvm" : "tcg";
/** Guests are emulated inside an emulated machine: many times slower than on its KVM. */
export const TWICE_EMULATED = IN_MACHINE && ACCELERATOR === "tcg";

export interface GuestOptions {
  name: string;
  /** The vhost-user socket of the port; or else `attached`. */
  socket?: string;
  /** The arguments that `ringyard attach --vm` printed. */
  attached?: readonly string[];
  /** With `socket`: of the device. */
  mac?: string;
  /** With its prefix length: `10.0.0.1/24`. */
  ip: string;
  /** Who connects: QEMU (default), or the switch. Either way QEMU waits for the first connection before it boots. */
  mode?: "client" | "server";
  /** Queue pairs; the guest gets as many processors, for its driver uses no more pairs than that. */
  queues?: number;
  memoryMb?: number;
  /** Memory modules that can be added while it runs, of `memoryMb` each: `addMemory`. */
  slots?: number;
  /** Further properties of virtio-net-pci: `csum=off,guest_csum=off`. */
  device?: string;
  /** Shown beside the console when something fails: the switch's log. */
  evidence?: () => string;
}

export class Guest {
  #panics = 0;
  /** Complaints of its kernel before it was ready: of panics that were forgiven. */
  #saidBefore = 0;
  /** Boots that were asked for: one that was not has lost all that the guest was doing. */
  #boots = 1;
  #modules = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** On an emulated machine's KVM, how the guest was lost: nothing will be answered any more (console.ts), or nothing that was under way. */
  #lost: InVain | undefined;

  /** Use `useGuests`. */
  constructor(
    readonly options: Readonly<GuestOptions>,
    private readonly qemu: Background,
    private readonly commands: CommandChannel,
    private readonly qmp: string,
  ) {}

  get name(): string {
    return this.options.name;
  }

  /** The address without its prefix length. */
  get ip(): string {
    return this.options.ip.split("/")[0];
  }

  /** What the kernel and QEMU printed. */
  console(): string {
    return this.qemu.output;
  }

  /**
   * Runs a shell command in the guest. What it leaves in the background must redirect its output. A command that takes
   * longer than the limit (times PATIENCE) is killed in the guest.
   */
  run(command: string, limitMs = 10_000): Promise<CommandResult> {
    const result = this.#turn.then(() => {
      if (this.#lost !== undefined) throw this.#lost;
      const answer = this.commands.send(command, limitMs * PATIENCE);
      return this.#wait(`the end of "${command}"`, limitMs + GRACE_MS, 0, answer);
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Runs a command that must succeed; returns its output. */
  async check(command: string, limitMs?: number): Promise<string> {
    const { code, output } = await this.run(command, limitMs);
    if (code !== 0) throw this.#error(`says that "${command}" ends with ${code}: ${output}`);
    return output;
  }

  /** Resets the machine from inside, without a shutdown, and waits until it answers again. QEMU stays. */
  async reboot(): Promise<void> {
    await this.#turn;
    this.#boots++;
    this.commands.send("reboot -f", GRACE_MS);
    await this.ready();
  }

  /** Plugs a memory module in while the guest runs, of as much as it began with, and lets its kernel use it. */
  async addMemory(): Promise<void> {
    const { memoryMb = MEMORY_MB } = this.options;
    const id = `module${this.#modules++}`;
    const size = memoryMb * 2 ** 20;
    await qmp(this.qmp, [
      { execute: "object-add", arguments: { "qom-type": "memory-backend-memfd", id, size, share: true } },
      { execute: "device_add", arguments: { driver: "pc-dimm", id: `${id}-dimm`, memdev: id } },
    ]);
    const expected = size * (this.#modules + 1);
    const online =
      "for block in /sys/devices/system/memory/memory*/state; do echo online >$block; done 2>/dev/null; free -b";
    const there = async () => Number(/Mem:\s+(\d+)/.exec((await this.run(online)).output)?.[1]) > expected * 0.7;
    await until(`${this.name} to use ${id}`, there, { everyMs: 200, context: () => this.shown() });
  }

  /** Ends QEMU; the switch sees its socket close. */
  async kill(): Promise<void> {
    await this.qemu.stop("SIGKILL");
  }

  /** Waits for init's ready line. */
  async ready(): Promise<void> {
    const ready = () => this.commands.boots >= this.#boots;
    await this.#wait("its ready line", BOOT_LIMIT_MS, EARLY_PANICS_FORGIVEN, ready);
    this.#panics = this.#panicCount();
    this.#saidBefore = this.#complaintCount();
  }

  /** Asks `probe`; fails at once, with the console, when QEMU ends or the kernel panics more often than is forgiven. */
  async #wait<T>(what: string, limitMs: number, forgiven: number, probe: () => T | undefined) {
    const trouble = () => {
      const { exitCode, signalCode } = this.qemu.child;
      if (!this.qemu.running) return this.#end(`is gone: QEMU ended (${signalCode ?? exitCode}) before ${what}`);
      if (this.#panicCount() > this.#panics + forgiven) return this.#end(`is gone: kernel panic before ${what}`);
      if (this.commands.boots > this.#boots) return this.#reset(`before ${what}`);
      return undefined;
    };
    const found = await until(what, () => probe() || trouble(), { timeoutMs: limitMs }).catch((error: Error) => {
      throw this.#silence(error.message);
    });
    if (found instanceof Error) throw found;
    return found;
  }

  /**
   * The error of a guest that did not answer in time. On an emulated machine's KVM it is a standstill, which the emulator has to answer for, and
   * nothing else will be answered; but not where QEMU waits for ringyard.
   */
  #silence(how: string): Error {
    const waiting = threadWaitingForUs(this.qemu.pid);
    if (waiting !== undefined) return this.#error(`does not answer, and QEMU waits in the kernel: ${waiting}: ${how}`);
    if (ACCELERATOR !== "kvm") return this.#error(`does not answer: ${how}`);
    return this.#lose("standstill", how);
  }

  /**
   * The error of a guest that booted and was not asked to. It is the emulator's only where that was seen to be: on an emulated machine's KVM, of a
   * guest that was given memory, whose kernel said nothing.
   */
  #reset(when: string): Error {
    const isSilent = this.#complaintCount() === this.#saidBefore;
    if (ACCELERATOR === "kvm" && this.#modules > 0 && isSilent) return this.#lose("reset", when);
    return this.#end(`started again by itself ${when}`);
  }

  #lose(kind: LostGuest, when: string): InVain {
    this.#lost = new InVain(`${lostGuest(this.name, kind, when)}\n${this.shown()}`);
    return this.#lost;
  }

  #complaintCount(): number {
    return complaints(this.console(), Number.POSITIVE_INFINITY).length;
  }

  #panicCount(): number {
    return this.console().split("Kernel panic").length - 1;
  }

  #error(message: string): Error {
    return new Error(`guest ${this.name} ${message}\n${this.shown()}`);
  }

  /** Of a guest that is no more, or no more what it was. */
  #end(message: string): InVain {
    return new InVain(this.#error(message).message);
  }

  /** For an error's text: the end of the console, and of the evidence. */
  shown(): string {
    const evidence = this.options.evidence?.().slice(-SHOWN_LENGTH) ?? "";
    return `--- console of ${this.name}\n${this.console().slice(-SHOWN_LENGTH)}\n--- evidence\n${evidence}`;
  }
}

export type BootGuest = (image: GuestImage, options: GuestOptions) => Promise<Guest>;

/** Who boots guests: starts their programs, and cleans up after them. */
export interface GuestKeeper {
  spawn(argv: string[]): Background;
  defer(undo: () => unknown): void;
}

let booted = 0;

/** Boots a guest, which is its keeper's to end. */
export async function bootGuest(image: GuestImage, options: GuestOptions, keeper: GuestKeeper): Promise<Guest> {
  const path = join(tmpdir(), `ringyard-guest-${process.pid}-${options.name}-${++booted}.sock`);
  keeper.defer(() => rm(path, { force: true }));
  const commands = await CommandChannel.listen(path);
  keeper.defer(() => commands.close());
  // QEMU dies with this process even where that is killed and can clean nothing up.
  const qmpSocket = `${path}.qmp`;
  keeper.defer(() => rm(qmpSocket, { force: true }));
  const qemu = keeper.spawn(["setpriv", "--pdeathsig", "KILL", ...qemuCommand(options, image, path, qmpSocket)]);
  keeper.defer(() => qemu.stop("SIGKILL"));
  const guest = new Guest(options, qemu, commands, qmpSocket);
  await guest.ready();
  return guest;
}

/** Returns `bootGuest`: guests that it boots are killed with the surrounding file or describe block. */
export function useGuests(): BootGuest {
  const spawn = useProcesses();
  const defer = useCleanup();
  // Now, while nothing else runs.
  if (ACCELERATOR === "kvm") keepKvmInUse();
  return (image, options) => bootGuest(image, options, { spawn, defer });
}

function qemuCommand(options: GuestOptions, image: GuestImage, commandSocket: string, qmpSocket: string): string[] {
  const { queues = 1, memoryMb = MEMORY_MB, slots = 0 } = options;
  const kernel = [
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check random.trust_cpu=on",
    `guest_name=${options.name} guest_ip=${options.ip}`,
  ];
  const later = slots === 0 ? "" : `,slots=${slots},maxmem=${memoryMb * (slots + 1)}M`;
  return [
    "qemu-system-x86_64",
    ...["-accel", ACCELERATOR, "-cpu", "max", "-smp", `${queues}`, "-m", `${memoryMb}M${later}`],
    ...["-machine", "q35", "-nodefaults", "-display", "none"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-chardev", `socket,id=commands,path=${commandSocket}`, "-serial", "chardev:commands"],
    ...(slots === 0 ? [] : ["-qmp", `unix:${qmpSocket},server=on,wait=off`]),
    ...(options.attached?.map((word) => word.replace("SIZE", `${memoryMb}M`)) ?? vhostUser(options, queues, memoryMb)),
    ...["-kernel", image.kernel, "-initrd", image.initramfs, "-append", kernel.join(" ")],
  ];
}

function vhostUser(options: GuestOptions, queues: number, memoryMb: number): string[] {
  const port = `socket,id=port,path=${options.socket},${options.mode === "server" ? "server=on,wait=off" : "reconnect=1"}`;
  // vectors=0: QEMU 7.2 hands MSI-X vectors of a vhost-user device to KVM, and crashes where there is none.
  const device = [`virtio-net-pci,netdev=net,mac=${options.mac},vectors=0`];
  if (queues > 1) device.push("mq=on");
  if (options.device !== undefined) device.push(options.device);
  return [
    // The switch maps the guest's memory, so it must be a file that both can see. Pages appear as the guest touches them.
    ...["-object", `memory-backend-memfd,id=memory,size=${memoryMb}M,share=on`, "-machine", "memory-backend=memory"],
    ...["-chardev", port, "-netdev", `vhost-user,id=net,chardev=port,queues=${queues}`],
    ...["-device", device.join(",")],
  ];
}
