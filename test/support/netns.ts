// Network namespaces for tests, each with a name of its own, deleted with the test file (what runs in them is killed first).
//
//   ry-PID-N     PID: the test process, so that leftovers of one that was killed are recognised; N: a serial number
//
// Needs root and iproute2; `requireNamespaces` says so. Main thread of a test process.

import { existsSync, readdirSync } from "node:fs";
import { useCleanup } from "./cleanup.ts";
import { Background, type Finished, run } from "./process.ts";
import { requirePeer, type Suite } from "./skip.ts";
import { type LinkView, links } from "./tap.ts";

const NETNS_DIR = "/run/netns";
const OUR_NAME = /^ry-(\d+)-\d+$/;

let serial = 0;

/** `describe` where namespaces can be made; see `requirePeer`. */
export function requireNamespaces(): Suite {
  if (process.getuid?.() !== 0) return requirePeer("network namespaces", false, "run the tests as root");
  if (Bun.which("ip") === null) return requirePeer("network namespaces", false, "apt install iproute2");
  const trial = new Namespace(`ry-${process.pid}-${serial++}`);
  const made = Bun.spawnSync(["ip", "netns", "add", trial.name]);
  // In a bare chroot one can be made and not entered.
  const entered = made.success ? Bun.spawnSync(["ip", "netns", "exec", trial.name, "true"]) : made;
  if (made.success) trial.remove();
  return requirePeer("network namespaces", entered.success, entered.stderr.toString().trim());
}

export class Namespace {
  constructor(readonly name: string) {}

  /** For setns and `?netns=`. */
  get path(): string {
    return `${NETNS_DIR}/${this.name}`;
  }

  /** Runs a program inside to its end. */
  run(argv: string[], options?: Parameters<typeof run>[1]): Promise<Finished> {
    return run(this.inside(argv), options);
  }

  /** `ip ARGS` inside. */
  async ip(args: string): Promise<string> {
    return (await run(["ip", "-n", this.name, ...args.split(" ")])).stdout;
  }

  /** Starts a program inside; it ends with the namespace. */
  spawn(argv: string[]): Background {
    const child = Bun.spawn(this.inside(argv), { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    return new Background(argv, child);
  }

  /** Addresses `device`, with `mtu` where given, and brings it and the loopback up. */
  async configure(device: string, address: string, mtu?: number): Promise<void> {
    await this.ip("link set lo up");
    if (mtu !== undefined) await this.ip(`link set ${device} mtu ${mtu}`);
    await this.ip(`addr add ${address} dev ${device}`);
    await this.ip(`link set ${device} up`);
  }

  /** The processes inside, in any of its threads. */
  pids(): number[] {
    const listed = Bun.spawnSync(["ip", "netns", "pids", this.name]);
    return listed.stdout.toString().split("\n").filter(Boolean).map(Number);
  }

  /** Kills what runs inside, takes NICs back to where the tests run, and deletes the namespace. */
  remove(): void {
    if (!existsSync(this.path)) return;
    for (const pid of this.pids()) {
      if (pid === process.pid) continue;
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    this.returnNics();
    const deleted = Bun.spawnSync(["ip", "netns", "del", this.name]);
    if (!deleted.success) throw new Error(`ip netns del ${this.name}: ${deleted.stderr.toString().trim()}`);
  }

  /**
   * The kernel takes NICs back with the namespace's end, which a socket puts off for minutes: one that a killed program left, with
   * a peer that answers no more (FIN_WAIT1). Virtual devices, all of which have a kind, end with the namespace.
   */
  private returnNics(): void {
    for (const { ifname, link_type, linkinfo } of this.devices()) {
      if (link_type === "loopback" || linkinfo?.info_kind !== undefined) continue;
      const move = ["ip", "-n", this.name, "link", "set", ifname, "netns", `${process.pid}`];
      // Another name where its own is taken, as the kernel would do it. A NIC that was pulled meanwhile is not there any more.
      if (!Bun.spawnSync(move).success) Bun.spawnSync([...move, "name", "dev%d"]);
    }
  }

  private devices(): LinkView[] {
    try {
      return links(this.name);
    } catch {
      // Half made, by a process that was killed.
      return [];
    }
  }

  private inside(argv: string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...argv];
  }
}

/** Deletes namespaces of test processes that are gone. */
export function sweepNamespaces(): void {
  if (!existsSync(NETNS_DIR)) return;
  for (const name of readdirSync(NETNS_DIR)) {
    const pid = OUR_NAME.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) new Namespace(name).remove();
  }
}

/** Returns a function that makes namespaces; they go with the surrounding file or describe block. */
export function useNamespaces(): () => Promise<Namespace> {
  const defer = useCleanup();
  return async () => {
    sweepNamespaces();
    const namespace = new Namespace(`ry-${process.pid}-${serial++}`);
    defer(() => namespace.remove());
    await run(["ip", "netns", "add", namespace.name]);
    return namespace;
  };
}
