// The life of `ringyard up`: start, say so, follow signals, end.
//
//   SIGHUP            reload; a file with mistakes is reported and changes nothing
//   SIGTERM, SIGINT   drain, remove what was made, exit 0; a second one exits at once
//   ringyard down     the same, asked for over the control socket
//
// What containers and VMs hold on to stays in the kernel for the next start, but for `ringyard down --remove`.
// Main thread of its own process.

import type { Logger } from "pino";
import type { CreateSwitch } from "../control/api.ts";
import { type Config, emptyConfig, loadConfig, overlay } from "../control/config.ts";
import { portConfig } from "../control/config-schema.ts";
import { errorLines } from "../control/error-lines.ts";
import { listed } from "../control/listed.ts";
import { createLog } from "../control/log.ts";
import { notify, type ServiceState } from "../control/notify.ts";
import { refusePipe } from "../control/read-text.ts";
import type { KnownRules } from "../control/rules/known-rules.ts";
import { Service } from "../control/service.ts";
import { UndoneError } from "../control/undo.ts";
import { type Kinds, parsePortArgument } from "../control/uri.ts";
import { parseCpus } from "../core/cpus.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";
import { EXIT } from "./exit.ts";
import { outliveOutput, print } from "./output.ts";
import type { UpOptions } from "./up.ts";

export interface UpParts {
  createSwitch: CreateSwitch;
  kinds: Kinds;
}

/** Runs until a signal ends it; throws where the start fails, and then nothing is left. */
export async function runUp(options: UpOptions, { createSwitch, kinds }: UpParts): Promise<void> {
  outliveOutput();
  const words = readWords(options, kinds);
  const log = await createLog(options.logLevel);
  let started = false;
  const read = async (known: KnownRules) => {
    if (!options.config) return emptyConfig();
    if (started) refusePipe(options.config);
    return await loadConfig(options.config, kinds, known);
  };
  const load = async (known: KnownRules) => overlay(await read(known), words);
  const events = new Events();
  const shutdown = (remove: boolean) => events.end(remove);
  const service = await Service.start({ load, createSwitch, kinds, log, shutdown });
  started = true;
  const ports = service.portCount === 1 ? "1 port" : `${service.portCount} ports`;
  log.info({ ports: service.portCount, control: service.control }, "ready");
  print(`ringyard ready: ${ports}, control ${service.control}\n`);
  await tell("READY=1", log);
  while ((await events.next()) === "reload") {
    await tell("RELOADING=1", log);
    await reload(service, log);
    await tell("READY=1", log);
  }
  log.info({}, "stopping");
  await tell("STOPPING=1", log);
  const { kept } = await service.close({ keep: !events.remove });
  log.info({ kept }, "stopped");
  process.exit(EXIT.OK);
}

/** The settings and ports of the command line. */
export function readWords(options: Omit<UpOptions, "config" | "logLevel">, kinds: Kinds): Config {
  const config = emptyConfig();
  if (options.poll !== undefined) config.settings.poll = options.poll;
  if (options.control !== undefined) config.control = options.control;
  if (options.cpus !== undefined) {
    const cpus = parseCpus(options.cpus);
    if (cpus === null)
      throw new RingyardError(
        "BAD_OPTION",
        `--cpus: ${quoted(options.cpus)} is no list of CPUs`,
        "write for example 0-1,4",
      );
    config.settings.cpus = cpus;
  }
  for (const word of options.port ?? []) {
    const spec = parsePortArgument(word, kinds);
    if (config.ports.has(spec.name)) throw new RingyardError("BAD_OPTION", `--port ${spec.name} is given twice`);
    config.ports.set(spec.name, portConfig(spec));
  }
  return config;
}

async function reload(service: Service, log: Logger): Promise<void> {
  try {
    const { actions, restart } = await service.reload();
    for (const setting of restart) log.warn({ setting }, "changed setting needs a restart");
    log.info({ changes: actions.length }, "configuration reloaded");
  } catch (error) {
    for (const line of errorLines(error)) log.error({}, line);
    log.error({}, `configuration not reloaded, ${outcome(error)}`);
  }
}

/** What a reload that failed left behind. */
function outcome(error: unknown): string {
  if (!(error instanceof UndoneError)) return "nothing changed";
  const anew =
    error.anew.length === 0
      ? ""
      : `made anew: ${listed(error.anew)} (counters and what others set at the device began again), `;
  return error.lost.length === 0 ? `${anew}nothing else changed` : `${anew}not all could be put back`;
}

async function tell(state: ServiceState, log: Logger): Promise<void> {
  const problem = await notify(state);
  if (problem !== null) log.warn({ state, problem }, "cannot notify the service manager");
}

type Event = "reload" | "end";

/** What happens to a switch, one after another, from the moment it is made: what comes during the start waits for its end. */
class Events {
  /** Whether the end takes away what is attached, too. */
  remove = false;
  readonly #pending: Event[] = [];
  #wake: (() => void) | null = null;
  #signalled = false;

  constructor() {
    process.on("SIGHUP", () => this.#take("reload"));
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => this.#signal());
  }

  async next(): Promise<Event> {
    while (this.#pending.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#pending[0] === "end" ? "end" : this.#pending.shift()!;
  }

  /** A client asks for the end; one that was asked for before stays what it is. */
  end(remove: boolean): void {
    if (!this.#pending.includes("end")) this.remove = remove;
    this.#take("end");
  }

  #signal(): void {
    if (this.#signalled) process.exit(EXIT.FAILED);
    this.#signalled = true;
    this.#take("end");
  }

  #take(event: Event): void {
    // Reloads that were asked for before the first has begun are one; the end goes before them, and stays.
    if (this.#pending.includes("end")) return;
    if (event === "end") this.#pending.length = 0;
    if (!this.#pending.includes(event)) this.#pending.push(event);
    this.#wake?.();
  }
}
