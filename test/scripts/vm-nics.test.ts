// A machine with NICs as QEMU is told of it, and what a test file says to get one.

import { describe, expect, test } from "bun:test";
import { complaints } from "../../scripts/vm/console.ts";
import { machineKind, readNeeds, together } from "../../scripts/vm/needs.ts";
import { nicMac, nicProperties, nicsOf, partnerMac, tapNames, VIRTIO_PAIRS } from "../../scripts/vm/nics.ts";
import { parse } from "../../scripts/vm/options.ts";
import { DEFAULT_OPTIONS, qemuCommand } from "../../scripts/vm/qemu.ts";
import { qemuIn } from "../../scripts/vm/qemus.ts";

const IMAGE = { kernel: "k", initramfs: "i", folder: "/f", results: "r" };
const BACKPORTS = qemuIn("/trixie");
const ALL = nicsOf({ igb: true });

const command = (options: object, image: object = {}) =>
  qemuCommand({ ...DEFAULT_OPTIONS, ...options }, { ...IMAGE, ...image });
/** What follows each `-device` or `-netdev`. */
const after = (words: readonly string[], option: string) =>
  words.flatMap((word, index) => (word === option ? [words[index + 1]] : []));

describe("a machine with NICs", () => {
  const words = command({ nics: true }, { qemu: BACKPORTS });
  const devices = after(words, "-device");

  test("has an IOMMU, and without the option neither", () => {
    expect(words.join(" ")).toMatch(/q35,kernel-irqchip=split .*-device intel-iommu,.* intel_iommu=on/);
    expect(command({}).join(" ")).not.toMatch(/iommu|root-port|unshare|qmp/);
  });

  test("has each NIC behind a root port of its own, but for the two that share a slot, and the one without", () => {
    const ports = devices.filter((device) => device.startsWith("pcie-root-port,"));
    const behind = ALL.filter(({ model }) => model !== "e1000").map((nic) => `${nicProperties(nic).bus}`);
    expect(new Set(behind).size).toBe(behind.length - 1);
    expect(ports.map((port) => /id=(port\d+)/.exec(port)?.[1])).toEqual([...new Set(behind)]);
    expect(nicProperties(ALL.find(({ id }) => id === "other")!).bus).toBe("pcie.0");
    expect(
      devices.filter((device) => device.includes("id=shared")).map((device) => /addr=([^,]+)/.exec(device)?.[1]),
    ).toEqual(["0x0.0", "0x0.1"]);
  });

  test("has no name, address or tap twice, and taps that are no longer than a kernel takes", () => {
    for (const names of [
      ALL.map(({ id }) => id),
      [...ALL.map(nicMac), ...ALL.map(partnerMac)],
      ALL.flatMap(tapNames),
    ]) {
      expect(new Set(names).size).toBe(names.length);
    }
    for (const name of ALL.flatMap(tapNames)) expect(name.length).toBeLessThan(16);
  });

  test("begins in a network namespace with the taps that its wires end in", () => {
    const begin = words.slice(0, words.indexOf(BACKPORTS.command[0]));
    expect(begin.slice(0, 3)).toEqual(["unshare", "--net", "bash"]);
    expect(begin[3]).toEndWith("/scripts/vm/wires.sh");
    const made = begin[5].split(" ").flatMap((pair) => pair.split(":").slice(0, 2));
    const used = after(words, "-netdev").flatMap((netdev) => /^tap,.*ifname=([^,]+)/.exec(netdev)?.[1] ?? []);
    expect(made.sort()).toEqual(used.sort());
    expect(begin[5]).toContain("virtio0-n:virtio0-p:multi_queue");
    expect(words.join(" ")).toContain(`ifname=virtio0-n,script=no,downscript=no,vhost=off,queues=${VIRTIO_PAIRS}`);
  });

  test("gives virtio NICs to the IOMMU, and their partners not", () => {
    const virtio = devices.filter((device) => device.startsWith("virtio-net-pci,"));
    const guarded = virtio.filter(
      (device) => device.includes("iommu_platform=on,") || device.endsWith("iommu_platform=on"),
    );
    expect(guarded.map((device) => /id=([^,]+)/.exec(device)?.[1])).toEqual([
      "virtio0",
      "virtio1",
      "outside",
      "shared0",
      "shared1",
    ]);
    expect(virtio.filter((device) => device.includes("-partner,")).join()).not.toContain("iommu");
    for (const device of virtio) expect(device).toContain("romfile=");
  });

  test("has igb where QEMU has it", () => {
    expect(devices.filter((device) => device.startsWith("igb,"))).toHaveLength(2);
    expect(command({ nics: true }).join(" ")).not.toContain("igb");
  });
});

test("QEMU of another Debian runs by that one's loader, with its libraries, modules and firmware", () => {
  expect(BACKPORTS.command[0]).toStartWith("/trixie/");
  for (const path of BACKPORTS.command.filter((word) => word.includes("/"))) expect(path).toStartWith("/trixie/");
  expect(BACKPORTS.env.QEMU_MODULE_DIR).toStartWith("/trixie/");
  expect(command({}, { qemu: BACKPORTS }).slice(0, BACKPORTS.command.length)).toEqual([...BACKPORTS.command]);
});

test("a test file, or the command line, asks for them", () => {
  const needs = readNeeds("// VM: nics\n// VM: qemu backports\n", "x");
  expect(needs).toEqual({ nics: true, qemu: "backports", prepare: [] });
  expect(() => readNeeds("// VM: qemu frontports\n", "x")).toThrow("is no need");
  expect(() => readNeeds("// VM: nics 2\n", "x")).toThrow("is no need");
  expect(parse(["--nics", "--qemu", "backports", "true"]).options).toMatchObject({ nics: true, qemu: "backports" });
  expect(parse(["true"]).options).toMatchObject({ nics: false, qemu: "installed" });
});

test("files share a boot with those that want the same machine", () => {
  const kinds = ["", "// VM: iommu", "// VM: nics", "// VM: qemu backports", "// VM: nics\n// VM: qemu backports"].map(
    (text) => machineKind(readNeeds(text, "x")),
  );
  expect(kinds[0]).toBe(kinds[1]);
  expect(new Set(kinds).size).toBe(4);
  const alike = ["// VM: nics\n// VM: hugepages 5", "// VM: nics\n// VM: iommu"].map((text) => readNeeds(text, "x"));
  expect(together(alike)).toEqual({ hugepages: 5, iommu: true, nics: true, prepare: [] });
});

test("a kernel that counts how often a NIC was bound does not complain", () => {
  const line = (text: string) => `[   12.3] e1000e 0000:04:00.0: Warning: ${text}`;
  expect(complaints(line("no configuration for board #32"))).toEqual([]);
  expect(complaints(line("something else"))).toHaveLength(1);
});
