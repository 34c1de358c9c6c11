// The kernel asks and ringyard answers late: no harm, where msg_timeout is 0, as ringyard sets it (the rig of these tests does
// not); where it is not, the kernel gives the device up for good, and attaching the port makes another.
//
// VM: kernels 6.12
// VM: also sid

import { afterEach, expect, test } from "bun:test";
import { frame, mac } from "../support/frames.ts";
import type { VdpaGuest } from "../support/vhost-vdpa-guest.ts";
import { requireVhostVdpa, useVdpaRig } from "../support/vhost-vdpa-rig.ts";

const LIMIT_MS = 180_000;
const [A, B] = [mac(1), mac(2)];

const suite = requireVhostVdpa();

suite("a switch that does not answer", () => {
  // Before the drivers are closed, which waits for it.
  afterEach(() => {
    process.kill(rig.ringyard.pid, "SIGCONT");
  });
  const rig = useVdpaRig({ a: "", b: "" });

  async function passes(from: VdpaGuest, to: VdpaGuest): Promise<void> {
    from.send(frame(B, A, 70));
    expect(await rig.receive(to)).toEqual(frame(B, A, 70));
    to.send(frame(A, B, 71));
    expect(await rig.receive(from)).toEqual(frame(A, B, 71));
  }

  test(
    "for a while is waited for: msg_timeout is for ever",
    async () => {
      const b = await rig.started("b");
      const a = await rig.started("a");
      const { pid } = rig.ringyard;
      rig.setMessageTimeout("a", 0);
      process.kill(pid, "SIGSTOP");
      // Goes on when this process waits in the kernel (state D).
      const ours = `/proc/${process.pid}/task/${process.pid}/status`;
      const helper = Bun.spawn(["sh", "-c", `until grep -q '^State:.D' ${ours}; do :; done; kill -CONT ${pid}`]);
      a.stop();
      expect(await helper.exited).toBe(0);
      a.start();
      await rig.state("a", "running");
      await passes(a, b);
      expect((await rig.show("a")).errors).toEqual({});
    },
    LIMIT_MS,
  );

  test(
    "for too long loses its device: the port says so, the others go on, and attach makes it anew",
    async () => {
      const b = await rig.started("b");
      const a = await rig.started("a");
      await passes(a, b);
      rig.setMessageTimeout("a", 1);
      process.kill(rig.ringyard.pid, "SIGSTOP");
      // Waits in the kernel for as long as msg_timeout says; what it is told then is not the point here.
      try {
        a.stop();
      } catch {}
      process.kill(rig.ringyard.pid, "SIGCONT");
      await rig.state("a", "broken");
      await rig.until("it to be said", () => rig.ringyard.output.includes(`given device ${rig.devices.a.name} up`));
      expect((await rig.show("b")).details.deviceState).toBe("running");
      rig.close(a);
      await rig.attach("a");
      rig.setMessageTimeout("a", 30);
      await passes(await rig.started("a"), b);
      expect((await rig.show("a")).details).toMatchObject({ deviceState: "running", attached: "vhost-vdpa" });
    },
    LIMIT_MS,
  );
});
