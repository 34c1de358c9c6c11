// Where frames go by rules: every way in which the search for a rule can end, on bursts put together by hand.

import { describe, expect, test } from "bun:test";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, complete, frame, mac, macText } from "../../support/frames.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { usePlanRig } from "./plan-rig.ts";
import { expectSame, RESERVED } from "./random-bursts.ts";
import { macNumber, rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const ANY = {};
const NEVER = { "eth.type": 0xbeef };

describe("a frame that no rule decides, or one that allows it", () => {
  const RULES: [string, Rule[]][] = [
    ["none met", rulesOf([1, NEVER, { do: "drop" }])],
    ["one met", rulesOf([1, ANY, { do: "allow" }])],
    ["several met", rulesOf([1, NEVER, { do: "drop" }], [2, ANY, { do: "count" }], [3, ANY, { do: "continue" }])],
  ];
  test.each(RULES)(
    "goes as in a switch without rules, in everything that `forward` does to random bursts: %s",
    (_, rules) => {
      expectSame(
        (rig) => rig.rules(rules),
        () => {},
        80,
      );
    },
    60_000,
  );

  test("is counted by those that it met", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, NEVER, { do: "drop" }], [2, ANY, { do: "count" }], [3, { "eth.dst": macNumber(BROADCAST) }]));
    rig.send(0, frame(BROADCAST, mac(1), 60), frame(mac(7), mac(1), 100), frame(BROADCAST, mac(2), 200));
    expect([1, 2, 3].map((id) => rig.counted(id))).toEqual([
      [0, 0, 0],
      [3, 360, 1],
      [2, 260, 1],
    ]);
  });
});

describe("drop", () => {
  test("counts the frame as `rule` where it came in, and learns nothing of it", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, { "eth.src": macNumber(mac(1)) }, { do: "drop" }]));
    const [, got] = rig.send(0, frame(BROADCAST, mac(1)), frame(BROADCAST, mac(2)), frame(BROADCAST, mac(1)));
    expect(got).toEqual([frame(BROADCAST, mac(2))]);
    expect(rig.drops(0)).toEqual({ rule: 2 });
    expect(rig.learned).toEqual({ [macText(mac(2))]: 0 });
    expect(rig.counted(1)).toEqual([2, 128, 1]);
  });
});

describe("allow", () => {
  test("ends the search, and the frame goes as without rules", () => {
    const rig = newRig({}, {}, {});
    rig.station(mac(2), 2);
    rig.rules(rulesOf([9, { "eth.dst": macNumber(mac(2)) }, { do: "allow" }], [1, ANY, { do: "drop" }]));
    const sent = frame(mac(2), mac(1));
    expect(rig.send(0, sent, frame(mac(3), mac(1)))).toEqual([[], [], [sent]]);
    expect(rig.drops(0)).toEqual({ rule: 1 });
    expect(rig.learned).toEqual({ [macText(mac(1))]: 0 });
  });

  test("does not make a bridge of what no bridge forwards", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, ANY, { do: "allow" }]));
    expect(rig.send(0, frame(RESERVED, mac(1)))).toEqual([[], []]);
    expect(rig.drops(0)).toEqual({ reserved: 1 });
    expect(rig.counted(1)[0]).toBe(1);
  });
});

describe("forward", () => {
  const to = (...ports: number[]) => rulesOf([1, ANY, { do: "forward", ports }]);

  test("sends to the ports in its list, whatever the addresses say, and learns", () => {
    const rig = newRig({}, {}, {}, {});
    rig.station(mac(2), 2);
    rig.rules(to(3, 1));
    const frames = [frame(mac(2), mac(1)), frame(BROADCAST, mac(1)), frame(RESERVED, mac(1)), frame(mac(1), mac(9))];
    expect(rig.send(0, ...frames)).toEqual([[], frames, [], frames]);
    expect(rig.counters(0)[COPIES]).toBe(4);
    expect(rig.learned).toEqual({ [macText(mac(1))]: 0, [macText(mac(9))]: 0 });
  });

  test("sends back to the port that a frame came from, where it says so", () => {
    const rig = newRig({}, {});
    rig.rules(to(0));
    const sent = frame(mac(2), mac(1));
    expect(rig.send(0, sent)).toEqual([[sent], []]);
  });

  test("leaves out ports that are down, deliver nothing or are not there", () => {
    const rig = newRig({}, { up: false }, { delivers: false }, {});
    rig.rules(to(1, 2, 3, 77));
    const sent = frame(mac(2), mac(1));
    expect(rig.send(0, sent)).toEqual([[], [], [], [sent]]);
    expect(rig.counters(0)[COPIES]).toBe(0);
  });

  test.each([[[]], [[1]], [[1, 2, 77]]])("with none of %j left is no_destination", (ports) => {
    const rig = newRig({}, { up: false }, { delivers: false });
    rig.rules(to(...ports));
    expect(rig.send(0, frame(mac(2), mac(1)), frame(mac(2), mac(1)))).toEqual([[], [], []]);
    expect(rig.drops(0)).toEqual({ no_destination: 2 });
  });
});

describe("flood", () => {
  test("sends known unicast everywhere but back, and link-local frames nowhere", () => {
    const rig = newRig({}, {}, {}, { up: false });
    rig.station(mac(2), 2);
    rig.rules(rulesOf([1, ANY, { do: "flood" }]));
    const sent = frame(mac(2), mac(1));
    expect(rig.send(0, sent, frame(RESERVED, mac(1)))).toEqual([[], [sent], [sent], []]);
    expect(rig.drops(0)).toEqual({ reserved: 1 });
    expect(rig.counters(0)[COPIES]).toBe(1);
  });
});

describe("bad sources", () => {
  test("meet no rule, wherever they stand in a burst", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, ANY, { do: "forward", ports: [1] }]));
    const good = frame(mac(2), mac(1));
    const bad = [frame(mac(2), BROADCAST), frame(mac(2), [0, 0, 0, 0, 0, 0]), frame(mac(2), [1, 0, 0, 0, 0, 0])];
    expect(rig.send(0, bad[0], good, bad[1], bad[2], good)).toEqual([[], [good, good]]);
    expect(rig.drops(0)).toEqual({ bad_source: 3 });
    expect(rig.counted(1)).toEqual([2, 128, 1]);
  });
});

describe("a port that is down", () => {
  test("takes nothing, and no rule counts it", () => {
    const rig = newRig({ up: false }, {});
    rig.rules(rulesOf([1, ANY, { do: "forward", ports: [1] }]));
    expect(rig.send(0, frame(mac(2), mac(1)))).toEqual([[], []]);
    expect([rig.drops(0), rig.counted(1)[0]]).toEqual([{ link_down: 1 }, 0]);
  });
});

describe("order", () => {
  test("of frames of one burst is kept at each port, whatever rules they meet", () => {
    const rig = newRig({}, {}, {}, {});
    rig.rules(
      rulesOf(
        [9, { "udp.dport": 1 }, { do: "drop" }],
        [8, { "udp.dport": 2 }, { do: "forward", ports: [1, 2] }],
        [7, { "udp.dport": 3 }, { do: "mirror", port: 1 }, { do: "forward", ports: [2] }],
        [6, { "udp.dport": 4 }, { do: "set-vlan", id: 9 }, { do: "flood" }],
      ),
    );
    const specs = Array.from({ length: BURST }, (_, k) => {
      const spec = spec4({ id: k, payload: pattern(30), transport: "udp" });
      const bytes = complete(mac(2), mac(1), spec);
      bytes[36] = 0;
      bytes[37] = (k * 7 + (k >> 3)) % 6;
      return bytes;
    });
    const got = rig.send(0, ...specs);
    const idOf = (bytes: Uint8Array) => bytes[(bytes[12] === 0x81 ? 4 : 0) + 19];
    const expected = (port: number) =>
      specs.filter((bytes) => {
        const to = bytes[37];
        return to === 2 ? port < 3 : to === 3 ? port < 3 : to !== 1;
      });
    for (const port of [1, 2, 3]) expect(got[port].map(idOf)).toEqual(expected(port).map(idOf));
    expect(rig.drops(0)).toEqual({ rule: specs.filter((bytes) => bytes[37] === 1).length });
  });
});
