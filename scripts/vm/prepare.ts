// Fills the cache before the first virtual machine of the tests boots: kernels, QEMUs, and what their files want prepared, in the order
// in which they are missed. A program, so that scripts/test.ts can have it run beside the tests that need no machine.
//
//   bun scripts/vm/prepare.ts test/vm/FILE…        RINGYARD_VM_KERNELS and RINGYARD_TEST_SCALE as for the tests
//
// On a fresh machine it fetches for minutes and builds a kernel for more; then it has nothing to do. What cannot be had is said here, and
// once more by the test that misses it.

import { join } from "node:path";
import { errorLine } from "../../src/core/errors.ts";
import { findKernel } from "./kernels.ts";
import { findQemu } from "./qemus.ts";
import { testKernels, wantedOn } from "./tests.ts";

const ROOT = join(import.meta.dir, "../..");

function say(line: string): void {
  console.error(`vm: ${line}`);
}

async function attempt(what: () => Promise<unknown>): Promise<void> {
  try {
    await what();
  } catch (error) {
    say(errorLine(error));
  }
}

async function runProgram(program: string): Promise<void> {
  const child = Bun.spawn([process.execPath, program], { cwd: ROOT, stdin: "ignore", stdout: "inherit" });
  if ((await child.exited) !== 0) say(`${program} ended with ${child.exitCode}`);
}

async function prepare(files: readonly string[]): Promise<void> {
  const done = new Set<string>();
  const once = async (what: string, action: () => Promise<unknown>) => {
    if (done.has(what)) return;
    done.add(what);
    await attempt(action);
  };
  for (const kernel of testKernels()) {
    const wanted = await wantedOn(kernel, files);
    if (wanted.length > 0) await once(kernel, () => findKernel(kernel, say));
    for (const { needs } of wanted) {
      for (const program of needs.prepare) await once(program, () => runProgram(program));
    }
    for (const { needs } of wanted) {
      const { qemu } = needs;
      if (qemu !== undefined) await once(qemu, () => findQemu(qemu, say));
    }
  }
}

if (import.meta.main) await prepare(process.argv.slice(2));
