// A transmitter that hangs, over the model: found by its registers, whatever it was given, and never where it only waits.

import { describe, expect, test } from "bun:test";
import { TX_POSTED, TX_REAPED } from "../../../../src/mem/lane-state.ts";
import type { IntelNic } from "../../../../src/ports/vfio/intel/nic.ts";
import { pattern } from "../../lane-bench.ts";
import { FAMILIES, type Rig, withRig } from "./rig.ts";

/** Looks once a second from `fromS` on; whether the device is to be reset then. */
function looks({ nic }: Rig, fromS: number, count: number): boolean {
  for (let n = 0; n < count; n++) (nic as IntelNic).counters((fromS + n) * 1000);
  return nic.details().needs_reset === true;
}

for (const family of FAMILIES) {
  describe(family, () => {
    test("that was given copies alone is to be reset when it has sent none for three seconds", () =>
      withRig(family, {}, (rig) => {
        rig.model.eager = false;
        rig.deliver([pattern(100)]);
        const { state } = rig.bench;
        // Nobody's buffer is held: the registry of DMA memory sees nothing to wait for.
        expect(state[TX_POSTED]).toBe(state[TX_REAPED]);
        expect(looks(rig, 0, 3)).toBe(false);
        expect(looks(rig, 3, 1)).toBe(true);
      }));

    test("that sends, has nothing to send, or has no link is left alone", () =>
      withRig(family, {}, (rig) => {
        expect(looks(rig, 0, 10)).toBe(false);
        rig.model.eager = false;
        for (let n = 0; n < 10; n++) {
          rig.deliver([pattern(100, n), pattern(100, n + 1)]);
          expect(looks(rig, 20 + 2 * n, 2)).toBe(false);
          rig.model.transmit();
        }
        rig.deliver([pattern(100)]);
        rig.model.linkUp = false;
        expect(looks(rig, 60, 10)).toBe(false);
        rig.model.linkUp = true;
        expect(looks(rig, 70, 3)).toBe(false);
        rig.model.gone = true;
        expect(looks(rig, 73, 10)).toBe(false);
      }));

    test("whose head is the same by chance is not taken for still", () =>
      withRig(family, {}, (rig) => {
        rig.model.eager = false;
        rig.deliver([pattern(100)]);
        for (let n = 0; n < 10; n++) {
          // Good packets sent, which a read clears.
          rig.model.set(0x40d4, 64);
          expect(looks(rig, n, 1)).toBe(false);
        }
      }));
  });
}
