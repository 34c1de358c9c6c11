// The control socket: accepts clients, at most CONNECTIONS_MAX, and counts what they do. Only the owner may connect
// (mode 0600). A client that misbehaves loses its own connection; the others and the switch go on. Control thread.

import type { Socket, UnixSocketListener } from "bun";
import type { SwitchLog } from "./api.ts";
import { Connection, type ConnectionLimits, errorFrame, type Handler, LIMITS } from "./connection.ts";
import type { ControlStats } from "./protocol.ts";
import { publishSocket, socketInode, withdrawSocket } from "./socket-file.ts";

export const CONNECTIONS_MAX = 64;
/** For a last answer to be taken by a client that waits for it. */
const FINISH_MS = 1000;

export class ControlServer {
  readonly #connections = new Set<Connection>();
  readonly #stats: ControlStats = { connections: 0, accepted: 0, requests: 0, errors: {} };
  #listener: UnixSocketListener<Connection> | undefined;
  #inode = -1;

  private constructor(
    readonly path: string,
    readonly handle: Handler,
    readonly log: Pick<SwitchLog, "error">,
    readonly limits: ConnectionLimits,
  ) {}

  /** Listens at `path`. Throws BUSY where a living switch does already. */
  static async listen(
    path: string,
    handle: Handler,
    log: Pick<SwitchLog, "error">,
    limits: ConnectionLimits = LIMITS,
  ): Promise<ControlServer> {
    const server = new ControlServer(path, handle, log, limits);
    try {
      await publishSocket(path, (at) => server.#bind(at));
    } catch (error) {
      server.#listener?.stop(true);
      throw error;
    }
    server.#inode = socketInode(path);
    return server;
  }

  stats(): ControlStats {
    return { ...this.#stats, connections: this.#connections.size, errors: { ...this.#stats.errors } };
  }

  /** Waits a moment for answers that are on their way, then closes. */
  async finish(): Promise<void> {
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, FINISH_MS);
    await Promise.race([Promise.all([...this.#connections].map((connection) => connection.settled())), limit.promise]);
    clearTimeout(timer);
    this.close();
  }

  /** Ends every connection and removes the socket. */
  close(): void {
    withdrawSocket(this.path, this.#inode);
    this.#listener?.stop(true);
    for (const connection of this.#connections) connection.socket.terminate();
  }

  #bind(at: string): void {
    this.#listener = Bun.listen<Connection>({
      unix: at,
      socket: {
        open: (socket) => this.#open(socket),
        data: (socket, bytes) => socket.data?.receive(bytes),
        drain: (socket) => socket.data?.drain(),
        close: (socket) => this.#forget(socket),
        // A mistake of ours in one of the handlers above.
        error: (socket, error) => {
          this.#countError("internal");
          this.log.error({ error: String(error) }, "control connection failed");
          socket.terminate();
        },
      },
    });
  }

  #open(socket: Socket<Connection>): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      this.#countError("too_many_connections");
      const next = "close one and try again";
      socket.end(errorFrame(0, { code: "LIMIT", message: `more than ${CONNECTIONS_MAX} clients`, next }));
      return;
    }
    this.#stats.accepted++;
    socket.data = new Connection(socket, {
      handle: this.handle,
      limits: this.limits,
      countRequest: () => void this.#stats.requests++,
      countError: (name) => this.#countError(name),
    });
    this.#connections.add(socket.data);
  }

  #forget(socket: Socket<Connection>): void {
    if (socket.data === undefined) return;
    socket.data.close();
    this.#connections.delete(socket.data);
  }

  #countError(name: string): void {
    this.#stats.errors[name] = (this.#stats.errors[name] ?? 0) + 1;
  }
}
