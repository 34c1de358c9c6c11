// DPDK's own vhost ports, forwarded by testpmd in `mac` mode: no learning, no rules, two ports that know each other. The
// least that a switch in C can do.

import { join } from "node:path";
import { confine } from "../quota.ts";
import type { Undo } from "../undo.ts";
import { CLIENT_MACS, type Running, removeDpdkFiles, type System, scratchFolder, socketsListening } from "./system.ts";

let serial = 0;

async function start(quota: number, undo: Undo): Promise<Running> {
  const folder = scratchFolder(undo);
  const sockets = [join(folder, "0"), join(folder, "1")] as const;
  const prefix = `peer${process.pid}-${serial++}`;
  const eal = ["--lcores", "0@0,1@0", "-m", "512", "--no-pci", `--file-prefix=${prefix}`];
  const devices = sockets.map((socket, port) => `--vdev=net_vhost${port},iface=${socket},queues=1`);
  const app = ["-i", "--auto-start", "--nb-cores=1", "--forward-mode=mac", "--total-num-mbufs=16384"];
  const peers = CLIENT_MACS.map((mac, port) => `--eth-peer=${port},${mac}`);
  undo.defer(() => removeDpdkFiles(prefix));
  const program = undo.spawn(["dpdk-testpmd", ...eal, ...devices, "--", ...app, ...peers]);
  await socketsListening(sockets, () => program.output);
  confine(program.pid, quota, undo);
  return {
    sockets,
    pid: program.pid,
    async stop() {
      program.write("stop\nquit\n");
      await program.stop();
    },
  };
}

export const testpmd: System = { name: "testpmd", writesSource: true, start };
