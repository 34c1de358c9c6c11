// Where `ringyard capture` puts frames: a pcapng file or pipe, or a line of text for each. Main thread of a command.

import { open } from "node:fs/promises";
import type { CapturedFrame } from "../control/capture-record.ts";
import { VERSION } from "../control/version.ts";
import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import { headerText } from "../dataplane/rules/trace-text.ts";
import { interfaceBlock, packetBlock, sectionBlock, statisticsBlock } from "./pcapng.ts";

/** A frame with its port by name. */
export type NamedFrame = Omit<CapturedFrame, "port"> & { port: string };

export interface CaptureOutput {
  /** Resolves when they are out. */
  take(frames: readonly NamedFrame[]): Promise<void>;
  /** The last of it; `lost` frames are missing, and `comment` says what else is. */
  end(lost: number, comment: string | undefined): Promise<void>;
}

type Write = (bytes: Uint8Array) => Promise<void>;

/** Opens `file`; `-` is the standard output, which then has to lead to a program. */
export async function captureFile(file: string, snap: number): Promise<CaptureOutput> {
  if (file === "-") {
    if (process.stdout.isTTY) {
      const next = "lead it into a program: | tcpdump -nr -";
      throw new RingyardError("BAD_OPTION", "a capture is nothing for a terminal", next);
    }
    return new PcapngOutput(writeStdout, async () => undefined, snap);
  }
  const refuse = (error: unknown): never => {
    const { code } = error as NodeJS.ErrnoException;
    throw new RingyardError("MISSING", `cannot write ${word(file)}: ${code}`, "name another file");
  };
  const handle = await open(file, "w").catch(refuse);
  const write = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at).catch(refuse)).bytesWritten;
  };
  return new PcapngOutput(write, () => handle.close(), snap);
}

function writeStdout(bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error == null ? resolve() : reject(error)));
  });
}

class PcapngOutput implements CaptureOutput {
  /** Ports by name: the index of each one's interface, and how many frames it had. */
  private readonly ports = new Map<string, { index: number; count: number }>();
  private begun = false;

  constructor(
    private readonly write: Write,
    private readonly close: () => Promise<void>,
    private readonly snap: number,
  ) {}

  async take(frames: readonly NamedFrame[]): Promise<void> {
    const blocks = this.begin();
    for (const { port, what, reason, length, timeUs, bytes } of frames) {
      const known = this.ports.get(port) ?? this.describe(port, blocks);
      known.count++;
      const comment = reason === undefined ? {} : { comment: `dropped: ${reason}` };
      const direction = what === "out" ? "out" : "in";
      blocks.push(packetBlock({ interface: known.index, direction, timeUs, length, bytes, ...comment }));
    }
    if (blocks.length > 0) await this.write(Buffer.concat(blocks));
  }

  /** At once, so that a program that reads along knows what comes. */
  private begin(): Uint8Array[] {
    if (this.begun) return [];
    this.begun = true;
    return [sectionBlock(`ringyard ${VERSION}`)];
  }

  private describe(port: string, blocks: Uint8Array[]): { index: number; count: number } {
    const described = { index: this.ports.size, count: 0 };
    this.ports.set(port, described);
    blocks.push(interfaceBlock(port, this.snap));
    return described;
  }

  async end(lost: number, comment: string | undefined): Promise<void> {
    const blocks = this.begin();
    // The ring is not a port's: what it lost stands at the first one.
    if (lost > 0 && this.ports.size === 0) this.describe("all", blocks);
    const timeUs = Date.now() * 1000;
    for (const { index, count } of this.ports.values()) {
      const dropped = index === 0 ? lost : 0;
      const said = index === 0 && comment !== undefined ? { comment } : {};
      blocks.push(statisticsBlock({ interface: index, timeUs, received: count + dropped, dropped, ...said }));
    }
    try {
      await this.write(Buffer.concat(blocks));
    } finally {
      await this.close();
    }
  }
}

/** Lines for people. */
export class TextOutput implements CaptureOutput {
  async take(frames: readonly NamedFrame[]): Promise<void> {
    if (frames.length > 0) await writeStdout(frames.map(frameLine).join(""));
  }

  async end(): Promise<void> {}
}

/** `12:34:56.000789 vm1 drop own_port, 64 bytes: 02:…:01 > 02:…:02, type 0x88b5`. */
function frameLine({ port, what, reason, length, timeUs, bytes }: NamedFrame): string {
  const date = new Date(Math.floor(timeUs / 1000));
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  const fraction = String(timeUs % 1_000_000).padStart(6, "0");
  const place = `${port} ${what}${reason === undefined ? "" : ` ${reason}`}`;
  return `${clock.join(":")}.${fraction} ${place}, ${length} bytes${headerText(bytes, 0)}\n`;
}
