// What a kernel's messages mean. A panic before anything of ours ran is the emulator's: it loses a race with the kernel's patching of
// its own code in one boot of 25 or so. Any other trouble in them is a finding.
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

/** Lines that a kernel complains in, without the time stamps; the first `limit` of them. */
export function complaints(messages: string, limit = 20): string[] {
  return messages
    .split("\n")
    .map((line) => line.replace(/^(<\d+>)?\[[^\]]*\]\s*/, "").trim())
    .filter((line) => TROUBLE.test(line) && !NOISE.some((noise) => noise.test(line)))
    .slice(0, limit);
}

/**
 * Whether a panic is the emulator's: a processor met the breakpoint that the kernel puts where it is about to patch its own code,
 * which it had taken away again by then (seen in one boot of 25, and hours later, where a first packet socket is opened); or an
 * interrupt came in the middle of KVM's own switch to or from a guest inside, where a processor takes none (seen once).
 */
export function isEmulatorsFault(console: string): boolean {
  if (console.includes("Oops: int3")) return true;
  return console.includes("Oops: stack guard page") && /^.*\bRIP: \S*:__svm_vcpu_run\b/m.test(console);
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
