// `ringyard capture`: what passes a port, meets a rule or is dropped, into a pcapng file, a program, or on the screen. It ends with
// Ctrl-C, after so many frames, or with its port or rule. Main thread of a command.

import type { Command } from "commander";
import type { ControlClient } from "../control/client.ts";
import type { CaptureArgs } from "../control/protocol.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { type AskOptions, addControl, ask, examples } from "./ask.ts";
import type { CaptureOutput } from "./capture-output.ts";
import { countsText } from "./output.ts";

interface CaptureOptions extends AskOptions {
  write?: string;
  in?: boolean;
  out?: boolean;
  snap?: string;
  filter?: string;
  count?: string;
}

/** The longest frame: MAX_FRAME of the dataplane's, which `--help` does not load. */
const SNAP_MAX = 65_557;

export function addCaptureCommand(program: Command): void {
  const capture = program
    .command("capture")
    .description("show or write what passes a port, meets a rule or is dropped")
    .argument("<what>", "a port, rule:ID or drops; port:NAME for a port of such a name")
    .option("-w, --write <file>", "write pcapng; - is the standard output (default: a line of text for each frame)")
    .option("--in", "what comes in at the port only")
    .option("--out", "what goes out of it only")
    .option("--snap <bytes>", "bytes of each frame (default: all)")
    .option("--filter <match>", "the match of a rule, without actions; docs/RULES.md has the words")
    .option("--count <n>", "end after so many frames")
    .addHelpText(
      "after",
      examples(
        "ringyard capture vm1 -w vm1.pcapng",
        "ringyard capture vm1 --in --filter 'ip tcp dport 80,443' -w - | tcpdump -nr -",
        "ringyard capture drops",
        "ringyard capture rule:12 --count 10",
      ),
    );
  addControl(capture).action(async (what: string, options: CaptureOptions) => {
    const args = captureArgs(what, options);
    const count =
      options.count === undefined ? Infinity : readNumber("--count", options.count, Number.MAX_SAFE_INTEGER);
    await ask(options, (client) => run(client, args, count, options.write));
  });
}

/** What to ask the switch for. */
function captureArgs(what: string, { in: onlyIn, out: onlyOut, snap, filter }: CaptureOptions): CaptureArgs {
  const args = { ...placeOf(what), ...(filter !== undefined && { filter }) };
  if (snap !== undefined) args.snap = readNumber("--snap", snap, SNAP_MAX);
  if (onlyIn === onlyOut) return args;
  if (args.of !== "port") {
    throw new RingyardError("BAD_OPTION", `--${onlyIn ? "in" : "out"} is for a port`, `leave it out for ${what}`);
  }
  return { ...args, direction: onlyIn ? "in" : "out" };
}

function placeOf(what: string): CaptureArgs {
  if (what === "drops") return { of: "drops" };
  if (what.startsWith("port:")) return { of: "port", port: what.slice("port:".length) };
  if (!what.startsWith("rule:")) return { of: "port", port: what };
  const id = what.slice("rule:".length);
  if (/^[1-9]\d{0,9}$/.test(id)) return { of: "rule", rule: Number(id) };
  throw new RingyardError("BAD_OPTION", `${quoted(what)} has no id of a rule`, "ringyard rule list shows them");
}

function readNumber(option: string, value: string, max: number): number {
  const number = /^[1-9]\d{0,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number <= max) return number;
  throw new RingyardError("BAD_OPTION", `${option} ${quoted(value)}: not a number from 1 to ${max}`);
}

/** How far it is. */
interface Progress {
  taken: number;
  lost: number;
}

async function run(client: ControlClient, args: CaptureArgs, count: number, file: string | undefined): Promise<void> {
  const { captureFile, TextOutput } = await import("./capture-output.ts");
  const { capture } = await client.request("capture.open", args);
  const output = file === undefined ? new TextOutput() : await captureFile(file, args.snap ?? SNAP_MAX);
  const progress: Progress = { taken: 0, lost: 0 };
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  let withoutFrame: Record<string, number> = {};
  try {
    await output.take([]);
    process.stderr.write("capturing, Ctrl-C ends it\n");
    const ended = await pump(client, capture, count, output, progress, () => stopped);
    if (ended !== undefined) process.stderr.write(`${ended}\n`);
    ({ withoutFrame, lost: progress.lost } = await client.request("capture.close", { capture }));
  } finally {
    // Also where the switch went: what came until then is worth having.
    const { taken, lost } = progress;
    const counts = Object.keys(withoutFrame).length === 0 ? undefined : `without a frame: ${countsText(withoutFrame)}`;
    try {
      await output.end(lost, counts);
    } finally {
      process.stderr.write(`${taken} frames captured, ${lost} lost${counts === undefined ? "" : `; ${counts}`}\n`);
      process.off("SIGINT", stop).off("SIGTERM", stop);
    }
  }
}

/** Moves frames from the switch to the output until there are `count`, or no more shall or will come: then returns why. */
async function pump(
  client: ControlClient,
  capture: number,
  count: number,
  output: CaptureOutput,
  progress: Progress,
  stopped: () => boolean,
): Promise<string | undefined> {
  const { capturedFrames } = await import("../control/capture-record.ts");
  const names = new Map<number, string>();
  for (;;) {
    // What came until then is still taken.
    const last = stopped();
    const { records, ports, ended, lost } = await client.request("capture.read", { capture });
    for (const { index, name } of ports) names.set(index, name);
    const frames = capturedFrames(records).slice(0, count - progress.taken);
    await output.take(frames.map((frame) => ({ ...frame, port: names.get(frame.port) ?? String(frame.port) })));
    progress.taken += frames.length;
    progress.lost = lost;
    if (ended !== undefined && frames.length === 0) return ended;
    if (last || progress.taken >= count) return undefined;
  }
}
