// Opens a NIC in a process of its own: as somebody who has it already, or as one with less locked memory than it wants.
//
//   bun child.ts ADDRESS DOOR BYTES      says "open" or why not, allocates BYTES, says "allocated" or why not, ends with its input

import { errorLine } from "../../../../src/core/errors.ts";
import { openVfioDevice } from "../../../../src/ports/vfio/device/open.ts";

const [address, door, bytes] = process.argv.slice(2);
try {
  const device = openVfioDevice(address, { door: door as "type1" | "iommufd" });
  console.log("open");
  device.allocate(Number(bytes));
  console.log("allocated");
  await Bun.stdin.text();
  device.close();
} catch (error) {
  console.log(errorLine(error));
}
