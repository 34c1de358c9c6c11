// `npm run demo`: the switch between two containers, on the best kind of port that this machine has: TAP devices in two
// network namespaces, or, without root or TUN, memory ports with the built-in driver. Prints what happened, removes all
// that it made, also on Ctrl-C, and exits with 0.

import { kinds } from "../src/control/wiring.ts";
import { errorLine } from "../src/core/errors.ts";
import { memoryDemo } from "./demo/memory.ts";
import { namespaceDemo, reasonAgainstNamespaces } from "./demo/namespaces.ts";
import { Undo } from "./demo/undo.ts";
import { setUp } from "./setup.ts";

async function main(undo: Undo): Promise<void> {
  const startedMs = performance.now();
  const reason = await reasonAgainstTap();
  if (reason === undefined) await namespaceDemo(undo);
  else {
    console.log(`no containers here: ${reason}; so the two ends are in this process\n`);
    await memoryDemo(undo);
  }
  await undo.all();
  console.log(`\ndone in ${((performance.now() - startedMs) / 1000).toFixed(1)} s, and everything removed`);
}

/** Why the demo cannot run on TAP ports, or undefined. */
async function reasonAgainstTap(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "only root may make network devices";
  const { available, reason } = kinds.tap.probe();
  if (!available) return reason ?? "no TAP devices";
  await setUp("demo");
  return reasonAgainstNamespaces();
}

const undo = new Undo();
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, () => void undo.all().finally(() => process.exit(code)));
}
try {
  await main(undo);
  process.exit(0);
} catch (error) {
  // After Ctrl-C things fail because they are being taken away; the signal's handler exits.
  if (!undo.begun) {
    console.error(`demo: ${errorLine(error)}`);
    await undo.all();
    process.exit(1);
  }
}
