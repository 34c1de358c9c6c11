// A VDUSE port when something fails on its way: it can go all the same, and come back. Bus, device and session are played here; what they do is in
// one list, in order.

import { expect, test } from "bun:test";
import { RingyardError } from "../../../src/core/errors.ts";
import { VdusePort } from "../../../src/ports/vduse/port.ts";
import { O_RDONLY, openFd } from "../../../src/sys/fd.ts";
import { RecordingHost } from "../recording-host.ts";

const spec = { name: "web", uri: "vduse:web", kind: "vduse", target: "web", options: {} };

/** A port on the bus, whose bus refuses whatever `refused` says. */
function portOnBus(refused: readonly string[] = []) {
  const host = new RecordingHost();
  const { events } = host;
  const act = async <T>(what: string, answer: T): Promise<T> => {
    events.push(what);
    if (refused.includes(what)) throw new RingyardError("SYSTEM", `${what}: too many open files`);
    return answer;
  };
  const clerk = {
    inspect: () => act("inspect", { onBus: true, driver: "virtio_vdpa" }),
    remove: () => act("remove", undefined),
    attachVm: () => act("attach", { path: "/dev/vhost-vdpa-0" }),
    release: () => act("clerk released", undefined),
  };
  const port = new VdusePort(spec, host);
  const session = { broken: false, end: () => act("session ended", undefined) };
  Object.assign(port, { clerk, session, device: { fd: openFd("/dev/null", O_RDONLY) }, owned: true });
  return { port, host, events };
}

test("a device that cannot be taken off the bus keeps no port from going: it stays there, and nobody serves it", async () => {
  const { port, host, events } = portOnBus(["remove"]);
  await port.close();
  expect(events).toEqual(["remove", "session ended", "clerk released"]);
  expect(host.warnings).toEqual(["vduse: device web cannot be removed"]);
  await port.close();
});

test("where the bus cannot be asked at the end of a switch, the device stays for the next", async () => {
  const { port, events } = portOnBus(["inspect"]);
  await port.close(true);
  expect(events).toEqual(["inspect", "session ended", "clerk released"]);
});

test("a device that could not be made anew is made by the next attach", async () => {
  const { port, events } = portOnBus();
  let starts = 0;
  const start = async () => {
    events.push("start");
    if (++starts === 1) throw new RingyardError("SYSTEM", "too many open files");
    Object.assign(port, { session: { broken: false, end: async () => {} } });
  };
  // As after a detach that had taken the device away.
  Object.assign(port, { start, session: undefined, owned: false });
  await expect(port.attach({ to: "vm" })).rejects.toThrow("too many open files");
  expect(await port.attach({ to: "vm" })).toMatchObject({ vm: { path: "/dev/vhost-vdpa-0" } });
  expect(events).toEqual(["start", "start", "inspect", "attach", "inspect"]);
  await port.close(true);
});
