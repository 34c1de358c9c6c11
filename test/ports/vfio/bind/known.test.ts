// The ids that `nic list` knows are those that the drivers take.

import { expect, test } from "bun:test";
import { KNOWN } from "../../../../src/ports/vfio/bind/known.ts";
import { driver82574 } from "../../../../src/ports/vfio/intel/nic-82574.ts";
import { driver82576 } from "../../../../src/ports/vfio/intel/nic-82576.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";

const DRIVERS = [virtioNetDriver, driver82574, driver82576];
const VENDORS = [0x8086, 0x1af4];

test("each known device is its driver's, and the other way round", () => {
  const drivenAs = (drivers: readonly { name: string; matches(vendor: number, device: number): boolean }[]) =>
    VENDORS.flatMap((vendor) =>
      Array.from({ length: 0x1_0000 }, (_, device) => device).flatMap((device) => {
        const name = drivers.find(({ matches }) => matches(vendor, device))?.name;
        return name === undefined ? [] : [`${vendor.toString(16)}:${device.toString(16)} ${name}`];
      }),
    );
  expect(drivenAs(KNOWN)).toEqual(drivenAs(DRIVERS));
  expect(drivenAs(KNOWN)).toHaveLength(4);
});
