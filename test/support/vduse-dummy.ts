// A VDUSE device that agrees to everything and moves no frame: for tests of what manages devices on the vDPA bus. Messages
// that a switch answers on its control thread are answered there, too, so a test that blocks that thread hangs. Main thread.

import { openDevice, VduseControl } from "../../src/ports/vduse/control.ts";
import { VduseDevice } from "../../src/ports/vduse/device.ts";
import { vduseFeatures } from "../../src/ports/vduse/device-config.ts";
import { Responder } from "../../src/ports/vduse/responder.ts";
import { closeFd } from "../../src/sys/fd.ts";
import { netConfigSpace } from "../../src/virtio/net-config.ts";

export const DUMMY_MAC = "02:00:00:00:00:d0";
const ONE_PAIR = { pairs: 1, controlQueue: false };

export class DummyDevice {
  private constructor(
    readonly name: string,
    private readonly fd: number,
    private readonly responder: Responder,
  ) {}

  /** Makes it, not on the bus yet; `setUp` false leaves its queues unannounced. */
  static make(name: string, setUp = true): DummyDevice {
    const control = VduseControl.open();
    try {
      const config = netConfigSpace({ mac: DUMMY_MAC, pairs: 1, linkUp: true });
      const made = control.create({ name, features: vduseFeatures({}, ONE_PAIR), queues: 2, config });
      if (made !== "made") throw new Error(`device ${name}: ${made}`);
      const fd = openDevice(name);
      const device = new VduseDevice(fd, control.apiVersion);
      for (let queue = 0; setUp && queue < 2; queue++) device.setupQueue(queue, 256);
      const responder = Responder.acquire();
      responder.add(fd, {
        onRequest: (request, answered) => {
          const queue = request.type === "get-vq-state" ? request.queue : undefined;
          if (!answered)
            responder.answer(fd, request.id, true, queue, queue === undefined ? undefined : { availIndex: 0 });
        },
        onBroken: () => undefined,
      });
      return new DummyDevice(name, fd, responder);
    } finally {
      control.close();
    }
  }

  /** Ends it; it is off the bus. */
  async destroy(): Promise<void> {
    await this.responder.remove(this.fd);
    closeFd(this.fd);
    await this.responder.release();
    const control = VduseControl.open();
    try {
      const ended = control.destroy(this.name);
      if (ended === "busy") throw new Error(`device ${this.name} is still on the bus`);
    } finally {
      control.close();
    }
  }
}
