// The network devices of a machine that has them ("VM: nics"), and the wires between them. NICs for ringyard stand behind root
// ports, so that each has an IOMMU group of its own and may be taken away while the machine runs; their partners stand on the root
// bus, past the IOMMU, and belong to the guest's kernel (virtio_net).
//
//   root port at slot 10h: virtio0 ══ wire ══ partner     each wire: two taps in a network namespace of QEMU's own, joined by
//   root port at slot 11h: virtio1 ══ wire ══ partner     wires.sh; so frames may be jumbo, ask for TSO, and go over several queues
//   e1000e0, e1000e1: the same                            igb0, igb1: the same, where QEMU has igb
//   outside: virtio-net-pci ══ stream ══ wire.sock in the machine's folder, for a program on the host (4 bytes of length, big-endian,
//            before each frame)
//   shared0, shared1: two functions of one slot, and so of one IOMMU group; joined with each other by a hub
//   other: a NIC that ringyard has no driver for, on the root bus, without a wire
//
// The address 52:54:00:00:SS:0F tells slot and function of a NIC; its partner's is 52:54:00:01:SS:0F. Pure; the machine's own
// tests read this file, too (test/support/nics.ts).

export type NicModel = "virtio-net-pci" | "e1000e" | "igb" | "e1000";

export interface MachineNic {
  /** As QEMU knows the device: for device_del and set_link. */
  readonly id: string;
  readonly model: NicModel;
  /** Of the root port that it stands behind, or its own on the root bus. */
  readonly slot: number;
  readonly function: number;
  readonly wire: "partner" | "socket" | "hub" | "none";
}

const FIRST_SLOT = 0x10;
/** Pairs of queues that a virtio NIC has. */
export const VIRTIO_PAIRS = 4;
/** The longest that a tap takes (drivers/net/tun.c): the wires are no limit. */
export const WIRE_MTU = 65521;

const ALL: readonly MachineNic[] = [
  nic("virtio0", "virtio-net-pci", 0, "partner"),
  nic("virtio1", "virtio-net-pci", 1, "partner"),
  nic("e1000e0", "e1000e", 2, "partner"),
  nic("e1000e1", "e1000e", 3, "partner"),
  nic("outside", "virtio-net-pci", 4, "socket"),
  nic("shared0", "virtio-net-pci", 5, "hub"),
  { ...nic("shared1", "virtio-net-pci", 5, "hub"), function: 1 },
  nic("other", "e1000", 6, "none"),
  nic("igb0", "igb", 7, "partner"),
  nic("igb1", "igb", 8, "partner"),
];

function nic(id: string, model: NicModel, place: number, wire: MachineNic["wire"]): MachineNic {
  return { id, model, slot: FIRST_SLOT + place, function: 0, wire };
}

/** The NICs that a QEMU can give the machine. */
export function nicsOf({ igb }: { igb: boolean }): readonly MachineNic[] {
  return ALL.filter(({ model }) => igb || model !== "igb");
}

export function nicMac({ slot, function: index }: MachineNic): string {
  return `52:54:00:00:${slot.toString(16)}:0${index}`;
}

export function partnerMac({ slot, function: index }: MachineNic): string {
  return `52:54:00:01:${slot.toString(16)}:0${index}`;
}

/** The tap at a NIC's end of its wire, and at its partner's, in the namespace that wires.sh makes. */
export function tapNames({ id }: MachineNic): readonly [string, string] {
  return [`${id}-n`, `${id}-p`];
}

/** What QEMU's device is made of, as `device_add` of QMP takes it: also to bring one back that was taken away. */
export function nicProperties(nic: MachineNic): Record<string, string | number | boolean> {
  const onRootBus = nic.model === "e1000";
  const virtio = {
    "disable-legacy": "on",
    iommu_platform: true,
    ...(nic.wire === "partner" ? { mq: true, vectors: 2 * VIRTIO_PAIRS + 2 } : {}),
  };
  return {
    driver: nic.model,
    id: nic.id,
    bus: onRootBus ? "pcie.0" : portName(nic),
    addr: `0x${(onRootBus ? nic.slot : 0).toString(16)}.${nic.function}`,
    mac: nicMac(nic),
    // No boot from the network: its program would be loaded and run by the firmware.
    romfile: "",
    ...(nic.wire === "none" ? {} : { netdev: `${nic.id}-net` }),
    ...(nic.model === "virtio-net-pci" ? virtio : {}),
    ...(nic.id === "shared0" ? { multifunction: true } : {}),
  };
}

function portName({ slot }: MachineNic): string {
  return `port${slot}`;
}

/** The words of QEMU's command line that make them. `folder` is the machine's, for wire.sock. */
export function nicArguments(nics: readonly MachineNic[], folder: string): string[] {
  const slots = [...new Set(nics.filter(({ model }) => model !== "e1000").map(({ slot }) => slot))];
  return [
    ...slots.flatMap((slot) => [
      "-device",
      words({ driver: "pcie-root-port", id: `port${slot}`, bus: "pcie.0", addr: hex(slot), chassis: slot, slot }),
    ]),
    ...nics.flatMap((nic) => [...wireArguments(nic, folder), "-device", words(nicProperties(nic))]),
  ];
}

function wireArguments(nic: MachineNic, folder: string): string[] {
  const id = `${nic.id}-net`;
  if (nic.wire === "none") return [];
  if (nic.wire === "hub") return ["-netdev", `hubport,id=${id},hubid=${nic.slot}`];
  if (nic.wire === "socket") {
    return ["-netdev", `stream,id=${id},server=on,addr.type=unix,addr.path=${wireSocket(folder)}`];
  }
  const [near, far] = tapNames(nic);
  const queues = nic.model === "virtio-net-pci" ? `,queues=${VIRTIO_PAIRS}` : "";
  const partner = {
    driver: "virtio-net-pci",
    id: `${nic.id}-partner`,
    bus: "pcie.0",
    mac: partnerMac(nic),
    romfile: "",
  };
  return [
    ...["-netdev", `tap,id=${id},ifname=${near},script=no,downscript=no,vhost=off${queues}`],
    ...["-netdev", `tap,id=${id}-p,ifname=${far},script=no,downscript=no,vhost=off`],
    ...["-device", words({ ...partner, netdev: `${id}-p` })],
  ];
}

export function wireSocket(folder: string): string {
  return `${folder}/wire.sock`;
}

/** The words before QEMU's own: a network namespace with the wires in it, gone with QEMU. Empty where there are none. */
export function wiresCommand(nics: readonly MachineNic[], script: string): string[] {
  const wired = nics.filter(({ wire }) => wire === "partner");
  const pairs = wired.map((nic) => [...tapNames(nic), nic.model === "virtio-net-pci" ? "multi_queue" : ""].join(":"));
  return ["unshare", "--net", "bash", script, `${WIRE_MTU}`, pairs.join(" ")];
}

/** `driver,name=value,…`; what is true or false is on or off here. */
function words({ driver, ...properties }: Record<string, string | number | boolean>): string {
  const value = (given: string | number | boolean) => (given === true ? "on" : given === false ? "off" : given);
  return [driver, ...Object.entries(properties).map(([name, given]) => `${name}=${value(given)}`)].join(",");
}

function hex(slot: number): string {
  return `0x${slot.toString(16)}`;
}
