// What a trace says, step by step, to people and to programs. That a worker then does it is in judge.test.ts.

import { describe, expect, test } from "bun:test";
import { allocateFdb } from "../../../src/dataplane/fdb-layout.ts";
import { fdbAddStatic } from "../../../src/dataplane/fdb-table.ts";
import type { MeterSpec, Rule } from "../../../src/dataplane/rules/rule.ts";
import { traceFrame } from "../../../src/dataplane/rules/trace.ts";
import { CLOCK_S, PORT_MAX_FRAME, PORT_UP, SharedState } from "../../../src/dataplane/shared.ts";
import { BROADCAST, complete, frame, mac, macText } from "../../support/frames.ts";
import { pattern, spec4, spec6 } from "../offload/reference.ts";
import { rulesOf } from "./rules-of.ts";

const NAMES = ["vm1", "vm2", "wire", "tap0"];
const METERS: MeterSpec[] = [{ name: "slow", unit: "bits", rate: 1, burst: 8000 }];

function trace(rules: Rule[], bytes: Uint8Array, down: number[] = []) {
  const shared = SharedState.allocate(1);
  const fdb = allocateFdb(64);
  shared.control[CLOCK_S] = 1;
  for (const port of NAMES.keys()) {
    shared.control[SharedState.portWord(port, PORT_UP)] = down.includes(port) ? 0 : 1;
    shared.control[SharedState.portWord(port, PORT_MAX_FRAME)] = port === 2 ? 100 : 65557;
  }
  fdbAddStatic(fdb, macText(mac(2)), 1);
  const isUp = (port: number) => shared.control[SharedState.portWord(port, PORT_UP)] !== 0;
  const dispatcher = { shared, isUp, delivers: (port: number) => port < NAMES.length && isUp(port) };
  return traceFrame({ dispatcher, fdb, portName: (port) => NAMES[port] ?? String(port) }, rules, METERS, 0, bytes);
}

const texts = (...args: Parameters<typeof trace>) => trace(...args).map(({ text }) => text);
const verdict = (...args: Parameters<typeof trace>) => trace(...args).pop()?.data;

const TCP = complete(mac(2), mac(1), spec4({ payload: pattern(10) }));

describe("a trace", () => {
  test("of a frame that no rule is about", () => {
    expect(texts(rulesOf([1, { arp: 1 }, { do: "drop" }]), TCP)).toEqual([
      "64 bytes in on vm1: 02:00:00:00:00:01 > 02:00:00:00:00:02, 10.0.0.1 > 10.0.0.2, tcp 12345 > 5201",
      "no rule applies",
      "02:00:00:00:00:02 is at vm2",
      "sent to vm2",
    ]);
  });

  test("shows each rule that applies, in order, and everything that it does", () => {
    const rules = rulesOf(
      [9, {}, { do: "mirror", port: 3 }, { do: "meter", meter: 0 }, { do: "log", every: 100 }, { do: "continue" }],
      [8, { tcp: 1 }, { do: "set-vlan", id: 7, pcp: 3 }, { do: "set-mac", dst: "020000000003" }, { do: "count" }],
      [7, { udp: 1 }, { do: "drop" }],
      [6, {}, { do: "set-dscp", dscp: 46 }, { do: "strip-vlan" }, { do: "forward", ports: [2, 1] }],
    );
    expect(trace(rules, TCP).map(({ step, text }) => `${step}: ${text}`)).toEqual([
      "header: 64 bytes in on vm1: 02:00:00:00:00:01 > 02:00:00:00:00:02, 10.0.0.1 > 10.0.0.2, tcp 12345 > 5201",
      "rule: rule 1 (priority 9) applies",
      "action: mirror to tap0",
      "action: meter slow, as if it had tokens",
      "action: log one in 100",
      "action: continue",
      "rule: rule 2 (priority 8) applies",
      "action: set vlan id 7 pcp 3",
      "action: set mac dst 02:00:00:00:00:03",
      "action: count",
      "rule: rule 4 (priority 6) applies",
      "action: set dscp 46",
      "action: strip vlan",
      "action: forward to wire, vm2",
      "frame: to wire, vm2: 64 bytes: 02:00:00:00:00:01 > 02:00:00:00:00:03, 10.0.0.1 > 10.0.0.2, tcp 12345 > 5201",
      "verdict: sent to wire, vm2, mirrored to tap0",
    ]);
    expect(verdict(rules, TCP)).toMatchObject({ do: "send", ports: [2, 1], mirrors: [3] });
  });

  test("has the frame that is sent, where it is another than came", () => {
    const tagged = complete(mac(2), mac(1), spec4({ payload: pattern(10), tags: [{ type: 0x8100, tci: 7 }] }));
    const set = rulesOf([1, {}, { do: "set-vlan", id: 7 }]);
    expect(trace(set, TCP).at(-2)).toEqual({
      step: "frame",
      text: "to vm2: 68 bytes: 02:00:00:00:00:01 > 02:00:00:00:00:02, vlan 7 pcp 0, 10.0.0.1 > 10.0.0.2, tcp 12345 > 5201",
      data: { ports: [1], length: 68, frame: Buffer.from(tagged).toString("hex") },
    });
    expect(trace(set, tagged).some(({ step }) => step === "frame")).toBe(false);
  });

  test("names what is in a frame of any kind", () => {
    const first = (bytes: Uint8Array) => texts([], bytes)[0].split(": ")[1];
    const macs = "02:00:00:00:00:01 > 02:00:00:00:00:02";
    expect(first(frame(mac(2), mac(1)))).toBe(`${macs}, type 0x88b5`);
    const six = spec6({ transport: "udp", payload: pattern(1), tags: [{ type: 0x88a8, tci: 0xa005 }] });
    expect(first(complete(mac(2), mac(1), six))).toStartWith(`${macs}, vlan 5 pcp 5, fd00::1 > fd00::2, udp `);
    const ping = complete(mac(2), mac(1), spec4({ transport: "udp", payload: pattern(1) }));
    ping[23] = 1;
    ping.set([8, 0], 34);
    expect(first(ping)).toBe(`${macs}, 10.0.0.1 > 10.0.0.2, icmp type 8 code 0`);
    ping[23] = 89;
    expect(first(ping)).toBe(`${macs}, 10.0.0.1 > 10.0.0.2, protocol 89`);
    const arp = Uint8Array.from([
      ...[...mac(2), ...mac(1), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
      ...[...mac(1), 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
    ]);
    expect(first(arp)).toBe(`${macs}, arp op 1, 10.0.0.1 for 10.0.0.2`);
  });
});

describe("the verdict", () => {
  const drop = (reason: string, mirrors: number[] = []) => ({ do: "drop" as const, reason, mirrors });
  const ALLOW: Rule[] = [];

  test.each([
    ["a runt", ALLOW, TCP.subarray(0, 13), [], "runt"],
    ["a bad source", ALLOW, frame(mac(2), BROADCAST), [], "bad_source"],
    ["a port that is down", ALLOW, TCP, [0], "link_down"],
    ["a receiver that is down", ALLOW, TCP, [1], "link_down"],
    ["no receiver at all", ALLOW, frame(BROADCAST, mac(1)), [1, 2, 3], "no_destination"],
    ["its own port", ALLOW, frame(mac(1), mac(1)), [], "own_port"],
    ["a link-local destination", ALLOW, frame([1, 0x80, 0xc2, 0, 0, 0], mac(1)), [], "reserved"],
    ["a rule", rulesOf([1, {}, { do: "drop" }]), TCP, [], "rule"],
    ["a rule for ports that are gone", rulesOf([1, {}, { do: "forward", ports: [] }]), TCP, [], "no_destination"],
    ["a receiver's mtu", rulesOf([1, {}, { do: "forward", ports: [2] }]), frame(mac(9), mac(1), 101), [], "oversized"],
  ] as [string, Rule[], Uint8Array, number[], string][])("names %s", (_, rules, bytes, down, reason) => {
    expect(verdict(rules, bytes, down)).toEqual(drop(reason));
    expect(texts(rules, bytes, down).pop()).toBe(`dropped: ${reason}`);
  });

  test("of what may be a super-frame says that offloads are left out", () => {
    const rules = rulesOf([1, {}, { do: "forward", ports: [2] }]);
    const long = (transport: "tcp" | "udp") => complete(mac(2), mac(1), spec4({ transport, payload: pattern(2000) }));
    for (const transport of ["tcp", "udp"] as const) {
      expect(verdict(rules, long(transport))).toEqual(drop("oversized"));
      expect(texts(rules, long(transport)).pop()).toBe(
        "dropped: oversized (as one frame; a super-frame is cut: offloads are not traced)",
      );
    }
    expect(texts(rules, frame(mac(9), mac(1), 2000)).pop()).toBe("dropped: oversized");
  });

  test("of a flood is every other port that is up and takes the length", () => {
    expect(verdict([], frame(BROADCAST, mac(1), 100), [3])).toEqual({ do: "send", ports: [1, 2], mirrors: [] });
    expect(verdict([], frame(BROADCAST, mac(1), 101))).toEqual({ do: "send", ports: [1, 3], mirrors: [] });
  });

  test("of a dropped frame names its mirrors, each once, and not its own port", () => {
    const mirrors = [3, 0, 3, 2, 77].map((port) => ({ do: "mirror" as const, port }));
    expect(verdict(rulesOf([1, {}, ...mirrors, { do: "drop" }]), TCP)).toEqual(drop("rule", [3, 2]));
  });
});
