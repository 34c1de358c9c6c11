// The far end of the wire of a virtual machine's NIC "outside", for a program on the host (`vm.wire`, scripts/vm/nics.ts): frames
// over a Unix socket, each after 4 bytes of its length, big-endian (QEMU's net/stream.c).
// Main thread of a test process, on the host.

import { connect, type Socket } from "node:net";

export class Wire {
  readonly frames: Buffer[] = [];
  #bytes = Buffer.alloc(0);

  /** Use `plugIn`. */
  private constructor(private readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
    socket.on("error", () => socket.destroy());
  }

  /** One end at a time: who comes later is heard when the one before is gone. */
  static async plugIn(path: string): Promise<Wire> {
    const socket = connect(path);
    const wire = new Wire(socket);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return wire;
  }

  send(frame: Uint8Array): void {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(frame.length);
    this.socket.write(Buffer.concat([size, frame]));
  }

  unplug(): void {
    this.socket.destroy();
  }

  #hear(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 4) {
      const end = 4 + this.#bytes.readUInt32BE(0);
      if (this.#bytes.length < end) return;
      this.frames.push(this.#bytes.subarray(4, end));
      this.#bytes = this.#bytes.subarray(end);
    }
  }
}
