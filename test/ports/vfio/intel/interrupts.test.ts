// Interrupts over the model: a sleeper is woken once for each time that it asked, by its own queue only; what comes while it
// asks is seen; and without MSI-X.

import { describe, expect, test } from "bun:test";
import { clearSignal } from "../../../../src/sys/fd.ts";
import { pattern } from "../../lane-bench.ts";
import { Model } from "./model.ts";
import { FAMILIES, withRig } from "./rig.ts";

for (const family of FAMILIES) {
  const advanced = family === "82576";
  describe(`an ${family}'s interrupt`, () => {
    test("comes once after the lane asked, and not before", () =>
      withRig(family, {}, (rig) => {
        const { lane, model } = rig;
        expect(lane.wakeFd).toBe(model.device.fds[0]);
        expect(lane.wakeEdge).toBe(true);
        for (let round = 0; round < 10; round++) {
          model.receive(pattern(64));
          expect(model.device.interrupted(0)).toBe(false);
          expect(rig.fetch()).toHaveLength(1);
          expect(lane.arm()).toBe(false);
          expect(model.device.interrupted(0)).toBe(false);
          model.receive(pattern(64));
          model.receive(pattern(64));
          expect(model.device.interrupted(0)).toBe(true);
          lane.disarm();
          expect(rig.fetch()).toHaveLength(2);
          expect(model.device.interrupted(0)).toBe(false);
        }
      }));

    test("is not waited for when a frame came while it was asked for", () =>
      withRig(family, {}, (rig) => {
        rig.model.receive(pattern(64));
        expect(rig.lane.arm()).toBe(true);
        rig.lane.disarm();
        expect(rig.fetch()).toHaveLength(1);
        expect(rig.lane.arm()).toBe(false);
      }));

    test("asking tells the device of every buffer", () =>
      withRig(family, {}, (rig) => {
        for (let n = 0; n < 3; n++) rig.model.receive(pattern(64));
        rig.fetch();
        const before = rig.model.receiveRoom();
        rig.lane.arm();
        expect(rig.model.receiveRoom()).toBe(before + 3);
      }));

    test("nothing that is sent interrupts", () =>
      withRig(family, {}, (rig) => {
        rig.lane.arm();
        rig.deliver([pattern(64), pattern(65)]);
        expect(rig.model.device.interrupted(0)).toBe(false);
        expect(rig.model.device.interrupted(1)).toBe(false);
      }));

    for (const kind of ["msi", "intx"] as const) {
      test(`with ${kind} alone is the queue's and the link's`, () =>
        withRig(
          family,
          {},
          (rig) => {
            const { lane, model, nic } = rig;
            expect(nic.managementVector).toBe(0);
            for (let round = 0; round < 5; round++) {
              expect(lane.arm()).toBe(false);
              model.receive(pattern(64));
              expect(model.device.interrupted(0)).toBe(true);
              // The port handles it: it wakes the lane, and a line has to be unmasked.
              expect(clearSignal(lane.wakeFd)).toBe(false);
              expect(nic.link().up).toBe(true);
              expect(clearSignal(lane.wakeFd)).toBe(true);
              expect(model.device.unmasked).toBe(kind === "intx" ? round + 1 : 0);
              lane.disarm();
              expect(rig.fetch()).toHaveLength(1);
            }
            model.setLink(false);
            expect(model.device.interrupted(0)).toBe(true);
            expect(nic.link().up).toBe(false);
            expect(clearSignal(lane.wakeFd)).toBe(false);
          },
          new Model(advanced, 1, kind),
        ));
    }

    test("that cannot be had is not waited for", () =>
      withRig(
        family,
        {},
        ({ lane, nic }) => {
          expect([lane.wakeFd, nic.managementVector]).toEqual([-1, -1]);
          expect(lane.arm()).toBe(true);
        },
        new Model(advanced, 0, "none"),
      ));
  });
}

describe("an 82576 with several queues", () => {
  test("has a lane and a vector for each, and one for the link", () =>
    withRig("82576", { queues: 4 }, (rig) => {
      expect(rig.nic.pairs).toBe(4);
      expect(rig.nic.managementVector).toBe(4);
      expect(rig.pairs.map(({ lane }) => lane.wakeFd)).toEqual(rig.model.device.fds.slice(0, 4));
      for (const { lane } of rig.pairs) lane.arm();
      for (let queue = 0; queue < 4; queue++) {
        rig.model.receive(pattern(64, queue), { queue });
        const interrupted = [0, 1, 2, 3, 4].map((vector) => rig.model.device.interrupted(vector));
        expect(interrupted).toEqual([0, 1, 2, 3, 4].map((vector) => vector === queue));
        expect([0, 1, 2, 3].map((pair) => rig.fetch(pair).length)).toEqual(
          [0, 1, 2, 3].map((pair) => (pair === queue ? 1 : 0)),
        );
      }
    }));

  test("spreads by a key of its own over all of them", () =>
    withRig("82576", { queues: 3 }, async ({ model }) => {
      const table = Array.from({ length: 128 }, (_, entry) => model.read8(0x5c00 + entry));
      expect(table.slice(0, 7)).toEqual([0, 1, 2, 0, 1, 2, 0]);
      expect(Math.max(...table)).toBe(2);
      expect(model.value(0x5818) & 7).toBe(2);
      // RSS needs the packet checksum off.
      expect(model.value(0x5000) & (1 << 13)).toBe(1 << 13);
      const key = Array.from({ length: 10 }, (_, word) => model.value(0x5c80 + word * 4));
      expect(new Set(key).size).toBeGreaterThan(5);
      await withRig("82576", { queues: 3 }, (other) => expect(other.model.value(0x5c80)).not.toBe(key[0]));
    }));

  test("has as many as there are vectors for", async () => {
    await withRig("82576", { queues: 8 }, ({ nic }) => expect(nic.pairs).toBe(8), new Model(true, 10));
    await withRig("82576", { queues: 8 }, ({ nic }) => expect(nic.pairs).toBe(2), new Model(true, 3));
    await withRig("82576", { queues: 8 }, ({ nic }) => expect(nic.pairs).toBe(1), new Model(true, 1));
  });
});
