// The three virtio-serial ports of a virtual machine, on the host: Unix sockets that QEMU connects to. agent.sh is the other end
// and describes what goes over them. One command at a time.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { MarkedStream, type Sink } from "./marked-stream.ts";
import { PORTS, type Port } from "./qemu.ts";

export interface Order {
  script: string;
  seconds: number;
  leftovers: "kill" | "keep";
}

export class Ports {
  readonly #servers: Server[] = [];
  readonly #sockets = new Map<Port, Socket>();
  readonly #out = new MarkedStream();
  readonly #err = new MarkedStream();
  #control = "";
  #listener: () => void = () => {};

  /** Use `listen`. */
  private constructor() {}

  /** Makes NAME.sock in `folder` for each port. */
  static async listen(folder: string): Promise<Ports> {
    const ports = new Ports();
    const receivers: Record<Port, (chunk: Buffer) => void> = {
      control: (chunk) => ports.#hear(chunk.toString()),
      out: (chunk) => ports.#out.push(chunk),
      err: (chunk) => ports.#err.push(chunk),
    };
    for (const port of PORTS) {
      const server = createServer((socket) => {
        ports.#sockets.set(port, socket);
        socket.on("data", receivers[port]);
        socket.on("error", () => socket.destroy());
      });
      server.listen(join(folder, `${port}.sock`));
      await once(server, "listening");
      ports.#servers.push(server);
    }
    return ports;
  }

  /** Waits for a line of the agent that begins with `beginning`; returns it. */
  line(beginning: string): Promise<string> {
    return new Promise((resolve) => {
      this.#listener = () => {
        const found = this.#control
          .split("\n")
          .slice(0, -1)
          .find((line) => line.startsWith(beginning));
        if (found === undefined) return;
        this.#control = "";
        this.#listener = () => {};
        resolve(found);
      };
      this.#listener();
    });
  }

  /** Sends a command; resolves with its exit code, once all of its output has gone to the sinks. */
  async send({ script, seconds, leftovers }: Order, stdout: Sink, stderr: Sink): Promise<number> {
    const id = randomBytes(12).toString("hex");
    const ended = this.line(`ended ${id} `);
    const drained = Promise.all([this.#out.until(id, stdout), this.#err.until(id, stderr)]);
    const encoded = Buffer.from(script).toString("base64");
    this.#sockets.get("control")?.write(`${id} ${Math.ceil(seconds)} ${leftovers} ${encoded}\n`);
    const [line] = await Promise.all([ended, drained]);
    return Number(line.split(" ")[2]);
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const server of this.#servers) server.close();
  }

  #hear(text: string): void {
    this.#control += text;
    this.#listener();
  }
}
