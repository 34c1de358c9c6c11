// The control side over the model: opening, addresses, filters, link, statistics, stopping, what is refused.

import { describe, expect, test } from "bun:test";
import { errorLine } from "../../../../src/core/errors.ts";
import { driver82574 } from "../../../../src/ports/vfio/intel/nic-82574.ts";
import { driver82576 } from "../../../../src/ports/vfio/intel/nic-82576.ts";
import type { NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { pattern } from "../../lane-bench.ts";
import { MODEL_MAC, Model } from "./model.ts";
import { FAMILIES, type Family, optionsOf, Rig, withRig } from "./rig.ts";

const CTRL = 0x0;
const CTRL_EXT = 0x18;
const RCTL = 0x100;
const TCTL = 0x400;
const RAL = 0x5400;
const RAH = 0x5404;
const UPE = 1 << 3;
const MPE = 1 << 4;

/** What opening a NIC with these options says, when it is refused. */
async function refusal(family: Family, changes: Partial<NicOptions>, model = new Model(family === "82576")) {
  try {
    const rig = await Rig.open(family, changes, model);
    rig.undo();
  } catch (error) {
    return errorLine(error);
  }
  return "not refused";
}

test("each driver knows its device and no other", () => {
  const known = (vendor: number, device: number) =>
    [driver82574, driver82576].map((one) => one.matches(vendor, device));
  expect(known(0x8086, 0x10d3)).toEqual([true, false]);
  expect(known(0x8086, 0x10c9)).toEqual([false, true]);
  expect(known(0x1af4, 0x1041)).toEqual([false, false]);
  expect(known(0x1af4, 0x10d3)).toEqual([false, false]);
});

for (const family of FAMILIES) {
  describe(`an ${family}`, () => {
    test("has the address of its NVM, or the one that it is given", async () => {
      await withRig(family, {}, ({ nic }) => expect(nic.mac).toBe(MODEL_MAC));
      await withRig(family, { mac: "02:00:00:00:00:0A" }, ({ nic, model }) => {
        expect(nic.mac).toBe("02:00:00:00:00:0a");
        expect([model.value(RAL), model.value(RAH)]).toEqual([0x00000002, 0x80000a00]);
        nic.setMac("02:00:00:00:00:0b");
        expect(nic.mac).toBe("02:00:00:00:00:0b");
        expect(model.value(RAH)).toBe(0x80000b00);
        expect(() => nic.setMac("03:00:00:00:00:0b")).toThrow("mac 03:00:00:00:00:0b is a group address");
      });
    });

    test("takes every frame on the wire, or its own and groups", async () => {
      await withRig(family, {}, ({ nic, model }) => {
        expect(model.value(RCTL) & (UPE | MPE)).toBe(UPE | MPE);
        nic.setPromisc(false);
        expect(model.value(RCTL) & (UPE | MPE)).toBe(MPE);
        expect(nic.details().promisc).toBe(false);
        nic.setPromisc(true);
        expect(model.value(RCTL) & (UPE | MPE)).toBe(UPE | MPE);
      });
      await withRig(family, { promisc: false }, ({ model }) => expect(model.value(RCTL) & UPE).toBe(0));
    });

    test("moves nothing before it is started", async () => {
      const model = new Model(family === "82576");
      const driver = family === "82576" ? driver82576 : driver82574;
      const nic = await driver.open(model.device, optionsOf());
      try {
        expect(model.receive(pattern(64))).toBe(false);
        expect([model.value(RCTL) & 2, model.value(TCTL) & 2]).toEqual([0, 0]);
        nic.start();
        expect(model.receive(pattern(64))).toBe(true);
      } finally {
        nic.stop();
        model.give();
      }
    });

    test("tells its link, and when it changes", () =>
      withRig(family, {}, ({ nic, model }) => {
        const vector = nic.managementVector;
        expect(vector).toBe(1);
        expect(nic.link()).toEqual({ up: true, speedMbps: 1000, fullDuplex: true });
        expect(model.device.interrupted(vector)).toBe(false);
        for (const up of [false, true, false, true]) {
          model.setLink(up);
          expect(model.device.interrupted(vector)).toBe(true);
          expect(nic.link().up).toBe(up);
        }
        expect(model.device.interrupted(0)).toBe(false);
      }));

    test("takes its link down for the other end, and up again", () =>
      withRig(family, {}, ({ nic, model }) => {
        nic.setLink(false);
        expect(model.phy[0] & 0x800).toBe(0x800);
        expect(nic.link()).toEqual({ up: false, speedMbps: 0, fullDuplex: false });
        nic.setLink(true);
        // Power on, negotiate anew.
        expect(model.phy[0] & 0x1a00).toBe(0x1200);
        expect(nic.link().up).toBe(true);
      }));

    test("keeps the link that it has when it is opened", () =>
      withRig(family, {}, ({ model }) => expect(model.phy[0] & 0x200).toBe(0)));

    test("negotiates anew where it has none", async () => {
      const model = new Model(family === "82576");
      model.linkUp = false;
      await withRig(family, {}, () => expect(model.phy[0] & 0x1200).toBe(0x1200), model);
    });

    test("adds up what the registers count, from zero", async () => {
      const model = new Model(family === "82576");
      const driver = family === "82576" ? driver82576 : driver82574;
      model.set(0x4010, 77);
      const nic = await driver.open(model.device, optionsOf());
      try {
        expect(nic.counters().rx_missed).toBe(0);
        model.set(0x4010, 5);
        model.set(0x4088, 0xffffffff);
        model.set(0x408c, 2);
        expect(nic.counters()).toMatchObject({ rx_missed: 5, rx_good_octets: 3 * 2 ** 32 - 1, rx_crc_errors: 0 });
        model.set(0x4010, 3);
        expect(nic.counters()).toMatchObject({ rx_missed: 8, rx_good_octets: 3 * 2 ** 32 - 1 });
        model.gone = true;
        expect(nic.counters().rx_missed).toBe(8);
        expect(nic.link().up).toBe(false);
      } finally {
        nic.stop();
        model.give();
      }
    });

    test("reaches no memory before its reset: a driver that was killed has left it receiving", async () => {
      const model = new Model(family === "82576");
      for (const register of [RCTL, TCTL]) model.set(register, 2);
      const running: number[][] = [];
      model.device.onMaster = () => running.push([RCTL, TCTL].map((register) => model.value(register) & 2));
      await withRig(family, {}, () => expect(running).toEqual([[0, 0]]), model);
    });

    test("is silent when it is stopped, once and for all", async () => {
      const rig = await Rig.open(family);
      const { model, nic } = rig;
      const before = model.resets;
      nic.stop();
      expect([model.resets, model.rudeResets]).toEqual([before + 1, 0]);
      expect(model.device.busMaster).toBe(false);
      expect([RCTL, TCTL, CTRL, CTRL_EXT].map((register) => model.value(register))).toEqual([0, 0, 0, 0]);
      nic.stop();
      expect(model.resets).toBe(before + 1);
      expect(nic.link().up).toBe(false);
      rig.undo();
    });

    test("leaves nothing behind, however often it is opened", async () => {
      const once = async () => {
        await withRig(family, {}, (rig) => {
          rig.deliver([pattern(64)]);
          rig.model.receive(pattern(64));
          rig.fetch();
        });
        await withRig(family, {}, ({ nic }) => nic.link(), new Model(family === "82576", 1, "msi"));
        expect(await refusal(family, { rxDescriptors: 100 })).toContain("rxdesc=100");
      };
      await once();
      const before = holdings();
      for (let n = 0; n < 5; n++) await once();
      expect(heldDifference(before, holdings())).toEqual([]);
    });

    test("refuses what it cannot do, in one line", async () => {
      const at = "0000:03:00.0";
      expect(await refusal(family, { mtu: 9001 })).toBe(`${at}: mtu 9001 is too much: at most 9000`);
      const limits = "take a power of two from 64 to 4096";
      expect(await refusal(family, { rxDescriptors: 96 })).toBe(`${at}: rxdesc=96 cannot be: ${limits}`);
      expect(await refusal(family, { txDescriptors: 8192 })).toBe(`${at}: txdesc=8192 cannot be: ${limits}`);
      expect(await refusal(family, { txDescriptors: 32 })).toBe(`${at}: txdesc=32 cannot be: ${limits}`);
      const queues =
        family === "82576"
          ? "queues=9 cannot be: an 82576 has up to 8 queue pairs here"
          : "an 82574L has one queue pair: leave queues out";
      expect(await refusal(family, { queues: 9 })).toBe(`${at}: ${queues}`);
    });

    test("refuses a device that does not answer, or has no address, and leaves it silent", async () => {
      const gone = new Model(family === "82576");
      gone.gone = true;
      expect(await refusal(family, {}, gone)).toBe(
        "0000:03:00.0 does not answer after a reset: power-cycle the machine or the slot",
      );
      expect(gone.device.busMaster).toBe(false);
      const nameless = new Model(family === "82576", undefined, undefined, [0, 0]);
      expect(await refusal(family, {}, nameless)).toBe(
        "0000:03:00.0 has no address of its own (00:00:00:00:00:00): give it mac=",
      );
      expect(nameless.device.busMaster).toBe(false);
    });
  });
}
