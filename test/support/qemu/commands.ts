// The command channel of a guest: its second serial port, as a Unix socket that QEMU connects to.
//   test  -> guest   ID TIMEOUT_S BASE64(command)
//   guest -> test    <ID>output</ID CODE>              init.sh is the other end
//                    guest-is-ready                    once in each boot
// The random ID keeps a command's output, and answers that come late, from posing as the answer. One command at a time.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

export interface CommandResult {
  /** 137 where the command took longer than its limit and was killed in the guest. */
  code: number;
  /** stdout and stderr together. */
  output: string;
}

/** What init.sh says when it begins to listen. */
const READY = "guest-is-ready";

export class CommandChannel {
  #received = "";
  #boots = 0;
  #socket: Socket | undefined;
  readonly #server: Server;

  /** Use `listen`. */
  private constructor(readonly path: string) {
    this.#server = createServer((socket) => {
      this.#socket = socket.setEncoding("utf8");
      socket.on("data", (text) => {
        this.#received += text;
        const [first, ...more] = this.#received.split(READY);
        this.#boots += more.length;
        this.#received = [first, ...more].join("");
      });
      socket.on("error", () => socket.destroy());
    });
  }

  static async listen(path: string): Promise<CommandChannel> {
    const channel = new CommandChannel(path);
    channel.#server.listen(path);
    await once(channel.#server, "listening");
    return channel;
  }

  /** How often the guest was ready, each time after a boot. */
  get boots(): number {
    return this.#boots;
  }

  /** Sends a command; the function that it returns gives the answer once there is one. */
  send(command: string, limitMs: number): () => CommandResult | undefined {
    const id = randomBytes(8).toString("hex");
    this.#received = "";
    this.#socket?.write(`${id} ${Math.ceil(limitMs / 1000)} ${Buffer.from(command).toString("base64")}\n`);
    const answer = new RegExp(`<${id}>([^]*)</${id} (\\d+)>`);
    return () => {
      const found = answer.exec(this.#received);
      return found === null ? undefined : { code: Number(found[2]), output: found[1] };
    };
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }
}
