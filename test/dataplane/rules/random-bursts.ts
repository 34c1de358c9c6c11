// Random bursts of a learning switch, and everything that one way of forwarding makes of them: for tests which hold another way against
// it. Four ports that frames come to from the first, stations at each, one behind a port that is not there.

import { expect } from "bun:test";
import fc from "fast-check";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, type Mac, mac, numbered } from "../../support/frames.ts";
import { PlanRig } from "./plan-rig.ts";

export const RESERVED: Mac = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
const STATIONS: Mac[] = [mac(1), mac(2), mac(3), mac(4), mac(50)];

interface AnyFrame {
  to: Mac;
  from: Mac;
  size: number;
}

const anyFrame = fc.record({
  to: fc.constantFrom(...STATIONS, BROADCAST, RESERVED, mac(77)),
  from: fc.constantFrom(...STATIONS, mac(9), BROADCAST, [0, 0, 0, 0, 0, 0]),
  size: fc.constantFrom(60, 127, 128, 129, 1514),
});

function outcome(setUp: (rig: PlanRig) => void, frames: readonly AnyFrame[], up: readonly boolean[]) {
  const rig = new PlanRig([{}, { up: up[0] }, { up: up[1], maxFrame: 128 }, { delivers: up[2] }]);
  setUp(rig);
  try {
    for (const [port, station] of STATIONS.slice(0, 4).entries()) rig.station(station, port);
    rig.station(mac(50), 9);
    const got = rig.send(0, ...frames.map(({ to, from, size }, k) => numbered(to, from, 0, k, size)));
    return {
      got: got.map((list) => list.map((bytes) => Buffer.from(bytes).toString("hex"))),
      drops: rig.lanes.map((_, port) => rig.drops(port)),
      copies: rig.counters(0)[COPIES],
      fdb: [...fdbEntries(rig.fdb, 1)]
        .flat()
        .map(({ mac: address, port }) => `${address} ${port}`)
        .sort(),
    };
  } finally {
    rig.close();
  }
}

/** Fails where rigs that are set up in one way or the other do anything else with random bursts. */
export function expectSame(one: (rig: PlanRig) => void, other: (rig: PlanRig) => void, numRuns: number): void {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: BURST, size: "max" }),
      fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      (frames, up) => expect(outcome(one, frames, up)).toEqual(outcome(other, frames, up)),
    ),
    { numRuns },
  );
}
