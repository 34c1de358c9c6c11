// Any VLANs on any ports, any frames: out of each port comes what the slow model (vlan-model.ts) says, byte for byte and in order, and what
// goes nowhere is counted for the reason it gives.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { anyPort, anyTagged } from "../../support/random-vlans.ts";
import { sized } from "../../support/scale.ts";
import { PlanRig } from "../rules/plan-rig.ts";
import { VlanModel } from "./vlan-model.ts";

const anyPorts = fc
  .array(anyPort, { minLength: 4, maxLength: 6 })
  .filter((ports) => ports.some(({ vlan }) => vlan !== undefined));
const anyBursts = fc.array(
  fc.record({ port: fc.nat({ max: 3 }), frames: fc.array(anyTagged, { minLength: 1, maxLength: 16 }) }),
  { minLength: 1, maxLength: 8 },
);
const hex = (bytes: Uint8Array) => bytes.toHex();

test("a bridge does with tags and VLANs what the model does", () => {
  const met: Record<string, number> = {};
  fc.assert(
    fc.property(anyPorts, anyBursts, (ports, bursts) => {
      const rig = new PlanRig(ports.map(() => ({})));
      const model = new VlanModel(ports);
      const drops: Record<string, number>[] = ports.map(() => ({}));
      try {
        rig.policy(Object.fromEntries(ports.map((port, index) => [index, port])));
        for (const { port, frames } of bursts) {
          const expected: string[][] = ports.map(() => []);
          for (const bytes of frames) {
            const relayed = model.relay(port, bytes);
            const outcome = "to" in relayed ? "sent" : relayed.dropped;
            met[outcome] = (met[outcome] ?? 0) + 1;
            if ("to" in relayed) {
              for (const [out, sent] of relayed.to) expected[out].push(hex(sent));
              if (relayed.unsaid > 0) drops[port].vlan = (drops[port].vlan ?? 0) + relayed.unsaid;
            } else drops[port][outcome] = (drops[port][outcome] ?? 0) + 1;
          }
          expect(rig.send(port, ...frames).map((list) => list.map(hex))).toEqual(expected);
        }
        expect(ports.map((_, port) => rig.drops(port))).toEqual(drops);
      } finally {
        rig.close();
      }
    }),
    { numRuns: sized(400, 20_000) },
  );
  // All that can become of a frame was seen often enough to mean something.
  for (const outcome of ["sent", "vlan", "own_port", "no_destination"]) expect(met[outcome]).toBeGreaterThan(100);
}, 600_000);
