// A NIC port whose device is in trouble. Device and host are played here; test/vm has real ones.

import { expect, test } from "bun:test";
import { VfioPort } from "../../../src/ports/vfio/port.ts";
import { EIO, SysError } from "../../../src/sys/errno.ts";

const ADDRESS = "0000:03:00.0";

function rig(link: () => unknown) {
  const events: string[] = [];
  const host = {
    log: { info() {}, warn: (text: string) => void events.push(text) },
    setCarrier: (up: boolean) => void events.push(`carrier ${up}`),
    countError: (name: string) => void events.push(name),
    closeLane: async (pair: number) => void events.push(`close ${pair}`),
    laneState: () => new Int32Array(16),
    reactor: { unwatch() {} },
  };
  const nic = { pairs: 1, link, counters: () => ({}), details: () => ({}), stop: () => void events.push("stop") };
  const port = new VfioPort({ name: "nic", options: {} } as never, host as never, ADDRESS);
  Object.assign(port, { nic, device: { close() {} } });
  return { events, port, lookAtAll: () => (port as unknown as { lookAtAll(): void }).lookAtAll() };
}

test("a device that cannot be looked at is reset; the timer that looks throws nothing", async () => {
  const { events, port, lookAtAll } = rig(() => {
    throw new SysError("ioctl", EIO, "VFIO_DEVICE_SET_IRQS");
  });
  lookAtAll();
  await port.close();
  expect(events[0]).toContain("VFIO_DEVICE_SET_IRQS");
  expect(events).toContain("device_error");
  expect(events.filter((event) => event === "stop" || event === "close 0")).toEqual(["close 0", "stop"]);
});

test("one that can is left alone", async () => {
  const { events, port, lookAtAll } = rig(() => ({ up: true, speedMbps: 1000, fullDuplex: true }));
  lookAtAll();
  expect(events).toEqual(["carrier true"]);
  await port.close();
});
