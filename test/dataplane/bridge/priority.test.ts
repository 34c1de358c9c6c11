// Which priority a frame has, by what its port trusts. That queues go by it is for queues.test.ts.

import { describe, expect, test } from "bun:test";
import { NO_POLICY, PORT_DEFAULTS, type PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { decidePriority, Priorities } from "../../../src/dataplane/bridge/priority.ts";
import { KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import { frame, mac } from "../../support/frames.ts";

const PORT = 3;

/** What a frame that came in on a port of this policy has. */
function priority(policy: Partial<PortPolicy>, bytes: Uint8Array): number {
  const priorities = new Priorities({ ...NO_POLICY, ports: [{ ...PORT_DEFAULTS, ...policy, port: PORT }] });
  const key = new Int32Array(KEY_WORDS);
  parseKey(new DataView(bytes.buffer), 0, bytes.length, PORT, key);
  priorities.of.fill(-1);
  decidePriority(priorities, key, PORT, 2, 5);
  expect(new Set(priorities.of.subarray(2, 5)).size).toBe(1);
  expect([priorities.of[1], priorities.of[5]]).toEqual([-1, -1]);
  return priorities.of[2];
}

const plain = frame(mac(2), mac(1));

/** Puts tags between the addresses and the type. */
function tagged(bytes: Uint8Array, ...tags: [tpid: number, tci: number][]): Uint8Array {
  const words = tags.flatMap(([tpid, tci]) => [tpid >> 8, tpid & 0xff, tci >> 8, tci & 0xff]);
  return Uint8Array.from([...bytes.subarray(0, 12), ...words, ...bytes.subarray(12)]);
}

function ip4(tos: number, fragment = 0): Uint8Array {
  const bytes = frame(mac(2), mac(1), 60, 0);
  bytes.set([0x08, 0x00, 0x45, tos, 0, 46, 0, 0, fragment >> 8, fragment & 0xff, 64, 17], 12);
  return bytes;
}

function ip6(trafficClass: number): Uint8Array {
  const bytes = frame(mac(2), mac(1), 60, 0);
  bytes.set([0x86, 0xdd, 0x60 | (trafficClass >> 4), (trafficClass & 15) << 4, 0, 0, 0, 6, 59, 64], 12);
  return bytes;
}

const EF = 46 << 2;
const AF41 = 34 << 2;
const CS7 = 56 << 2;
const ECN = 3;

describe("by PCP", () => {
  const trust = { trust: "pcp", priority: 2 } as const;

  test.each([
    ["of a tag", tagged(plain, [0x8100, (5 << 13) | 10]), 5],
    ["of a priority tag", tagged(plain, [0x8100, 7 << 13]), 7],
    ["of a service tag", tagged(plain, [0x88a8, (6 << 13) | 10]), 6],
    ["of the outer tag", tagged(plain, [0x88a8, (1 << 13) | 10], [0x8100, (7 << 13) | 20]), 1],
    ["zero, where the tag says so, drop-eligible or not", tagged(plain, [0x8100, (1 << 12) | 10]), 0],
    ["the port's, without a tag, whatever DSCP says", ip4(EF), 2],
  ])("%s", (_, bytes, expected) => {
    expect(priority(trust, bytes)).toBe(expected);
  });
});

describe("by DSCP", () => {
  const trust = { trust: "dscp", priority: 2 } as const;

  test.each([
    ["of IPv4", ip4(EF), 5],
    ["of IPv4, whatever ECN says", ip4(AF41 | ECN), 4],
    ["of IPv4: all of it counts", ip4(CS7), 7],
    ["of a later fragment", ip4(EF, 100), 5],
    ["of IPv6", ip6(EF | ECN), 5],
    ["of IPv6: all of it counts", ip6(CS7), 7],
    ["zero, where it is zero", ip4(0), 0],
    ["behind tags, whatever PCP says", tagged(ip4(EF), [0x88a8, 10], [0x8100, (7 << 13) | 20]), 5],
    ["the port's, where there is no IP", tagged(plain, [0x8100, 7 << 13]), 2],
  ])("%s", (_, bytes, expected) => {
    expect(priority(trust, bytes)).toBe(expected);
  });
});

test("the port's, where nothing is trusted", () => {
  expect(priority({ priority: 3 }, tagged(ip4(EF), [0x8100, 7 << 13]))).toBe(3);
  expect(priority({}, tagged(ip4(EF), [0x8100, 7 << 13]))).toBe(0);
});
