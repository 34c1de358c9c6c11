// The log of `ringyard up`, on stderr: lines for people on a terminal, JSON lines otherwise. Written synchronously: a
// line is out before the process can die, and no thread is started for it. Control thread; nothing is logged per frame.

import { type DestinationStream, type Logger, pino } from "pino";

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const STDERR = 2;
/** Bytes. */
const WAITING_MAX = 1 << 20;

export async function createLog(level: LogLevel = "info", terminal = process.stderr.isTTY === true): Promise<Logger> {
  return pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    terminal ? await prettyStream() : output(),
  );
}

async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  return pretty({ destination: output(), singleLine: true, translateTime: "SYS:HH:MM:ss.l" });
}

/** A full disk is no reason to stop, nor to leave a change half done: lines wait for room, up to a bound, and those beyond it are lost. */
function output(): ReturnType<typeof pino.destination> {
  const destination = pino.destination({ dest: STDERR, sync: true, maxLength: WAITING_MAX });
  destination.on("error", () => {});
  return destination;
}
