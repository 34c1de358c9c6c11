// Commands to the QEMU that this virtual machine runs in, where it has NICs (`// VM: nics`): a virtio-serial port leads to its
// QMP monitor (scripts/vm/qemu.ts).
//
//   await qmp("device_del", { id: "virtio0" });
//
// One session for the whole boot, whoever speaks in it, so answers are told by their id, and what is not ours is passed over.
// One process at a time has the port open. Main thread of a test process.

import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { until } from "./until.ts";

const PORTS = "/sys/class/virtio-ports";

interface Message {
  id?: string;
  return?: unknown;
  error?: { desc: string };
}

let serial = 0;
let last: Promise<unknown> = Promise.resolve();

/** Runs a command after those before it; what it returns. Fails with QEMU's words. */
export function qmp(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
  const answer = last.then(() => converse(execute, args));
  last = answer.catch(() => undefined);
  return answer;
}

async function converse(execute: string, args: Record<string, unknown>): Promise<unknown> {
  const { O_RDWR, O_NONBLOCK } = constants;
  const fd = await until("the port to QEMU", () => openSync(portPath(), O_RDWR | O_NONBLOCK));
  try {
    const lines = new Lines(fd);
    // Once in a session; a second time is refused, and that is as good.
    await lines.ask("qmp_capabilities", {});
    const { error, return: result } = await lines.ask(execute, args);
    if (error === undefined) return result;
    throw new Error(`${execute} ${JSON.stringify(args)}: ${error.desc}`);
  } finally {
    closeSync(fd);
  }
}

class Lines {
  #text = "";
  readonly #bytes = Buffer.alloc(16_384);

  constructor(private readonly fd: number) {}

  ask(execute: string, args: Record<string, unknown>): Promise<Message> {
    const id = `${process.pid}-${serial++}`;
    writeSync(this.fd, `${JSON.stringify({ execute, arguments: args, id })}\n`);
    return until(`QEMU's answer to ${execute}`, () => this.#messages().find((message) => message.id === id));
  }

  #messages(): Message[] {
    try {
      this.#text += this.#bytes.toString("utf8", 0, readSync(this.fd, this.#bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    const lines = this.#text.split("\n");
    this.#text = lines.pop() ?? "";
    return lines.filter((line) => line.trim() !== "").flatMap(parsed);
  }
}

/** The first line may be the rest of one that an earlier reader began. */
function parsed(line: string): Message[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

function portPath(): string {
  const port = readdirSync(PORTS).find((name) => readFileSync(`${PORTS}/${name}/name`, "utf8").trim() === "qmp");
  if (port === undefined) throw new Error("this machine has no port to its QEMU: it was booted without NICs");
  return `/dev/${port}`;
}
