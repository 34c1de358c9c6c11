// `npm run vm -- [OPTIONS] COMMAND…`: one command in a virtual machine, its output as it comes, its exit code.
//
//   npm run vm -- uname -a
//   npm run vm -- --kernel sid bun test ./test/vm/some.test.ts
//   npm run vm -- 'ip netns add a && ip netns'
//
// Ends with 70 where the machine could not be had or ended early, or where the command succeeded and the kernel complained;
// then the console is kept, and its path said. Nothing but the command's output goes to stdout.

import { errorLine } from "../../src/core/errors.ts";
import { bootVm, closeOnSignals, type Vm } from "./machine.ts";
import { parse } from "./options.ts";

const EX_SOFTWARE = 70;

function say(line: string): void {
  console.error(`vm: ${line}`);
}

async function runInside(vm: Vm, command: readonly string[] | string, seconds: number): Promise<number> {
  const { code, timedOut } = await vm.run(command, {
    seconds,
    stdout: (bytes) => process.stdout.write(bytes),
    stderr: (bytes) => process.stderr.write(bytes),
  });
  if (timedOut) say(`the command took more than ${seconds} s and was ended (--timeout)`);
  const complaints = await vm.complaints();
  if (complaints.length === 0) return code;
  say(`the kernel complained:\n  ${complaints.join("\n  ")}\nconsole: ${await vm.keepConsole(complaints[0])}`);
  return code === 0 ? EX_SOFTWARE : code;
}

async function main(argv: readonly string[]): Promise<number> {
  const { options, command } = parse(argv);
  let vm: Vm | undefined;
  closeOnSignals();
  try {
    vm = await bootVm({ ...options, qemuArgs: options.qemuArg, say });
    return await runInside(vm, command, options.timeout);
  } catch (error) {
    say(errorLine(error));
    return EX_SOFTWARE;
  } finally {
    await vm?.close();
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
