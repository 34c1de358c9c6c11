// The vhost-user port kind. In server mode the switch listens at PATH and serves one front end at a time; in client mode it
// connects to PATH, where the front end listens, and again whenever the connection ends. Control thread only.
//
//   server: listen -> accept -> Session ... ended -> (the next accept)
//   client: connect, each RETRY_MS until somebody listens -> Session ... ended -> connect

import { lstatSync, statSync, unlinkSync } from "node:fs";
import { dirname, posix } from "node:path";
import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { EACCES, SysError } from "../../sys/errno.ts";
import { closeFd } from "../../sys/fd.ts";
import { acceptUnix, connectUnix, listenUnix, MAX_SOCKET_PATH, NOBODY_LISTENS } from "../../sys/unix.ts";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../uapi/vhost_user.ts";
import { featureNames, hasFeature } from "../../virtio/features.ts";
import type { Port, PortDetails, PortHost, PortKind, PortProbe, PortSpec, TargetProblem } from "../port.ts";
import { type DeviceConfig, deviceConfig, PROTOCOL_FEATURES } from "./device-config.ts";
import { Session } from "./session.ts";

const RETRY_MS = 200;
/** Between two connections: each is two lines in the log and work of the control thread's, and a front end may come and go as it likes. */
const ACCEPT_MS = 10;

export const vhostUser: PortKind = {
  kind: "vhost-user",
  summary: "a VM or DPDK application over a vhost-user socket",
  targetForm: "PATH",
  options: { mode: z.enum(["server", "client"]).optional() },
  check,
  probe: (): PortProbe => ({ available: true }),
  async open(spec: PortSpec, host: PortHost): Promise<Port> {
    const wrong = check(spec.target);
    if (wrong !== undefined) throw new RingyardError("BAD_URI", wrong.message, wrong.next);
    return spec.options.mode === "client" ? new ClientPort(spec, host) : new ServerPort(spec, host);
  },
};

function check(target: string): TargetProblem | undefined {
  const path = posix.normalize(target);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return undefined;
  return { message: `socket path ${path} is over ${MAX_SOCKET_PATH} bytes`, next: "choose a shorter one" };
}

/** What both modes share: at most one session, and what `port show` says about it. */
abstract class VhostUserPort implements Port {
  protected readonly device: DeviceConfig;
  protected session: Session | undefined;
  protected connections = 0;
  protected closed = false;

  constructor(
    protected readonly spec: PortSpec,
    protected readonly host: PortHost,
  ) {
    this.device = deviceConfig(spec.target, spec.options);
  }

  protected begin(socket: number): void {
    this.connections++;
    this.host.log.info("vhost-user: connected", { socket: this.device.path });
    this.session = new Session(socket, this.device, this.host, () => {
      this.session = undefined;
      this.host.log.info("vhost-user: disconnected", { socket: this.device.path });
      if (!this.closed) this.afterEnd();
    });
  }

  protected abstract afterEnd(): void;

  details(): PortDetails {
    const { session } = this;
    const common = { socket: this.device.path, mode: this.spec.options.mode === "client" ? "client" : "server" };
    if (session === undefined) return { ...common, connected: false, connections: this.connections };
    const protocol = Object.entries(PROTOCOL_FEATURES)
      .filter(([bit]) => ((session.protocolFeatures >>> Number(bit)) & 1) === 1)
      .map(([, name]) => name);
    const explicit = hasFeature(session.features, VHOST_USER_F_PROTOCOL_FEATURES) ? ["PROTOCOL_FEATURES"] : [];
    return {
      ...common,
      connected: true,
      connections: this.connections,
      features: [...featureNames(session.features), ...explicit],
      protocolFeatures: protocol,
      memoryMiB: Math.round(session.memory.totalSize / 2 ** 20),
      memoryRegions: session.memory.count,
      // Without F_SEAL_SHRINK the front end can end this process by shrinking its memory file (SIGBUS).
      memorySealed: session.memory.allSealed,
      queueSizes: session.vrings.filter((vring) => vring.started).map((vring) => String(vring.size)),
    };
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.session?.close();
  }
}

class ServerPort extends VhostUserPort {
  private readonly listener: number;
  private readonly token: number;
  private readonly inode: number;

  constructor(spec: PortSpec, host: PortHost) {
    super(spec, host);
    clearStaleSocket(spec.target);
    this.listener = listenAt(spec.target);
    this.inode = statSync(spec.target).ino;
    this.token = host.reactor.watch(this.listener, () => this.accept());
  }

  private async accept(): Promise<void> {
    while (!this.closed) {
      const socket = acceptUnix(this.listener);
      if (socket < 0) return;
      // The end of the last connection may not have been read yet when its front end is back already.
      await this.session?.settle();
      if (this.session === undefined && !this.closed) {
        this.begin(socket);
      } else {
        // One device, one driver; the second front end would share rings with the first.
        this.host.countError("second_connection");
        closeFd(socket);
      }
      await Bun.sleep(ACCEPT_MS);
    }
  }

  protected afterEnd(): void {
    // The listener stays open.
  }

  override async close(): Promise<void> {
    if (!this.closed) {
      this.closed = true;
      this.host.reactor.unwatch(this.token);
      closeFd(this.listener);
      this.removeSocket();
    }
    await super.close();
  }

  /** A file that cannot be looked at or taken away keeps no port from going: the next one at this path finds it stale. */
  private removeSocket(): void {
    const { target } = this.spec;
    try {
      removeOwnSocket(target, this.inode);
    } catch (error) {
      this.host.log.warn(`vhost-user: the socket file stays: ${(error as Error).message}`, { socket: target });
    }
  }
}

class ClientPort extends VhostUserPort {
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Why the last attempt failed, as it was said; an attempt is made five times a second. */
  private said = "";

  constructor(spec: PortSpec, host: PortHost) {
    super(spec, host);
    this.connect();
  }

  private connect(): void {
    if (this.closed) return;
    let socket = -1;
    try {
      socket = connectUnix(this.spec.target);
    } catch (error) {
      this.host.countError("connect");
      this.say((error as Error).message);
    }
    if (socket >= 0) {
      this.said = "";
      this.begin(socket);
    } else {
      this.afterEnd();
    }
  }

  private say(why: string): void {
    if (why !== this.said) this.host.log.warn(`vhost-user: ${why}`, { socket: this.spec.target });
    this.said = why;
  }

  protected afterEnd(): void {
    this.timer = setTimeout(() => this.connect(), RETRY_MS);
  }

  override async close(): Promise<void> {
    clearTimeout(this.timer);
    await super.close();
  }
}

/** Removes a socket file that nobody serves any more. Throws RingyardError BUSY or EXISTS where something else is there. */
function clearStaleSocket(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw new RingyardError("EXISTS", `${path} exists and is not a socket`, "choose another path or remove it");
  }
  const socket = connectUnix(path);
  if (socket !== NOBODY_LISTENS) {
    closeFd(socket);
    throw new RingyardError(
      "BUSY",
      `${path} is already served by another process or port`,
      "stop it or choose another path",
    );
  }
  unlinkSync(path);
}

function listenAt(path: string): number {
  try {
    return listenUnix(path, 4);
  } catch (error) {
    const next =
      error instanceof SysError && error.errno === EACCES
        ? "run as a user who may write there"
        : `make sure that ${dirname(path)} exists`;
    throw new RingyardError("SYSTEM", `cannot listen at ${path}: ${(error as Error).message}`, next);
  }
}

/** Unlinks the socket file, unless somebody has put another in its place. */
function removeOwnSocket(path: string, inode: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.ino === inode) unlinkSync(path);
}
