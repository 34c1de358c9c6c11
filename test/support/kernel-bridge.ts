// Linux's own bridge, with VLAN filtering or without, in a namespace, with TAP devices as ports whose other end is this process: the switch that ours is
// compared with. Frames go in by write(2), which the bridge has forwarded when it returns, and come out by read(2), tags and all.
//
//   send(0, frame)  -> [tap p0] -> br0 -> [tap p1, p2, ...] ->  receive(1)
//
// Needs root, iproute2 and a kernel with the bridge module. Main thread of a test process.

import { readSync, writeSync } from "node:fs";
import { closeTap, openTap, type TapDevice } from "../../src/ports/tap/device.ts";
import { type Namespace, requireNamespaces } from "./netns.ts";
import { requirePeer, type Suite } from "./skip.ts";
import { requireTap } from "./tap.ts";
import { until } from "./until.ts";

const HEADER_SIZE = 12;
const MAX_READ = 4096;
const PATIENT_MS = 10_000;

/** What `bridge vlan` says of a port: the VLANs it carries, and the one of untagged frames (0: none), which may leave bare. */
export interface KernelPort {
  vids: readonly (readonly [number, number])[];
  pvid: number;
  untagged: boolean;
}

/** `describe` where the kernel has bridges; with `filtering`, those that filter VLANs. */
export function requireKernelBridge(filtering: boolean): Suite {
  const name = `ryb${process.pid}`;
  const made = Bun.spawnSync([
    "ip",
    "link",
    "add",
    name,
    "type",
    "bridge",
    ...(filtering ? ["vlan_filtering", "1"] : []),
  ]);
  if (made.success) Bun.spawnSync(["ip", "link", "del", name]);
  const tool = Bun.which("bridge") !== null;
  return requirePeer(
    filtering ? "Linux's bridge with VLAN filtering" : "Linux's bridge",
    made.success && tool,
    tool ? made.stderr.toString().trim() : "apt install iproute2",
  );
}

/** `describe` where there can be a KernelBridge, with `filtering` as for its kernel, and what `more` asks for. */
export function requireKernelPorts(filtering: boolean, more?: () => Suite): Suite {
  return (label, body) =>
    requireNamespaces()(label, () =>
      requireTap()("ports", () =>
        requireKernelBridge(filtering)("bridge", () => (more === undefined ? body() : more()("filters", body))),
      ),
    );
}

export class KernelBridge {
  private readonly taps: TapDevice[] = [];
  private readonly buffer = new Uint8Array(HEADER_SIZE + MAX_READ);

  private constructor(private readonly inside: Namespace) {}

  static async create(inside: Namespace, ports: number): Promise<KernelBridge> {
    const bridge = new KernelBridge(inside);
    // What the namespace's own stack would say by itself is not ours to compare.
    await inside.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]);
    // Where a kernel has them: hooks that drop what is no proper IP.
    await inside.run([
      "sh",
      "-c",
      "for hook in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 > $hook; done || true",
    ]);
    try {
      for (let port = 0; port < ports; port++) {
        bridge.taps.push(openTap({ name: `p${port}`, netns: inside.path, queues: 1, offload: 0 }));
      }
    } catch (error) {
      bridge.close();
      throw error;
    }
    return bridge;
  }

  /** Makes the bridge anew, without VLANs: nothing is learned. */
  async configure(): Promise<void> {
    await this.make("");
  }

  /** The same with VLANs, which ports carry so. */
  async configureVlans(protocol: "802.1Q" | "802.1ad", ports: readonly KernelPort[]): Promise<void> {
    await this.make(`vlan_filtering 1 vlan_default_pvid 0 vlan_protocol ${protocol}`);
    const lines = ports.flatMap(({ vids, pvid, untagged }, port) => [
      ...vids.map(([first, last]) => `vlan add dev p${port} vid ${first}${first === last ? "" : `-${last}`}`),
      ...(pvid === 0 ? [] : [`vlan add dev p${port} vid ${pvid} pvid${untagged ? " untagged" : ""}`]),
    ]);
    await this.batch("bridge", lines);
  }

  private async make(vlans: string): Promise<void> {
    await this.inside.run(["sh", "-c", "ip link del br0 2>/dev/null || true"]);
    await this.batch("ip", [
      `link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0 ${vlans}`,
      "link set br0 addrgenmode none up",
      ...this.taps.map((_, port) => `link set p${port} master br0`),
    ]);
    for (const port of this.taps.keys()) this.receive(port);
  }

  private async batch(tool: string, lines: readonly string[]): Promise<void> {
    await this.inside.run(["sh", "-ec", `${tool} -batch - <<END\n${lines.join("\n")}\nEND`]);
  }

  send(port: number, frame: Uint8Array): void {
    const bytes = new Uint8Array(HEADER_SIZE + frame.length);
    bytes.set(frame, HEADER_SIZE);
    writeSync(this.taps[port].fds[0], bytes);
  }

  /** What has come out of a port since it was asked last. */
  receive(port: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      try {
        const size = readSync(this.taps[port].fds[0], this.buffer);
        frames.push(this.buffer.slice(HEADER_SIZE, size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return frames;
        throw error;
      }
    }
  }

  /** What comes out of every port, once there are so many frames at each of them, or it is clear that there will not be. As hex. */
  async receiveAll(counts: readonly number[]): Promise<string[][]> {
    const seen: string[][] = this.taps.map(() => []);
    const collect = () => {
      for (const [port, list] of seen.entries()) list.push(...this.receive(port).map((bytes) => bytes.toHex()));
      return seen.every((list, port) => list.length >= counts[port]);
    };
    try {
      await until("frames from Linux's bridge", collect, { timeoutMs: PATIENT_MS, everyMs: 1 });
    } catch {
      // What is missing shows in what was seen.
    }
    return seen;
  }

  close(): void {
    for (const tap of this.taps.splice(0)) closeTap(tap);
  }
}
