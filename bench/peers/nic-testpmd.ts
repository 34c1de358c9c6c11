// DPDK's testpmd (24.11, from a folder of Debian trixie) with two NICs, joined in `io` mode: no learning, no rules, a frame of one goes
// to the other unseen. Who takes the NICs from the kernel for it is ringyard.

import { insideRoot, trixieRoot } from "../../scripts/vm/trixie.ts";
import { machineNics } from "../../src/ports/vfio/bind/binder.ts";
import type { NicSystem } from "./nic-system.ts";
import { DPDK_PACKAGES } from "./trixie-dpdk.ts";
import { START_LIMIT_MS } from "./vduse-system.ts";

const PROMPT = "testpmd> ";

export const nicTestpmd: NicSystem = {
  name: "testpmd",
  async start(addresses, undo) {
    const root = await trixieRoot(DPDK_PACKAGES);
    const nics = machineNics();
    const give = undo.defer(async () => {
      for (const address of addresses) await nics.give(address);
    });
    for (const address of addresses) await nics.take(address);
    const eal = ["--lcores", "0@0,1@0", "-m", "256", ...addresses.flatMap((address) => ["-a", address])];
    const app = ["-i", "--auto-start", "--nb-cores=1", "--forward-mode=io"];
    const program = undo.spawn(insideRoot(root, ["dpdk-testpmd", ...eal, "--", ...app]));
    await program.says(PROMPT, { timeoutMs: START_LIMIT_MS });
    return async () => {
      program.write("stop\nquit\n");
      await program.child.exited;
      await give();
    };
  },
};
