// A round trip between the network devices of two namespaces, with a packet socket at either end (packet(7)), whatever makes the devices: a
// TAP port, or a veth pair on the kernel's bridge. What it includes: write(2) of a frame, the device, the switch, the other device, and
// read(2), which is polled. Of the kernel's bridge all of it runs inside of write(2), on the processor of the client.

import { findLink } from "../../src/ports/link/link.ts";
import { openNetns } from "../../src/ports/link/netns.ts";
import { check } from "../../src/sys/errno.ts";
import { closeFd, O_CLOEXEC, O_NONBLOCK, readAt, writeAt } from "../../src/sys/fd.ts";
import { libc } from "../../src/sys/libc.ts";
import { mapAnonymous, PAGE_SIZE, viewOf } from "../../src/sys/memory.ts";
import { inNetns } from "../../src/sys/thread.ts";
import { macOf } from "../flow-frames.ts";
import { ETHERTYPE, FRAME_SIZE, LIMIT, NUMBER_AT, type Trip, tripFrame } from "./latency-trip.ts";

// bits/socket.h, linux/if_packet.h
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCKADDR_LL_SIZE = 20;

/** One device's socket, and a page: the frame that it sends | the frame that it reads. */
class PacketEnd {
  private readonly page = mapAnonymous(PAGE_SIZE);
  private readonly words = new Int32Array(viewOf(this.page, 0, PAGE_SIZE));
  private readonly bytes = new Uint8Array(this.words.buffer);
  private readonly received = PAGE_SIZE / 2;

  constructor(
    private readonly fd: number,
    private readonly mac: readonly number[],
  ) {}

  /** `device` in the namespace at `path`. */
  static open(path: string, device: string): PacketEnd {
    const netns = openNetns(path);
    try {
      return inNetns(netns, () => {
        const link = findLink(device);
        if (link === null) throw new Error(`no ${device} in ${path}`);
        const protocol = (ETHERTYPE >> 8) | ((ETHERTYPE & 0xff) << 8);
        const fd = check(libc.socket(AF_PACKET, SOCK_RAW | O_NONBLOCK | O_CLOEXEC, protocol), "socket");
        const address = new DataView(new ArrayBuffer(SOCKADDR_LL_SIZE));
        address.setUint16(0, AF_PACKET, true);
        address.setUint16(2, ETHERTYPE);
        address.setInt32(4, link.index, true);
        check(libc.bind(fd, new Uint8Array(address.buffer), SOCKADDR_LL_SIZE), "bind");
        return new PacketEnd(fd, macOf(link.mac));
      });
    } finally {
      closeFd(netns);
    }
  }

  /** All frames go to this end. */
  aim(to: PacketEnd): void {
    this.bytes.set(tripFrame(this.mac, to.mac));
  }

  send(n: number): void {
    this.words[NUMBER_AT >> 2] = n;
    writeAt(this.fd, this.page, FRAME_SIZE);
  }

  /** Whether the frame that was read last is, but for its number, what `from` sends. */
  tookFrom(from: PacketEnd): boolean {
    const isNumber = (k: number) => k >= NUMBER_AT && k < NUMBER_AT + 4;
    const sent = from.bytes.subarray(0, FRAME_SIZE);
    return sent.every((byte, k) => isNumber(k) || this.bytes[this.received + k] === byte);
  }

  /** Whether a frame was there; its number is `number` then. */
  receive(): boolean {
    return readAt(this.fd, this.page + this.received, FRAME_SIZE) > NUMBER_AT;
  }

  get number(): number {
    return this.words[(this.received + NUMBER_AT) >> 2];
  }
}

export class PacketTrip implements Trip {
  readonly home = new Int32Array(LIMIT);

  private constructor(
    private readonly first: PacketEnd,
    private readonly second: PacketEnd,
  ) {
    first.aim(second);
    second.aim(first);
  }

  /** Between the eth0 of two namespaces, given by their paths. */
  static open(paths: readonly string[]): PacketTrip {
    const [first, second] = paths.map((path) => PacketEnd.open(path, "eth0"));
    return new PacketTrip(first, second);
  }

  send(n: number): void {
    this.first.send(n);
  }

  flush(): void {}

  /** As many as are there, so that neither end keeps the other from its turn for long. */
  turn(): number {
    const { first, second } = this;
    for (let k = 0; k < LIMIT && second.receive(); k++) second.send(second.number);
    let home = 0;
    while (home < LIMIT && first.receive()) this.home[home++] = first.number;
    return home;
  }

  check(): void {
    const { first, second } = this;
    if (!first.tookFrom(second) || !second.tookFrom(first)) throw new Error("a frame did not arrive as it was sent");
  }
}
