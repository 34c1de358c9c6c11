// Where a result comes from: machine, kernel, versions. A figure without them says nothing.

import { cpus, loadavg, release, totalmem } from "node:os";
import pkg from "../package.json";

export interface Origin {
  readonly time: string;
  readonly cpu: string;
  readonly cpuCount: number;
  readonly memoryMb: number;
  readonly kernel: string;
  /** Over the last minute, before the first measurement: what else the machine was doing. */
  readonly loadBefore: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** The first line that a program prints, or "absent" where it is not there, or does not know what it is asked for. */
function firstLine(...argv: string[]): string {
  try {
    const asked = Bun.spawnSync(argv, { stderr: "ignore" });
    return asked.stdout.toString().split("\n")[0].trim() || "absent";
  } catch {
    return "absent";
  }
}

function packageVersion(name: string): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query's
  return firstLine("dpkg-query", "-W", "-f", "${Version}", name);
}

export function origin(): Origin {
  return {
    time: new Date().toISOString(),
    cpu: cpus()[0].model,
    cpuCount: cpus().length,
    memoryMb: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    loadBefore: loadavg()[0],
    versions: {
      ringyard: pkg.version,
      commit: firstLine("git", "-C", import.meta.dir, "describe", "--always", "--dirty"),
      bun: Bun.version,
      dpdk: packageVersion("dpdk-dev"),
      ovs: packageVersion("openvswitch-switch-dpdk"),
      // As the tap suite starts it, without DPDK.
      ovsUserspace: firstLine("ovs-vswitchd", "--version"),
      vde: packageVersion("vde2"),
      iperf3: packageVersion("iperf3"),
      qemu: firstLine("qemu-system-x86_64", "--version"),
    },
  };
}
