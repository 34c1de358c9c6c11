// OVS's userspace datapath with TAP devices (internal ports of a netdev bridge are such), without DPDK: its database, sockets and logs are
// in a folder of their own; an Open vSwitch that already runs on the machine is not touched.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import { scratchFolder } from "./system.ts";
import { deviceName, moveIn, type TapSystem } from "./tap-system.ts";

const VSWITCHD = "ovs-vswitchd";
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

export const ovsUserspace: TapSystem = {
  name: "ovs-userspace",
  async connect(hosts, undo) {
    const folder = scratchFolder(undo);
    const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
    const socket = join(folder, "db.sock");
    const vsctl = async (...args: string[]) => {
      await run(["ovs-vsctl", `--db=unix:${socket}`, "--timeout=30", ...args], { env });
    };
    const bridge = deviceName();
    for (const device of [bridge, "ovs-netdev"]) {
      if (existsSync(`/sys/class/net/${device}`)) continue;
      undo.defer(() => Bun.spawnSync(["ip", "link", "del", device], { stderr: "ignore" }));
    }
    await run(["ovsdb-tool", "create", join(folder, "conf.db"), SCHEMA], { env });
    const database = undo.spawn(["ovsdb-server", join(folder, "conf.db"), `--remote=punix:${socket}`], env);
    await until("ovsdb-server", () => existsSync(socket), { context: () => database.output });
    await vsctl("--no-wait", "init");
    const vswitchd = undo.spawn([VSWITCHD, `unix:${socket}`], env);
    await vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev");
    for (const { inside } of hosts) {
      const port = deviceName();
      await vsctl("add-port", bridge, port, "--", "set", "Interface", port, "type=internal");
      await until(`device ${port}`, () => existsSync(`/sys/class/net/${port}`), { context: () => vswitchd.output });
      await moveIn(port, inside);
    }
  },
};
