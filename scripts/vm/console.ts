// What a kernel's messages mean. A panic before anything of ours ran is the emulator's: it loses a race with the kernel's patching of
// its own code in one boot of 25 or so. So is one in the virtualisation of its processor (`EmulatorsFault`), and so is taken to be a guest inside
// that stands still on its KVM, or is reset without a word. Any other trouble in them is a finding.
// Pure.

/** Lines by which a kernel says that something is wrong with it. */
const TROUBLE =
  /Kernel panic|\bBUG:|kernel BUG at|\bOops\b|WARNING: |general protection fault|Unable to handle|UBSAN:|KASAN:|refcount_t:|DMAR: .*fault|blocked for more than|unregister_netdevice: waiting/i;

/** Noise of a slow emulated machine, not of the kernel: processors that had to wait for the host's. And what means nothing. */
const NOISE = [
  /soft lockup/,
  /workqueue lockup/,
  /rcu.*(stall|kthread starved)/i,
  /clocksource/,
  /hrtimer: interrupt took/,
  /NOHZ tick-stop error/,
  /Spectre|Speculative|mitigation/i,
  // The kernel's Intel drivers have options for 32 devices in a boot (e1000e/param.c), and count each that is bound again.
  /no configuration for board #/,
];

/** What the kernel says of some causes before it says "Oops". */
const OPENING = /^BUG: (TASK stack guard page|unable to handle|kernel NULL pointer)|^kernel BUG at/;

/** Where a module's code was on the stack; a name behind a question mark may be there since long. */
const FRAME = /^\[[^\]]*\]\s+(?:RIP: \w+:)?[\w.]+\+0x\w+\/0x\w+ \[(\w+)\]/gm;

/** Lines that a kernel complains in, without the time stamps; the first `limit` of them. */
export function complaints(messages: string, limit = 20): string[] {
  return messages
    .split("\n")
    .map((line) => line.replace(/^(<\d+>)?\[[^\]]*\]\s*/, "").trim())
    .filter((line) => TROUBLE.test(line) && !NOISE.some((noise) => noise.test(line)))
    .slice(0, limit);
}

/**
 * How the emulator spoilt a file's run.
 *
 * patching         a processor met the breakpoint that the kernel puts where it is about to patch its own code, which it had taken away
 *                  again by then (seen in one boot of 25, and hours later, where a first packet socket is opened)
 * virtualisation   the kernel died while it ran a guest inside: a processor took the interrupt by which another one calls it back from
 *                  the guest in the middle of KVM's switch, where it takes none and has the guest's GS
 * standstill       a guest inside does nothing any more, not even what has nothing to do with its network. QEMU keeps the vector of an
 *                  interrupt that it injected at VMRUN as an exception that is still to come (SVM_EVTINJ_TYPE_INTR in its svm_helper.c), and
 *                  where its processor is stopped for another reason just then, the guest takes it once more, interrupts disabled or not
 * reset            a guest inside is reset, its kernel having said nothing: the processor gave up in it. Seen while it was given memory, once in
 *                  50 times with QEMU's own network, where nothing of ours has a part in it
 *
 * The two before that came in one run of eight of the files with guests inside (QEMU 7.2; with 11 guests stand still, too). The file runs again with
 * its guests emulated by their own QEMU, without KVM: slow, but nothing of that is in its way, and that run alone decides.
 */
export interface EmulatorsFault {
  readonly kind: "patching" | "virtualisation" | LostGuest;
  /** What the kernel said first, or the test. */
  readonly line: string;
}

/** What becomes of guests inside. */
export type LostGuest = "standstill" | "reset";

/** The runs that a file has whose machine met code that was being patched. */
const PATCHING_ATTEMPTS = 3;

const LOST_GUESTS: Readonly<Record<LostGuest, string>> = {
  standstill: "stands still",
  reset: "was reset without a word",
};
const FAILED_TEST = /^(\(fail\)|✗) /m;

/** Of a machine that ended: whether it is the emulator's fault, and which. */
export function emulatorsFault(console: string): EmulatorsFault | undefined {
  const said = complaints(console, Number.POSITIVE_INFINITY);
  if (console.includes("Oops: int3")) return { kind: "patching", line: said[0] };
  return diedInGuest(console, said) ? { kind: "virtualisation", line: said[0] } : undefined;
}

/**
 * Whether the process in which the kernel died is the one that runs a guest inside, and that was the first that the kernel had to say. Code of
 * other modules than KVM's in the trace, such as vhost-vdpa's, which ringyard is at the other end of, is no emulator's fault.
 */
function diedInGuest(console: string, said: readonly string[]): boolean {
  const opening = OPENING.test(said[0] ?? "") ? said[1] : said[0];
  if (opening === undefined || !/^(Oops|Kernel panic)\b/.test(opening)) return false;
  const report = console.slice(console.indexOf(opening));
  const process = /\bComm: (\S+)/.exec(report)?.[1] ?? "";
  const modules = [...report.matchAll(FRAME)].map(([, module]) => module);
  return (
    report.includes("Kernel panic") &&
    process.startsWith("qemu-system") &&
    modules.every((module) => module === "kvm" || module === "kvm_amd")
  );
}

/** What a test says of a guest on the KVM inside that is lost: test/support/qemu/guest.ts. `when` is one line. */
export function lostGuest(guest: string, kind: LostGuest, when: string): string {
  return `guest ${guest} ${LOST_GUESTS[kind]}: ${when}`;
}

/** Of a file's output: whether what failed first is a guest inside that was lost. */
export function lostInside(output: string): EmulatorsFault | undefined {
  const plain = Bun.stripANSI(output);
  const failure = plain.search(FAILED_TEST);
  if (failure < 0) return undefined;
  for (const kind of Object.keys(LOST_GUESTS) as LostGuest[]) {
    const line = new RegExp(`^.*\\bguest \\S+ ${LOST_GUESTS[kind]}: .*$`, "m").exec(plain.slice(0, failure))?.[0];
    if (line !== undefined) return { kind, line };
  }
  return undefined;
}

/** A file's run that the emulator may have spoilt. */
export interface LostRun {
  readonly fault: EmulatorsFault | undefined;
  /** What the file printed. */
  readonly output: string;
  /** Whether the machine's kernel complained, and lives: that is a finding, whatever else there was. */
  readonly complained: boolean;
  /** Which one of that file it was: the first is 1. */
  readonly attempt: number;
  /** Whether the file says that it runs guests inside, and whether these did without KVM this time. */
  readonly nested: boolean;
  readonly emulated: boolean;
}

/**
 * Whether the file runs again, in a new machine: not where one of its tests had failed before, but for a guest that was lost. Where its
 * guests had no KVM, nothing of virtualisation can have failed, and a guest that does not answer, or is reset, is a finding.
 */
export function runsAgain({ fault, output, complained, attempt, nested, emulated }: LostRun): boolean {
  if (fault === undefined || complained) return false;
  const virtualised = nested && !emulated;
  const failed = FAILED_TEST.test(Bun.stripANSI(output)) && !(virtualised && lostInside(output) !== undefined);
  if (failed) return false;
  return fault.kind === "patching" ? attempt < PATCHING_ATTEMPTS : virtualised;
}

/** How a boot failed: what the console says, and whether QEMU was still there when the time was over. */
export type BootFailure = "panicked" | "stood still" | "was ended";

export function bootFailure(console: string, running: boolean): BootFailure {
  if (console.includes("Kernel panic")) return "panicked";
  return running ? "stood still" : "was ended";
}

/** Whether to boot once more. A QEMU that ended without a panic does not work here: it would end again. */
export function bootsAgain(failure: BootFailure, attempt: number, attempts: number): boolean {
  return failure !== "was ended" && attempt < attempts;
}
