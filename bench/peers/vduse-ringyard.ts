// ringyard as a user starts it, with VDUSE ports, in the poll modes that are compared. `startVduse` also gives what the switch
// counts, for suites that ask what a frame costs.

import { join, resolve } from "node:path";
import type { SwitchStats } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import { OURS } from "../stats.ts";
import type { Undo } from "../undo.ts";
import { scratchFolder } from "./system.ts";
import { type Host, START_LIMIT_MS, type VduseRunning, type VduseSystem, vduseName } from "./vduse-system.ts";

const ROOT = resolve(import.meta.dir, "../..");

export interface VduseSwitch extends VduseRunning {
  stats(): Promise<SwitchStats>;
}

/** `ringyard up` with a port for each host, `query` after each URI, and the ports attached. */
export async function startVduse(
  hosts: readonly Host[],
  poll: "busy" | "adaptive",
  query: string,
  undo: Undo,
): Promise<VduseSwitch> {
  const control = join(scratchFolder(undo), "control.sock");
  const words = hosts.flatMap((_, index) => ["--port", `p${index}=vduse:${vduseName()}${query}`]);
  const command = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts"), "up", ...words];
  const program = undo.spawn([...command, "--cpus", "0", "--poll", poll, "--control", control]);
  await program.says(/\bready\b/, { timeoutMs: START_LIMIT_MS });
  const client = await ControlClient.connect(control);
  undo.defer(() => client.close());
  for (const [index, { inside, ip }] of hosts.entries()) {
    await client.request("port.attach", { name: `p${index}`, to: "netns", netns: inside.name, ip: [`${ip}/24`] });
  }
  return {
    pid: program.pid,
    stats: () => client.request("stats", {}),
    async stop() {
      await client.request("shutdown", { remove: true });
      await program.child.exited;
    },
  };
}

function system(name: string, poll: "busy" | "adaptive", query = ""): VduseSystem {
  return { name, start: (hosts, undo) => startVduse(hosts, poll, query, undo) };
}

export const vduseBusy = system(OURS, "busy");
export const vduseAdaptive = system(`${OURS}-adaptive`, "adaptive");
/** With memory of its own in the place of the kernel's bounce area. */
export const vduseUmem = system(`${OURS}-umem`, "busy", "?umem=on");
