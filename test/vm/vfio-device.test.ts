// VFIO against a real kernel and an emulated IOMMU: an 82574L through each door that the kernel has. Registers, configuration space,
// interrupts of each kind, memory that the device reads and writes (frames it sends to itself), and what happens when it is taken
// away, is somebody else's, or was never ours.
//
// VM: nics
// VM: kernels 6.12
// VM: also sid build

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import type { RingyardError } from "../../src/core/errors.ts";
import { dmaSpacesInUse, openVfioDevice } from "../../src/ports/vfio/device/open.ts";
import type { VfioDevice } from "../../src/ports/vfio/device/vfio-device.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "../../src/sys/memory.ts";
import { PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX, PCI_COMMAND, PCI_COMMAND_MASTER } from "../../src/uapi/pci_regs.ts";
import { ICR, ICS, IMC, IMS, IVAR, Loopback, RAH, RAL } from "../ports/vfio/device/loopback.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { DOORS, type Door } from "../support/nic-bridge.ts";
import { bind, dmaFaults, driverOf, nicNamed, nics, putBack, requireNics, takeAway } from "../support/nics.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";

const PCI = "/sys/bus/pci";
const CYCLES = sized(20, 100);
const CHILD = new URL("../ports/vfio/device/child.ts", import.meta.url).pathname;

function refusal(action: () => VfioDevice): string {
  try {
    action().close();
    return "it opens";
  } catch (error) {
    const { code, advice } = error as RingyardError;
    return `${code}: ${advice}`;
  }
}

/** Runs child.ts; resolves with its next line, each time. */
function child(address: string, door: Door, bytes: number, wrapper: string[] = []) {
  const spawned = Bun.spawn([...wrapper, process.execPath, CHILD, address, door, `${bytes}`], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  const reader = spawned.stdout.getReader();
  const line = async (): Promise<string> => {
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) return text;
      text += new TextDecoder().decode(value);
    }
    const end = text.indexOf("\n");
    const first = text.slice(0, end);
    text = text.slice(end + 1);
    return first;
  };
  const end = async () => {
    spawned.stdin.end();
    await spawned.exited;
  };
  return { line, end, spawned };
}

requireNics("e1000e")("an 82574L", () => {
  const defer = useCleanup();
  const [nic, other] = nics("e1000e");
  for (const { address } of [nic, other]) {
    bind(address, "vfio-pci");
    defer(() => bind(address, ""));
  }

  const opened: VfioDevice[] = [];
  const children: ReturnType<typeof child>[] = [];
  // So that a test that fails does not cost the others.
  afterEach(async () => {
    for (const device of opened.splice(0)) device.close();
    for (const each of children.splice(0)) await each.end();
  });

  function spawn(...how: Parameters<typeof child>): ReturnType<typeof child> {
    const spawned = child(...how);
    children.push(spawned);
    return spawned;
  }

  function open(door: Door, address = nic.address): VfioDevice {
    const device = openVfioDevice(address, { door });
    opened.push(device);
    return device;
  }

  describe.each(DOORS)("by %s", (door) => {
    test("has its address in its registers, mapped", () => {
      const device = open(door);
      const registers = device.bar(0);
      const bytes = new DataView(new ArrayBuffer(8));
      bytes.setUint32(0, registers.read32(RAL), true);
      bytes.setUint32(4, registers.read32(RAH), true);
      const mac = [0, 1, 2, 3, 4, 5].map((index) => bytes.getUint8(index).toString(16).padStart(2, "0"));
      expect(mac.join(":")).toBe(nic.mac);
      expect(registers.read16(RAL)).toBe(bytes.getUint16(0, true));
      expect(device.barConfig(0)).toMatchObject({ address: expect.any(Number), size: 128 * 1024 });
      expect(device.details()).toMatchObject({ iommu: door, interrupts: "msix" });
      // BAR 2 is I/O ports, which nobody maps: IOADDR and IODATA (82574 data sheet, 10.2.1) reach the same registers.
      const ports = device.bar(2);
      ports.write32(0, RAL);
      expect(ports.read32(4)).toBe(registers.read32(RAL));
      expect(device.details().registers_unmapped).toEqual(["BAR 2: not to be mapped"]);
      device.close();
    });

    test("has configuration space", () => {
      const device = open(door);
      expect([device.vendor, device.device]).toEqual([0x8086, 0x10d3]);
      expect(device.config.capabilities(PCI_CAP_ID_MSIX)).toHaveLength(1);
      expect(device.config.capabilities(PCI_CAP_ID_EXP)).toHaveLength(1);
      expect(device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(0);
      device.setBusMaster(true);
      expect(device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
      expect(device.reset()).toBe(true);
      device.close();
    });

    test("interrupts by MSI-X, each cause on its vector", async () => {
      const device = open(door);
      const registers = device.bar(0);
      expect(device.vectors).toBe(5);
      const fds = device.enableInterrupts(3);
      device.setBusMaster(true);
      // Receive queue 0 on vector 1, transmit queue 0 on vector 2; each entry is 3 bits and one that makes it valid.
      registers.write32(IVAR, 0x9 | (0xa << 8));
      const [RXQ0, TXQ0] = [1 << 20, 1 << 22];
      registers.write32(IMS, RXQ0 | TXQ0);
      registers.write32(ICS, RXQ0);
      await until("vector 1", () => clearSignal(fds[1]));
      expect([clearSignal(fds[0]), clearSignal(fds[2])]).toEqual([false, false]);
      registers.write32(ICS, TXQ0);
      await until("vector 2", () => clearSignal(fds[2]));
      device.triggerInterrupt(0);
      await until("vector 0", () => clearSignal(fds[0]));
      device.silenceInterrupt(0, true);
      device.silenceInterrupt(0, false);
      device.triggerInterrupt(0);
      await until("vector 0 again", () => clearSignal(fds[0]));
      device.close();
    });

    test.each(["msi", "intx"] as const)("interrupts by %s", async (kind) => {
      const device = open(door);
      const registers = device.bar(0);
      const [fd] = device.enableInterrupts(1, kind);
      expect(device.interruptKind).toBe(kind);
      device.setBusMaster(true);
      const LSC = 1 << 2;
      registers.write32(IMS, LSC);
      for (const round of [1, 2]) {
        registers.write32(ICS, LSC);
        await until(`interrupt ${round}`, () => clearSignal(fd));
        registers.read32(ICR);
        registers.write32(ICR, 0xffffffff);
        device.unmaskIntx();
      }
      registers.write32(IMC, 0xffffffff);
      device.close();
    });

    test("reads and writes memory that is mapped for it, and none that was unmapped", async () => {
      const device = open(door);
      const before = dmaFaults().length;
      const size = 2 * 2 ** 20;
      const address = mapAnonymous(2 * size);
      defer(() => unmap(address, 2 * size));
      const halves = [0, size].map((offset) => new Uint8Array(viewOf(address, offset, size)));
      const received = (half: number, length: number) => halves[half].slice(size - 2048, size - 2048 + length);
      const iova = device.space.map(address, size);
      expect(device.space.mappedSize).toBe(size);
      const loop = await Loopback.start(device, iova + size - 2048);
      for (let round = 1; round <= 12; round++) {
        const frame = Uint8Array.from({ length: 60 + round * 100 }, (_, index) => (index < 12 ? 0xff : index * round));
        const length = await loop.send(frame);
        expect(length).toBeGreaterThanOrEqual(frame.length);
        expect(received(0, frame.length)).toEqual(frame);
      }

      // The same IOVA, and other memory behind it: what the IOMMU has cached of the old is gone.
      device.space.unmap(iova);
      expect(device.space.map(address + size, size)).toBe(iova);
      halves[0].fill(0);
      await loop.send(new Uint8Array(100).fill(0xff));
      expect(received(1, 100)).toEqual(new Uint8Array(100).fill(0xff));
      expect(halves[0].every((byte) => byte === 0)).toBe(true);
      expect(dmaFaults().length).toBe(before);
      loop.stop();
      device.close();
      expect(dmaSpacesInUse()).toEqual([]);
    }, 120_000);

    test("shares its address space with the other one", () => {
      const first = open(door);
      const second = open(door, other.address);
      expect(second.space).toBe(first.space);
      const memory = first.allocate(PAGE_SIZE);
      first.close();
      expect(second.space.mappedSize).toBe(0);
      second.allocate(PAGE_SIZE);
      expect(memory.size).toBe(PAGE_SIZE);
      second.close();
      expect(dmaSpacesInUse()).toEqual([]);
    });

    test(`is opened and closed ${CYCLES} times, and nothing stays`, () => {
      const cycle = () => {
        const device = open(door);
        device.bar(0).read32(RAL);
        device.allocate(65536);
        device.enableInterrupts(5);
        device.close();
      };
      cycle();
      const before = holdings();
      const locked = lockedKib();
      for (let round = 0; round < CYCLES; round++) cycle();
      expect(heldDifference(before, holdings())).toEqual([]);
      expect(lockedKib()).toBe(locked);
    }, 240_000);

    test("is not had twice: by this process, by another one", async () => {
      const device = open(door);
      expect(refusal(() => openVfioDevice(nic.address, { door }))).toBe(
        `BUSY: ${nic.address} is a port of this switch already`,
      );
      device.close();
      const holder = spawn(nic.address, door, PAGE_SIZE);
      expect(await holder.line()).toBe("open");
      expect(await holder.line()).toBe("allocated");
      for (const each of DOORS) {
        const node = `/dev/vfio/devices/${characterDevice(nic.address)}`;
        const files = existsSync(node) ? node : "";
        expect(refusal(() => openVfioDevice(nic.address, { door: each }))).toBe(
          `BUSY: ${nic.address} is in use by another process: fuser -v ${`/dev/vfio/${group(nic.address)} ${files}`.trim()} names it`,
        );
      }
      await holder.end();
      open(door).close();
    }, 120_000);

    test("more memory than may be locked is refused with the limit, and less is not", async () => {
      const poor = [
        "setpriv",
        "--bounding-set",
        "-ipc_lock",
        "--inh-caps",
        "-ipc_lock",
        "prlimit",
        "--memlock=1048576",
      ];
      const greedy = spawn(nic.address, door, 4 * 2 ** 20, poor);
      expect(await greedy.line()).toBe("open");
      expect(await greedy.line()).toBe(
        "cannot lock 4 MiB for DMA beside 0 KiB: the limit of locked memory is 1 MiB: " +
          "ulimit -l 8192 in the shell that starts ringyard, or LimitMEMLOCK=8192K in its unit",
      );
      await greedy.end();
      const modest = spawn(nic.address, door, 2 ** 19, poor);
      expect([await modest.line(), await modest.line()]).toEqual(["open", "allocated"]);
      await modest.end();
    }, 120_000);

    test("that is to be taken away says so, and is gone when it is closed", async () => {
      const device = open(door, other.address);
      device.enableInterrupts(1);
      await takeAway(other.id);
      await until("the kernel's request", () => clearSignal(device.requestFd), { timeoutMs: 20_000 });
      device.close();
      const address = await putBack(other.id);
      expect(address).toBe(other.address);
      // Its files are there before the kernel binds anything to it.
      await until("vfio-pci to have it again", () => {
        if (driverOf(address) !== "vfio-pci") bind(address, "vfio-pci");
        return driverOf(address) === "vfio-pci";
      });
      open(door, address).close();
    }, 240_000);
  });

  test("bound to its own driver, it is refused with what to do", () => {
    bind(other.address, "");
    const now = driverOf(other.address) || "nobody";
    expect(refusal(() => openVfioDevice(other.address))).toBe(
      `BUSY: ${other.address} is driven by ${now}, not by vfio-pci: ringyard nic take ${other.address}`,
    );
    bind(other.address, "vfio-pci");
  });
});

requireNics()("a NIC that shares its group", () => {
  const defer = useCleanup();

  test.each(DOORS)("by %s, is refused while the kernel drives the other, which is named", (door) => {
    const [ours, theirs] = [nicNamed("shared0").address, nicNamed("shared1").address];
    bind(ours, "vfio-pci");
    defer(() => bind(ours, ""));
    expect(driverOf(theirs)).toBe("virtio-pci");
    expect(refusal(() => openVfioDevice(ours, { door }))).toBe(
      `BUSY: ${ours} shares IOMMU group ${group(ours)} with ${theirs} (virtio-pci): ` +
        `give those to vfio-pci too (ringyard nic take), or put ${ours} in another slot`,
    );
    bind(theirs, "vfio-pci");
    defer(() => bind(theirs, ""));
    const both = [ours, theirs].map((address) => openVfioDevice(address, { door }));
    for (const device of both) device.close();
    bind(theirs, "");
  });
});

function group(address: string): string {
  return basename(readlinkSync(`${PCI}/devices/${address}/iommu_group`));
}

function characterDevice(address: string): string {
  return readdirSync(`${PCI}/devices/${address}/vfio-dev`)[0];
}

/** What this process has locked and pinned. */
function lockedKib(): string {
  const status = Bun.spawnSync(["grep", "-E", "^Vm(Lck|Pin)", `/proc/${process.pid}/status`]).stdout.toString();
  return status.replaceAll(/\s+/g, " ");
}
