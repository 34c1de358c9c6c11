// The wire that leads out of a virtual machine: a program on the host is heard by the machine's kernel, and hears it.

import { beforeAll, expect, test } from "bun:test";
import { bootVm, missingPrograms, type Vm } from "../../scripts/vm/machine.ts";
import { nicMac, nicsOf } from "../../scripts/vm/nics.ts";
import { useCleanup } from "../support/cleanup.ts";
import { requirePeer } from "../support/skip.ts";
import { until } from "../support/until.ts";
import { Wire } from "../support/wire.ts";

const LIMIT_MS = 180_000;
const ROOT = process.getuid?.() === 0;
const missing = [...missingPrograms(), ...(ROOT ? [] : ["root"])];
const MAC = nicMac(nicsOf({ igb: false }).find(({ id }) => id === "outside")!);
const OURS = "02:00:00:00:00:77";
const ARP_REQUEST = 1;
const ARP_REPLY = 2;

const defer = useCleanup();
const bytes = (text: string) => text.split(/[:.]/).map((word) => Number.parseInt(word, text.includes(":") ? 16 : 10));

/** Who has `wanted`? Ethernet and ARP headers (RFC 826), without padding. */
function arpRequest(wanted: string): Uint8Array {
  const ethernet = [...bytes("ff:ff:ff:ff:ff:ff"), ...bytes(OURS), 0x08, 0x06];
  const arp = [
    0,
    1,
    0x08,
    0,
    6,
    4,
    0,
    ARP_REQUEST,
    ...bytes(OURS),
    ...bytes("10.89.0.2"),
    ...bytes("00:00:00:00:00:00"),
  ];
  return Uint8Array.from([...ethernet, ...arp, ...bytes(wanted)]);
}

requirePeer(
  "a virtual machine with NICs",
  missing.length === 0,
  `missing: ${missing.join(", ")}`,
)("the wire of a virtual machine", () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ memory: 1024, processors: 1, nics: true });
    defer(() => vm.close());
    const name = (await vm.check(`grep -l ${MAC} /sys/class/net/*/address | cut -d/ -f5`)).trim();
    await vm.check(`ip addr add 10.89.0.1/24 dev ${name} && ip link set ${name} up`);
  }, LIMIT_MS);

  test.each([1, 2])(
    "is heard from outside, whoever plugs in (%d)",
    async () => {
      const wire = await Wire.plugIn(vm.wire);
      const isReply = (frame: Buffer) => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === ARP_REPLY;
      const reply = await until("an answer", () => {
        wire.send(arpRequest("10.89.0.1"));
        return wire.frames.find(isReply);
      });
      expect([...reply.subarray(6, 12)]).toEqual(bytes(MAC));
      expect([...reply.subarray(28, 32)]).toEqual(bytes("10.89.0.1"));
      wire.unplug();
    },
    LIMIT_MS,
  );
});
