// Commands to a QEMU that listens for them (QMP, docs/interop/qmp-spec): one connection, JSON objects, a line each.
//
//   QEMU: {"QMP": …}      us: qmp_capabilities, then each command      QEMU: {"return": …} or {"error": …}, events between

import { connect } from "node:net";
import { createInterface } from "node:readline";

export interface QmpCommand {
  execute: string;
  arguments?: Record<string, unknown>;
}

/** Runs commands one after the other; returns what each of them gave. Fails with QEMU's words at the first that is refused. */
export async function qmp(socket: string, commands: readonly QmpCommand[]): Promise<unknown[]> {
  const connection = connect(socket);
  const results: unknown[] = [];
  const waiting = [{ execute: "qmp_capabilities" }, ...commands];
  try {
    for await (const line of createInterface({ input: connection })) {
      const message = JSON.parse(line);
      if ("error" in message) throw new Error(`${JSON.stringify(waiting[0])}: ${message.error.desc}`);
      if ("return" in message) {
        results.push(message.return);
        waiting.shift();
      } else if (!("QMP" in message)) continue;
      if (waiting.length === 0) return results.slice(1);
      connection.write(`${JSON.stringify(waiting[0])}\n`);
    }
  } finally {
    connection.destroy();
  }
  throw new Error(`QEMU ended before ${JSON.stringify(waiting[0])} was answered`);
}
