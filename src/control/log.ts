// The log of `ringyard up`, on stderr: lines for people on a terminal, JSON lines otherwise. Written synchronously: a
// line is out before the process can die, and no thread is started for it. Control thread; nothing is logged per frame.

import { type DestinationStream, type Logger, pino } from "pino";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const STDERR = 2;

export async function createLog(level: LogLevel = "info", terminal = process.stderr.isTTY === true): Promise<Logger> {
  return pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    terminal ? await prettyStream() : pino.destination({ dest: STDERR, sync: true }),
  );
}

async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  return pretty({ destination: STDERR, sync: true, singleLine: true, translateTime: "SYS:HH:MM:ss.l" });
}
