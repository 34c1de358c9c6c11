// The far end of a NIC's wire, where the kernel's own driver is: an address, a UDP socket, and what came there. And datagrams for it, no
// two of them alike, in frames of a VM's making: sent by any guest that tests drive, they have to arrive byte for byte, once and in order.
//
//   VM -- port -- switch -- NIC ══ wire ══ kernel's driver -- socket
//
//   const farEnd = useFarEnd();
//   const far = await farEnd(nic);     await far.pass(vm, 640);
//
// Main thread of a test process, in a virtual machine with NICs.

import { afterEach, expect } from "bun:test";
import type { udp } from "bun";
import { build, spec4 } from "../dataplane/offload/reference.ts";
import { mac } from "./frames.ts";
import { type Nic, partnerDevice } from "./nics.ts";
import { until } from "./until.ts";

/** Sent at once: what the socket surely holds. */
export const WINDOW = 32;
const VM_MAC = mac(0xb1);
const VM_IP = [10, 77, 0, 1];
const FAR_IP = [10, 77, 0, 2];
/** The port that frames of reference.ts go to. */
const UDP_PORT = 0x1451;
/** Payloads; four bytes say which one it is. */
const SIZES = [4, 17, 18, 63, 100, 512, 1000, 1471, 1472];

/** A guest's driver: FrontEnd, VdpaGuest. */
export interface Sender {
  /** False where its ring is full. */
  send(frame: Uint8Array): boolean;
}

let sequence = 0;

export class FarEnd {
  /** Payloads that arrived, as text in hexadecimal. */
  private readonly got: string[] = [];
  private readonly mac: number[];

  /** Use `useFarEnd`. */
  constructor(nic: Nic) {
    this.mac = nic.partner.mac.split(":").map((byte) => Number.parseInt(byte, 16));
  }

  /** What the socket hands over. */
  take(payload: Buffer): void {
    this.got.push(payload.toString("hex"));
  }

  /** A datagram whose payload nobody else has. */
  private next(size: number): { frame: Uint8Array; payload: string } {
    sequence++;
    const payload = Array.from(
      { length: size },
      (_, i) => (i < 4 ? sequence >> (i * 8) : sequence * 31 + i * 7) & 0xff,
    );
    const spec = spec4({ transport: "udp", source: VM_IP, target: FAR_IP, payload, partial: false });
    const frame = Uint8Array.from(build(spec).bytes);
    frame.set(this.mac, 0);
    frame.set(VM_MAC, 6);
    return { frame, payload: Buffer.from(payload).toString("hex") };
  }

  /** Sends datagrams of these sizes, waiting for room in the ring; returns their payloads. */
  async send(vm: Sender, sizes: readonly number[]): Promise<string[]> {
    const payloads: string[] = [];
    for (const size of sizes) {
      const { frame, payload } = this.next(size);
      await until("room in the VM's ring", () => vm.send(frame), { everyMs: 0 });
      payloads.push(payload);
    }
    return payloads;
  }

  /** Sends as many datagrams as the ring takes, up to a window; nobody waits for them. */
  flood(vm: Sender, size: number): void {
    for (let n = 0; n < WINDOW && vm.send(this.next(size).frame); n++) {
      // Until the ring is full.
    }
  }

  /** Which of these payloads came, in the order in which they did. */
  arrivals(payloads: readonly string[]): string[] {
    const wanted = new Set(payloads);
    return this.got.filter((payload) => wanted.has(payload));
  }

  /** Waits for these payloads, and looks that they came in order, each once. Others may come between. */
  async arrived(payloads: readonly string[]): Promise<void> {
    const all = () => this.arrivals(payloads).length >= payloads.length;
    await until(`${payloads.length} frames`, all, { context: () => `${this.arrivals(payloads).length} came` });
    expect(this.arrivals(payloads)).toEqual([...payloads]);
  }

  /** Sends frames of every size, and waits until each has arrived as it was sent, in order. */
  async pass(vm: Sender, count: number): Promise<void> {
    const wanted: string[] = [];
    for (let sent = 0; sent < count; sent += WINDOW) {
      const sizes = Array.from({ length: Math.min(WINDOW, count - sent) }, (_, n) => SIZES[(sent + n) % SIZES.length]);
      wanted.push(...(await this.send(vm, sizes)));
      await this.arrived(wanted);
    }
  }
}

/** Returns a function that readies the end of a NIC's wire; given back after each test. */
export function useFarEnd(): (nic: Nic) => Promise<FarEnd> {
  const undo: (() => unknown)[] = [];
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });
  return async (nic) => {
    const netdev = await partnerDevice(nic);
    await Bun.$`ip address replace ${FAR_IP.join(".")}/24 dev ${netdev}`.quiet();
    undo.push(() => Bun.$`ip address flush dev ${netdev}`.quiet());
    await Bun.$`ip link set ${netdev} up`.quiet();
    const far = new FarEnd(nic);
    const socket: udp.Socket<"buffer"> = await Bun.udpSocket({
      hostname: FAR_IP.join("."),
      port: UDP_PORT,
      socket: { data: (_socket, payload) => far.take(payload) },
    });
    undo.push(() => socket.close());
    return far;
  };
}
