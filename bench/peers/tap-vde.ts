// vde_switch, the userspace switch of VDE, with a TAP device for each host by vde_plug2tap.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { scratchFolder } from "./system.ts";
import { deviceName, moveIn, type TapSystem } from "./tap-system.ts";

export const vdeSwitch: TapSystem = {
  name: "vde-switch",
  async connect(hosts, undo) {
    const folder = join(scratchFolder(undo), "vde");
    const program = undo.spawn(["vde_switch", "-s", folder]);
    await until("vde_switch", () => existsSync(join(folder, "ctl")), { context: () => program.output });
    for (const { inside } of hosts) {
      const device = deviceName();
      const plug = undo.spawn(["vde_plug2tap", "-s", folder, device]);
      const there = () => existsSync(`/sys/class/net/${device}`);
      await until(`device ${device}`, there, { context: () => plug.output });
      await moveIn(device, inside);
    }
  },
};
