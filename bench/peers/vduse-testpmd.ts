// DPDK's own VDUSE back end (24.11, from a folder of Debian trixie), two devices joined by testpmd in `io` mode: no learning, no rules,
// a frame of one device goes to the other unseen. It polls. What puts its devices on the bus is iproute2's `vdpa`.

import { existsSync, readdirSync } from "node:fs";
import { insideRoot, trixieRoot } from "../../scripts/vm/trixie.ts";
import { run } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";
import { DPDK_PACKAGES } from "./trixie-dpdk.ts";
import { type Host, START_LIMIT_MS, type VduseRunning, type VduseSystem, vduseName } from "./vduse-system.ts";

const PROMPT = "testpmd> ";

/** The network device that virtio_vdpa has made of a device on the bus. */
function netdevOf(name: string): string | undefined {
  const glob = new Bun.Glob("virtio*/net");
  const [found] = [...glob.scanSync({ cwd: `/sys/bus/vdpa/devices/${name}`, onlyFiles: false, followSymlinks: false })];
  return found === undefined ? undefined : readdirSync(`/sys/bus/vdpa/devices/${name}/${found}`)[0];
}

async function attach(name: string, { inside, ip }: Host, context: () => string): Promise<void> {
  await run(["vdpa", "dev", "add", "name", name, "mgmtdev", "vduse"]);
  const netdev = await until(`a network device of ${name}`, () => netdevOf(name), { context });
  await run(["ip", "link", "set", netdev, "netns", inside.name, "name", "eth0"]);
  await inside.configure("eth0", `${ip}/24`);
}

async function start(hosts: readonly Host[], undo: Undo): Promise<VduseRunning> {
  const root = await trixieRoot(DPDK_PACKAGES);
  const names = hosts.map(vduseName);
  const eal = ["--lcores", "0@0,1@0", "-m", "256", "--no-pci"];
  const devices = names.map((name, index) => `--vdev=net_vhost${index},iface=/dev/vduse/${name}`);
  const app = ["-i", "--auto-start", "--nb-cores=1", "--forward-mode=io"];
  const program = undo.spawn(insideRoot(root, ["dpdk-testpmd", ...eal, ...devices, "--", ...app]));
  await program.says(PROMPT, { timeoutMs: START_LIMIT_MS });
  await until("its devices", () => names.every((name) => existsSync(`/dev/vduse/${name}`)));
  const added: string[] = [];
  const remove = async () => {
    // While testpmd answers; its devices go with it.
    for (const name of added.splice(0)) await run(["vdpa", "dev", "del", name]);
  };
  undo.defer(remove);
  for (const [index, name] of names.entries()) {
    added.push(name);
    await attach(name, hosts[index], () => program.output);
  }
  return {
    pid: program.pid,
    async stop() {
      await remove();
      program.write("stop\nquit\n");
      await program.child.exited;
    },
  };
}

export const vduseTestpmd: VduseSystem = { name: "testpmd", start };
