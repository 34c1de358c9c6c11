// The front end's half of a vhost-user connection, down to the byte: whole messages, pieces of messages, messages that lie
// about themselves, with any descriptors. Replies are awaited; what the tests send is written out here once more, from
// QEMU's document rather than from src, so that both sides agree only if both are right.
//
//   request u32 | flags u32: version 1, reply 4, need_reply 8 | size u32 | payload
//
// Main thread of a test process.

import { closeFd } from "../../src/sys/fd.ts";
import { receiveUnix, sendUnix } from "../../src/sys/unix.ts";
import { until } from "./until.ts";

export const NEED_REPLY = 8;
const VERSION = 1;
const REPLY = 4;
const HEADER_SIZE = 12;

export interface Reply {
  request: number;
  payload: DataView;
}

export interface SendOptions {
  fds?: readonly number[];
  flags?: number;
  /** What the header says of the payload's size, where that is not the truth. */
  size?: number;
}

export function message(request: number, payload: Uint8Array, { flags = VERSION, size }: SendOptions = {}): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, size ?? payload.length, true);
  bytes.set(payload, HEADER_SIZE);
  return bytes;
}

/** u64 words one after the other. */
export function u64s(...words: (number | bigint)[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(words.map(BigInt)).buffer);
}

/** struct vhost_vring_state, and the head of a memory table: two u32. */
export function u32s(...words: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(words).buffer);
}

export class Wire {
  /** How long a reply may take. */
  patienceMs = 10_000;
  private readonly received: number[] = [];

  /** Takes a connected socket over. */
  constructor(readonly socket: number) {}

  /** Sends bytes as they are; false where the switch has hung up. */
  raw(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    return sendUnix(this.socket, bytes, fds);
  }

  send(request: number, payload: Uint8Array = new Uint8Array(0), options: SendOptions = {}): boolean {
    return this.raw(message(request, payload, options), options.fds);
  }

  /** Sends a request that is answered by its own kind; throws where the switch hangs up instead. */
  async call(request: number, payload: Uint8Array = new Uint8Array(0), options: SendOptions = {}): Promise<DataView> {
    this.send(request, payload, options);
    const reply = await this.reply();
    if (reply === "end") throw new Error(`the switch hung up on request ${request}`);
    if (reply.request !== request) throw new Error(`request ${request} was answered by ${reply.request}`);
    return reply.payload;
  }

  /** A number that the switch answers with, as GET_FEATURES has it. */
  async get(request: number, payload: Uint8Array = new Uint8Array(0)): Promise<bigint> {
    return (await this.call(request, payload)).getBigUint64(0, true);
  }

  /** Sends with need_reply and returns the acknowledgement: 0 is success. */
  async ack(request: number, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = []): Promise<number> {
    return Number((await this.call(request, payload, { fds, flags: VERSION | NEED_REPLY })).getBigUint64(0, true));
  }

  /** The next message from the switch, or its hang-up. */
  async reply(): Promise<Reply | "end"> {
    return await until("a reply of the switch", () => this.take(), { everyMs: 0, timeoutMs: this.patienceMs });
  }

  private take(): Reply | "end" | undefined {
    for (;;) {
      const bytes = Uint8Array.from(this.received);
      const size =
        bytes.length < HEADER_SIZE ? HEADER_SIZE : HEADER_SIZE + new DataView(bytes.buffer).getUint32(8, true);
      if (bytes.length >= HEADER_SIZE && bytes.length >= size) {
        this.received.splice(0, size);
        const view = new DataView(bytes.buffer);
        if (view.getUint32(4, true) !== (VERSION | REPLY)) throw new Error("a reply without the reply flag");
        return {
          request: view.getUint32(0, true),
          payload: new DataView(bytes.buffer, HEADER_SIZE, size - HEADER_SIZE),
        };
      }
      const got = receiveUnix(this.socket, size - bytes.length);
      for (const fd of got.fds) closeFd(fd);
      if (got.size === 0) return "end";
      if (got.size < 0) return undefined;
      this.received.push(...got.bytes);
    }
  }

  /** Waits until the switch has hung up, whatever it says before. */
  async ended(): Promise<void> {
    await until("the switch to hang up", () => this.take() === "end", { everyMs: 1 });
  }

  close(): void {
    closeFd(this.socket);
  }
}
