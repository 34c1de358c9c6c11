// A TCP peer of the smallest kind on a memory port, for one connection: it takes what comes in order, and keeps it, with the
// virtio-net header of each segment that brought something new. A kernel's stack on the other side then shows what it sends when
// the switch lets it.
//
//   kernel --SYN, data, FIN--> switch --> sink: checks lengths and checksums of every TCP segment, keeps the stream
//          <--SYN-ACK, ACK, FIN-ACK--
//
// No loss, no reordering, no window: the switch has to do without. What the kernel sends again, since an answer took too long, is
// checked and acknowledged again, and not kept twice. A segment that is wrong or beyond the next one fails the connection: by what
// the kernel sends again the stream would become right. Main thread of a test process.

import {
  buildEthernet,
  buildIpv4,
  buildIpv6,
  pseudoHeader,
  referenceSum,
  spec4,
} from "../dataplane/offload/reference.ts";
import { type NetHeader, readNetHeader, type Tcp, verifyTcp } from "./frames.ts";
import type { MemorySwitch } from "./memory-switch.ts";
import { until } from "./until.ts";

const FIN = 0x01;
const SYN = 0x02;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;
export const MSS = 1400;
const FIRST_SEQUENCE = 1000;
/** For a whole connection. */
const LIMIT_MS = 20_000;

export interface SinkOptions {
  mac: number[];
  /** 4 or 16 bytes. */
  address: number[];
  /** Agree to ECN, and say in one acknowledgment that there was congestion. */
  ecn?: boolean;
}

/** One segment with new data, as it arrived. */
export interface Segment {
  header: NetHeader;
  flags: number;
  payloadLength: number;
}

export class TcpSink {
  readonly segments: Segment[] = [];
  readonly data: Uint8Array[] = [];
  private finished = false;
  /** What was wrong first. */
  private wrong: unknown;
  private expected = 0;
  private sequence = FIRST_SEQUENCE;
  private congested = false;
  /** The kernel's port. */
  private peer = -1;

  constructor(
    private readonly it: Pick<MemorySwitch, "drain" | "send">,
    private readonly port: string,
    private readonly options: SinkOptions,
  ) {}

  /** Answers until the connection has ended; throws for the first segment that is not whole, or that is beyond the next one. */
  async finish(what: string, context: () => string): Promise<void> {
    const probe = () => {
      try {
        this.take();
      } catch (error) {
        // Kept from `until`, which would ask again.
        this.wrong ??= error;
      }
      return this.finished || this.wrong !== undefined;
    };
    await until(what, probe, { everyMs: 1, timeoutMs: LIMIT_MS, context });
    if (this.wrong !== undefined) throw this.wrong;
  }

  /** Handles what has arrived. */
  private take(): void {
    for (const { header, frame } of this.it.drain(this.port)) {
      const told = readNetHeader(header);
      const tcp = told.flags === 1 ? partialTcp(frame) : verifyTcp(frame);
      if (tcp !== null && this.isForUs(frame, tcp)) this.segment(frame, tcp, told);
    }
  }

  private isForUs(frame: Uint8Array, tcp: Tcp): boolean {
    const { address } = this.options;
    const at = tcp.l3 + (tcp.version === 4 ? 16 : 24);
    return Buffer.from(frame.subarray(at, at + address.length)).equals(Buffer.from(address));
  }

  private segment(frame: Uint8Array, tcp: Tcp, header: NetHeader): void {
    const from = (frame[tcp.l4] << 8) | frame[tcp.l4 + 1];
    if ((tcp.flags & SYN) !== 0) {
      this.peer = from;
      this.expected = (tcp.sequence + 1) % 2 ** 32;
      this.sequence = FIRST_SEQUENCE;
      this.answer(frame, tcp, SYN | ACK | (this.options.ecn ? ECE : 0));
      this.sequence++;
      return;
    }
    // The end of the connection before, once more.
    if (from !== this.peer) return;
    const { payload } = tcp;
    const ends = (tcp.flags & FIN) !== 0;
    if (payload.length === 0 && !ends) return;
    // How much of it came before: sequence numbers wrap as 32-bit integers do.
    const known = (this.expected - tcp.sequence) | 0;
    if (known < 0) throw new Error(`sequence ${tcp.sequence}, ${this.expected} was expected`);
    const fresh = payload.slice(known);
    if (fresh.length > 0) {
      this.segments.push({ header, flags: tcp.flags, payloadLength: payload.length });
      this.data.push(fresh);
      this.expected = (this.expected + fresh.length) % 2 ** 32;
    }
    // Congestion from the third segment on, until the sender says that it heard.
    if (this.options.ecn && this.segments.length === 3) this.congested = true;
    if ((tcp.flags & CWR) !== 0) this.congested = false;
    if (ends) {
      if (!this.finished) this.expected = (this.expected + 1) % 2 ** 32;
      this.finished = true;
      this.answer(frame, tcp, FIN | ACK);
    } else if (payload.length > 0) this.answer(frame, tcp, ACK | (this.congested ? ECE : 0));
  }

  private answer(frame: Uint8Array, tcp: Tcp, flags: number): void {
    const { mac, address } = this.options;
    const size = tcp.version === 4 ? 4 : 16;
    const from = tcp.l3 + (tcp.version === 4 ? 12 : 8);
    const peer = [...frame.subarray(from, from + size)];
    const big32 = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
    const ports = [...frame.subarray(tcp.l4 + 2, tcp.l4 + 4), ...frame.subarray(tcp.l4, tcp.l4 + 2)];
    const options = (flags & SYN) !== 0 ? [2, 4, MSS >> 8, MSS & 255] : [];
    const head = [...ports, ...big32(this.sequence), ...big32(this.expected), (20 + options.length) << 2, flags];
    const rest = [0xff, 0xff, 0, 0, 0, 0, ...options];
    const segment = [...head, ...rest];
    const sum = 0xffff - referenceSum([...pseudoHeader(address, peer, 6, segment.length), ...segment]);
    segment.splice(16, 2, sum >> 8, sum & 255);
    const spec = spec4({ source: address, target: peer });
    const packet = tcp.version === 4 ? buildIpv4(spec, 6, segment) : buildIpv6(spec, 6, segment);
    const reply = buildEthernet([], tcp.version === 4 ? 0x0800 : 0x86dd, packet);
    reply.splice(0, 12, ...frame.subarray(6, 12), ...mac);
    this.it.send(this.port, Uint8Array.from(reply));
  }
}

/** A frame whose checksum the receiver was asked to complete: completed here, the slow way, then checked whole. */
function partialTcp(frame: Uint8Array): Tcp | null {
  const l3 = 14;
  const version = frame[l3] >> 4;
  if ((version !== 4 && version !== 6) || frame[l3 + (version === 4 ? 9 : 6)] !== 6) return null;
  const l4 = l3 + (version === 4 ? (frame[l3] & 15) * 4 : 40);
  const copy = frame.slice();
  const sum = 0xffff - referenceSum(copy.subarray(l4));
  copy.set([sum >> 8, sum & 255], l4 + 16);
  return verifyTcp(copy);
}
