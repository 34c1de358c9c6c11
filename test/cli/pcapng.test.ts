// What is written as pcapng reads back the same: by ringyard's own reader, and by tshark, capinfos and tcpdump.

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { nthFrame } from "../../src/cli/pcap.ts";
import { interfaceBlock, type Packet, packetBlock, sectionBlock, statisticsBlock } from "../../src/cli/pcapng.ts";
import { useDirectories } from "../support/control.ts";
import { frame, mac } from "../support/frames.ts";
import { run } from "../support/process.ts";
import { requirePrograms } from "../support/skip.ts";

const directory = useDirectories();
const PORTS = ["vm1", "web-2"];

function fileOf(packets: readonly Packet[], ...statistics: Uint8Array[]): Uint8Array {
  const ports = PORTS.map((name) => interfaceBlock(name, 65_557));
  return Buffer.concat([sectionBlock("ringyard test"), ...ports, ...packets.map(packetBlock), ...statistics]);
}

test("any packets are read back by our own reader", () => {
  const anyPacket = fc.record({
    interface: fc.nat(1),
    direction: fc.constantFrom<"in" | "out">("in", "out"),
    timeUs: fc.nat(2 ** 51),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 90 }),
    rest: fc.nat(9000),
    comment: fc.option(fc.string({ maxLength: 30, unit: "grapheme" }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(anyPacket, { minLength: 1, maxLength: 8 }), (drawn) => {
      const packets = drawn.map(({ rest, comment, ...packet }) => ({
        ...packet,
        length: packet.bytes.length + rest,
        ...(comment !== undefined && { comment }),
      }));
      const file = fileOf(packets);
      for (const [k, { bytes, length }] of packets.entries()) {
        const read = nthFrame((at, size) => file.subarray(at, at + size), k + 1, "file");
        expect({ bytes: new Uint8Array(read.bytes), length: read.length }).toEqual({ bytes, length });
      }
    }),
  );
});

test("an option's length is that of its value, without what fills it up", () => {
  const block = interfaceBlock("vm1", 64);
  expect([...block.slice(16, 24)]).toEqual([2, 0, 3, 0, ...Buffer.from("vm1"), 0]);
  expect(block).toHaveLength(block[4]);
});

const suite = requirePrograms(["tshark", "capinfos", "tcpdump"], "apt install tshark tcpdump");

suite("the field's programs", () => {
  const timeUs = 1_790_000_000_123_456;
  const bytes = frame(mac(2), mac(1));
  const packets: Packet[] = [
    { interface: 0, direction: "in", timeUs, length: 64, bytes },
    { interface: 1, direction: "out", timeUs: timeUs + 1, length: 1500, bytes: bytes.slice(0, 33) },
    { interface: 0, direction: "in", timeUs: timeUs + 2, length: 64, bytes, comment: "dropped: no_buffer – é" },
  ];
  const last = { timeUs: timeUs + 3, received: 2 ** 33, dropped: 7, comment: "7 lost" };
  const path = () => {
    const file = join(directory(), "x.pcapng");
    writeFileSync(file, fileOf(packets, statisticsBlock({ interface: 0, ...last })));
    return file;
  };

  test("tshark reads port, direction, time, lengths, comment", async () => {
    const fields = ["interface_name", "packet_flags_direction", "time_epoch", "len", "cap_len", "comment"];
    const options = fields.flatMap((name) => ["-e", `frame.${name}`]);
    const { stdout } = await run(["tshark", "-r", path(), "-T", "fields", "-E", "separator=|", ...options]);
    const seen = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("|"));
    expect(seen.map(([name, direction, , ...rest]) => [name, Number(direction), ...rest])).toEqual([
      ["vm1", 1, "64", "64", ""],
      ["web-2", 2, "1500", "33", ""],
      ["vm1", 1, "64", "64", "dropped: no_buffer – é"],
    ]);
    expect(seen.map(([, , time]) => Math.round(Number(time) * 1e6) % 10_000_000)).toEqual([123_456, 123_457, 123_458]);
  });

  test("capinfos reads interfaces and statistics", async () => {
    const { stdout } = await run(["capinfos", path()]);
    expect(stdout).toMatch(/Number of packets:\s+3\n/);
    expect(stdout).toMatch(/Number of interfaces in file: 2/);
    expect(stdout).toContain("Name = vm1");
    expect(stdout).toContain("Name = web-2");
    expect(stdout).toContain("ringyard test");
  });

  test("tcpdump reads it from a pipe", async () => {
    const { stdout } = await run(["sh", "-c", `tcpdump -nr - -e < '${path()}'`]);
    expect(stdout.match(/02:00:00:00:00:01 > 02:00:00:00:00:02/g)).toHaveLength(3);
  });
});
