// The switch as a service: configuration, switch and control socket brought up together, reloaded, and taken down.
//
//   load() -> claim the control path -> createSwitch -> add the ports -> answer requests
//
// The path is claimed first, since a switch that already runs there is the cheapest thing to find out; requests that come
// early wait. A start that fails undoes everything. At the end the path is given up last: until then another switch could
// not have the ports either, and a client that asked for the end sees it by its connection. Control thread.

import { RingyardError } from "../core/errors.ts";
import type { CreateSwitch, EndOptions, SwitchApi, SwitchEnd, SwitchLog } from "./api.ts";
import type { Config } from "./config.ts";
import type { Handler } from "./connection.ts";
import type { Difference } from "./diff.ts";
import { checkCpus } from "./host.ts";
import { defaultControlPath, makeControlDirectory } from "./paths.ts";
import { requestHandler } from "./requests.ts";
import { type KnownRules, NO_RULES } from "./rules/known-rules.ts";
import { Running } from "./running.ts";
import { ControlServer } from "./server.ts";
import type { Kinds } from "./uri.ts";

export interface ServiceOptions {
  /** Reads the configuration, at the start and at each reload; rules that are known need not be read. */
  load(known: KnownRules): Promise<Config>;
  createSwitch: CreateSwitch;
  kinds: Kinds;
  log: SwitchLog;
  /** A client asked for the end: whoever runs the service shall `close` it, as soon as it can. */
  shutdown(remove: boolean): void;
}

export class Service {
  #ending = false;
  readonly #end = Promise.withResolvers<SwitchEnd>();

  private constructor(
    readonly running: Running,
    readonly server: ControlServer,
    private readonly options: ServiceOptions,
  ) {}

  static async start(options: ServiceOptions): Promise<Service> {
    const config = await options.load(NO_RULES);
    checkCpus(config.settings.cpus ?? []);
    const control = config.control ?? defaultControlPath();
    if (config.control === undefined) makeControlDirectory(control);
    const ready = Promise.withResolvers<Handler>();
    ready.promise.catch(() => {}); // Early requests end with their connection.
    const handle: Handler = async (request, ended) => (await ready.promise)(request, ended);
    const server = await ControlServer.listen(control, handle, options.log);
    let api: SwitchApi | undefined;
    try {
      api = await options.createSwitch(config.settings, options.log);
      const running = new Running(api, options.kinds, config);
      await api.whileHeld(() => running.replace(config, { held: true }));
      const service = new Service(running, server, options);
      ready.resolve(service.#handler());
      return service;
    } catch (error) {
      server.close();
      ready.reject(error);
      await api?.close({ keep: true });
      throw error;
    }
  }

  #handler(): Handler {
    const { running, server, options } = this;
    const shutdown = (remove: boolean) => {
      this.#ending = true;
      options.shutdown(remove);
      return this.#end.promise;
    };
    const handle = requestHandler(running, { control: () => server.stats(), shutdown });
    return async (request, ended) => {
      if (this.#ending) throw new RingyardError("BUSY", "the switch is shutting down", "wait until it has ended");
      return handle(request, ended);
    };
  }

  get control(): string {
    return this.server.path;
  }

  get portCount(): number {
    return this.running.config.ports.size;
  }

  /** Reads the configuration again and applies what changed; throws where it is wrong or cannot be had, and then all is as it was, or as UndoneError says. */
  async reload(): Promise<Difference> {
    const config = await this.options.load(await this.running.knownRules());
    return this.running.replace(config);
  }

  /** Drains and removes everything; with `keep`, all but what containers and VMs hold on to. */
  async close(options: EndOptions): Promise<SwitchEnd> {
    this.#ending = true;
    this.#end.resolve(this.running.api.close(options));
    try {
      return await this.#end.promise;
    } finally {
      await this.server.finish();
    }
  }
}
