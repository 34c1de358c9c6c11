// OVS-DPDK: one poll-mode thread on CPU 0, a bridge with the NORMAL (learning) action, two dpdkvhostuser ports; or the same with OpenFlow
// flows in front. Its database, sockets and logs are in a folder of their own; an Open vSwitch that already runs on the machine is
// not touched.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import { type MixedRule, openFlowFile } from "../mixed-rules.ts";
import { confine } from "../quota.ts";
import type { Undo } from "../undo.ts";
import { type Running, removeDpdkFiles, type System, scratchFolder, socketsListening } from "./system.ts";

const PORTS = ["p0", "p1"] as const;
const VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
/** Also the name of a TAP device, while it lives. */
const BRIDGE = "ry-bench0";
const DATAPATH_DEVICE = "ovs-netdev";

let serial = 0;

/** Devices that vswitchd leaves behind when it ends; one that was there before is somebody else's. */
function removeDevicesAfterwards(undo: Undo): void {
  for (const device of [BRIDGE, DATAPATH_DEVICE]) {
    if (existsSync(`/sys/class/net/${device}`)) continue;
    undo.defer(() => {
      if (existsSync(`/sys/class/net/${device}`)) Bun.spawnSync(["ip", "link", "del", device]);
    });
  }
}

async function start(quota: number, undo: Undo, rules: readonly MixedRule[] = []): Promise<Running> {
  const folder = scratchFolder(undo);
  const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
  const socket = join(folder, "db.sock");
  const vsctl = async (...args: string[]) => {
    await run(["ovs-vsctl", `--db=unix:${socket}`, "--timeout=90", ...args], { env });
  };
  removeDevicesAfterwards(undo);

  await run(["ovsdb-tool", "create", join(folder, "conf.db"), SCHEMA], { env });
  const database = undo.spawn(["ovsdb-server", join(folder, "conf.db"), `--remote=punix:${socket}`], env);
  await until("ovsdb-server", () => existsSync(socket), { context: () => database.output });
  await vsctl("--no-wait", "init");
  const prefix = `ovs${process.pid}-${serial++}`;
  undo.defer(() => removeDpdkFiles(prefix));
  const settings = ["dpdk-init=true", "dpdk-socket-mem=512", "pmd-cpu-mask=0x1", "dpdk-lcore-mask=0x1"];
  const config = [...settings, `dpdk-extra="--no-pci --file-prefix=${prefix}"`].map(
    (setting) => `other_config:${setting}`,
  );
  await vsctl("--no-wait", "set", "Open_vSwitch", ".", ...config);

  const vswitchd = undo.spawn([VSWITCHD, `unix:${socket}`], env);
  await vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev");
  for (const [index, port] of PORTS.entries()) {
    const settings = ["type=dpdkvhostuser", `ofport_request=${index + 1}`];
    await vsctl("add-port", BRIDGE, port, "--", "set", "Interface", port, ...settings);
  }
  const sockets = [join(folder, PORTS[0]), join(folder, PORTS[1])] as const;
  await socketsListening(sockets, () => vswitchd.output);
  if (rules.length > 0) await replaceFlows(rules, folder, env);
  confine(vswitchd.pid, quota, undo);
  return {
    sockets,
    pid: vswitchd.pid,
    // Only now it takes 760 MB for its frames' buffers, by its main thread, which shares the quota with the one that polls: seconds on a machine
    // whose host has to find that memory first. What comes before is lost.
    connected: () => vsctl(...PORTS.flatMap((port) => ["--", "wait-until", "Interface", port, "link_state=up"])),
    async stop() {
      await vswitchd.stop();
      await database.stop();
    },
  };
}

/** The flows of `rules`, and what they leave to NORMAL, in the place of the one that a bridge begins with. */
async function replaceFlows(rules: readonly MixedRule[], folder: string, env: Record<string, string>): Promise<void> {
  const file = join(folder, "flows.txt");
  const flows = openFlowFile(rules);
  writeFileSync(file, flows);
  const ofctl = async (...words: string[]) => (await run(["ovs-ofctl", "-O", "OpenFlow14", ...words], { env })).stdout;
  await ofctl("--bundle", "replace-flows", BRIDGE, file);
  const wanted = flows.split("\n").length - 1;
  const there = Number(/flow_count=(\d+)/.exec(await ofctl("dump-aggregate", BRIDGE))?.[1]);
  if (there !== wanted) throw new Error(`${there} of ${wanted} flows are in the tables`);
}

export const ovsDpdk: System = { name: "ovs-dpdk", start: (quota, undo) => start(quota, undo) };

/** The same with rules as OpenFlow flows. */
export function ovsDpdkWith(name: string, rules: readonly MixedRule[]): System {
  return { name, start: (quota, undo) => start(quota, undo, rules) };
}
