// A switch under test: two vhost-user ports that it listens on, confined to a share of CPU 0. CPU 1 is the client's.

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";

export interface Running {
  /** The vhost-user sockets of port 0 and port 1. */
  readonly sockets: readonly [string, string];
  readonly pid: number;
  /** Once a client has connected: waits until frames pass, where that takes the switch longer than the client takes to connect. */
  connected?(): Promise<void>;
  stop(): Promise<void>;
}

export interface System {
  readonly name: string;
  /** It forwards frames with addresses of its own as sources. */
  readonly writesSource?: true;
  start(quota: number, undo: Undo): Promise<Running>;
}

/** MACs of the client's two ports: what a switch that does not learn must be told. */
export const CLIENT_MACS = ["02:11:00:00:00:01", "02:11:00:00:00:02"] as const;

/** A folder for sockets and logs, gone with the bench. */
export function scratchFolder(undo: Undo): string {
  const folder = mkdtempSync(join(tmpdir(), "ringyard-bench-"));
  undo.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a DPDK program leaves behind, by its --file-prefix: its run-time folder, and hugepages that stay taken if it was killed. */
export function removeDpdkFiles(prefix: string): void {
  rmSync(join("/var/run/dpdk", prefix), { recursive: true, force: true });
  for (const file of existsSync("/dev/hugepages") ? readdirSync("/dev/hugepages") : []) {
    if (file.startsWith(`${prefix}map_`)) rmSync(join("/dev/hugepages", file));
  }
}

export async function socketsListening(sockets: readonly string[], context: () => string): Promise<void> {
  await until(`${sockets.join(" and ")}`, () => sockets.every((path) => existsSync(path)), {
    timeoutMs: 30_000,
    context,
  });
}
