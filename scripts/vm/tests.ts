// The kernel tests, test/vm/**: each file a `bun test` process inside a virtual machine, one after the other, in one boot for each
// kernel and kind of machine (needs.ts).
// A file that takes the machine with it, or does not end in time, costs itself only: the others get a new boot. One whose run the emulator
// spoilt (console.ts) runs again in a new one.
// Read by scripts/test.ts, which counts.

import { join } from "node:path";
import { errorLine, RingyardError } from "../../src/core/errors.ts";
import { type EmulatorsFault, lostInside, runsAgain } from "./console.ts";
import { KERNEL_NAMES } from "./kernels.ts";
import { bootVm, closeOnSignals, type Vm, VmGone } from "./machine.ts";
import { machineKind, type Needs, readNeeds, runsOn, together } from "./needs.ts";

const ROOT = join(import.meta.dir, "../..");
export const IN_VM = "test/vm/";
/** Of a test that sets none of its own: the emulated machine is 10 to 20 times slower than its host. */
const TEST_LIMIT_MS = 60_000;
/** What a machine may lack to run the tests; every other failure to boot is one. */
const LACKING: ReadonlySet<string> = new Set(["MISSING", "UNREACHABLE", "PERMISSION"]);
/**
 * Processors of a machine whose files name no number: an emulated one waits for another (to flush its tables, to let a lock go) with its host's
 * time, half of what starting a program takes; but only two run what runs at the same time elsewhere.
 */
const USUAL_PROCESSORS = { small: 1, full: 2 };
const FULL = process.env.RINGYARD_TEST_SCALE === "full";
/** By hand, guests inside do without the machine's KVM from the first run on (test/support/qemu/guest.ts). */
const GUESTS_EMULATED = process.env.RINGYARD_GUESTS === "tcg";
/** How many times the limit a file has then: the longest takes ten minutes alone, seventeen beside another. */
const EMULATED_TIMES = 3;

export interface FileResult {
  file: string;
  output: string;
  exitCode: number;
  /** Set where the file could not run: nothing is known of it. */
  skipped?: string;
  /** Set where the emulator spoilt the run: how. The file runs again, and this counts for nothing. */
  lost?: string;
}

/** RINGYARD_VM_KERNELS=6.12,sid limits the kernels that the tests run on. */
export function testKernels(setting = process.env.RINGYARD_VM_KERNELS): readonly string[] {
  if (setting === undefined || setting === "") return KERNEL_NAMES;
  const names = setting.split(",");
  const unknown = names.filter((name) => !KERNEL_NAMES.includes(name));
  if (unknown.length === 0) return names;
  const known = `known are ${KERNEL_NAMES.join(", ")}`;
  throw new RingyardError("BAD_OPTION", `RINGYARD_VM_KERNELS: no kernel ${unknown.join(", ")}`, known);
}

export interface RunSettings {
  /** What one file may take. */
  seconds: number;
  /** By how much the machines give way to other work of the host's. */
  nice: number;
  /** Whether output is shown as it comes, or each file's when it has ended: where others print, too. */
  live: boolean;
}

export interface WantedFile {
  file: string;
  needs: Needs;
}

/** Those of the files that want this kernel, and what else they need. */
export async function wantedOn(kernel: string, files: readonly string[]): Promise<WantedFile[]> {
  const read = async (file: string) => ({ file, needs: readNeeds(await Bun.file(join(ROOT, file)).text(), file) });
  const all = await Promise.all(files.map(read));
  for (const { file, needs } of all) {
    const unknown = [...(needs.kernels ?? []), ...(needs.also ?? [])].find((name) => !KERNEL_NAMES.includes(name));
    if (unknown !== undefined) throw new RingyardError("BAD_OPTION", `${file}: no kernel "${unknown}"`);
  }
  return all.filter(({ needs }) => runsOn(kernel, needs, FULL));
}

/** The files that want this kernel, in groups that share a machine. */
export async function machineGroups(kernel: string, files: readonly string[]): Promise<WantedFile[][]> {
  return [...Map.groupBy(await wantedOn(kernel, files), ({ needs }) => machineKind(needs)).values()];
}

/** Runs a group on its kernel: one result that counts for each file. */
export async function* testGroup(
  kernel: string,
  group: readonly WantedFile[],
  settings: RunSettings,
): AsyncGenerator<FileResult> {
  for await (const result of testAlike(kernel, group, settings)) {
    if (!settings.live) process.stderr.write(`\n${kernel}: ${result.file}\n${result.output}`);
    yield result;
  }
}

/** Files that may share a machine: in one boot, and another one after each that takes the machine with it. */
async function* testAlike(
  kernel: string,
  files: readonly WantedFile[],
  settings: RunSettings,
): AsyncGenerator<FileResult> {
  const { prepare: _, ...needed } = together(files.map(({ needs }) => needs));
  const machine = { processors: USUAL_PROCESSORS[FULL ? "full" : "small"], ...needed };
  let vm: Vm | undefined;
  let unavailable: string | undefined;
  let failure: string | undefined;
  closeOnSignals();
  try {
    const waiting = files.map(({ file, needs }) => ({ file, needs, attempt: 1, emulated: GUESTS_EMULATED }));
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { file, needs, attempt, emulated } = next;
      if (unavailable === undefined && vm === undefined) {
        vm = await bootVm({ kernel, nice: settings.nice, ...machine }).catch((error) => {
          if (!(error instanceof RingyardError && LACKING.has(error.code))) failure = errorLine(error);
          unavailable = errorLine(error);
          return undefined;
        });
      }
      if (vm === undefined && failure !== undefined) {
        if (settings.live) console.error(`${file} on ${kernel}: ${failure}`);
        yield { file, output: `${failure}\n`, exitCode: 70 };
        continue;
      }
      if (vm === undefined) {
        yield { file, output: "", exitCode: 1, skipped: unavailable };
        continue;
      }
      if (settings.live) console.error(`\n${kernel}: ${file}`);
      const nested = needs.nested === true;
      const { result, usable, complained, gone } = await testFile(vm, file, settings, emulated);
      const fault = gone === undefined ? lostInside(result.output) : gone.fault;
      const again = runsAgain({ fault, output: result.output, complained, attempt, nested, emulated });
      const lost = again
        ? reason(fault!, gone?.console ?? (await vm.keepConsole(`${file}: ${fault!.line}`)))
        : undefined;
      if (!usable || again) {
        await vm.close();
        vm = undefined;
      }
      if (again) {
        waiting.unshift({ file, needs, attempt: attempt + 1, emulated: emulated || fault!.kind !== "patching" });
      }
      yield lost === undefined ? result : { ...result, lost };
    }
  } finally {
    await vm?.close();
  }
}

const FAULTS: Readonly<Record<EmulatorsFault["kind"], string>> = {
  patching: "met code that its kernel was patching",
  virtualisation: "failed to virtualise: its kernel died in the process (qemu-system) of a guest inside",
  standstill: "failed to virtualise: a guest inside does nothing any more",
  reset: "failed to virtualise: a guest inside was reset",
};

/** Why a file runs again. */
function reason({ kind, line }: EmulatorsFault, console_: string): string {
  const how = kind === "patching" ? "" : "; without KVM now";
  return `the emulated processor ${FAULTS[kind]}: "${line}"; the console: ${console_}${how}`;
}

interface FileRun {
  result: FileResult;
  /** Whether the machine is good for another file. */
  usable: boolean;
  /** Whether its kernel said that something is wrong with it. */
  complained: boolean;
  /** Set where the machine is no more. */
  gone?: VmGone;
}

async function testFile(vm: Vm, file: string, { seconds, live }: RunSettings, emulated: boolean): Promise<FileRun> {
  let output = "";
  const sink = (stream: NodeJS.WriteStream) => {
    const decoder = new TextDecoder();
    return (bytes: Uint8Array) => {
      if (live) stream.write(bytes);
      output += decoder.decode(bytes, { stream: true });
    };
  };
  const sinks = { stdout: sink(process.stdout), stderr: sink(process.stderr) };
  const say = (line: string) => {
    if (live) console.error(line);
    output += `${line}\n`;
  };
  const env: Record<string, string> = {
    ...(emulated ? { RINGYARD_GUESTS: "tcg" } : {}),
    ...(process.stderr.isTTY ? { FORCE_COLOR: "1" } : {}),
  };
  try {
    const argv = [process.execPath, "test", "--no-orphans", "--timeout", `${TEST_LIMIT_MS}`, `./${file}`];
    const limit = emulated ? EMULATED_TIMES * seconds : seconds;
    const { code, timedOut } = await vm.run(argv, { seconds: limit, env, ...sinks });
    if (timedOut) say(`${file} took more than ${limit / 60} minutes`);
    const complaints = await vm.complaints();
    if (complaints.length > 0) {
      const console_ = await vm.keepConsole(`${file}: ${complaints[0]}`);
      say(`${file}: the kernel complained:\n  ${complaints.join("\n  ")}\nconsole: ${console_}`);
    }
    // A test process that ends with 0 while its kernel does not is a failure that its summary does not tell.
    const exitCode = complaints.length > 0 ? 70 : code;
    const usable = !timedOut && complaints.length === 0;
    return { result: { file, output, exitCode }, usable, complained: complaints.length > 0 };
  } catch (error) {
    // Whatever it was: the others have a machine of their own.
    say(`${file}: ${error instanceof VmGone ? error.message : errorLine(error)}`);
    const gone = error instanceof VmGone ? { gone: error } : {};
    return { result: { file, output, exitCode: 70 }, usable: false, complained: false, ...gone };
  }
}
