// The switch as a service: configuration, switch and control socket brought up together, reloaded, and taken down.
//
//   load() -> claim the control path -> createSwitch -> add the ports -> answer requests
//
// The path is claimed first, since a switch that already runs there is the cheapest thing to find out; requests that come
// early wait. A start that fails undoes everything. Control thread.

import type { CreateSwitch, SwitchApi, SwitchLog } from "./api.ts";
import type { Config } from "./config.ts";
import type { Handler } from "./connection.ts";
import type { Difference } from "./diff.ts";
import { checkCpus } from "./host.ts";
import { defaultControlPath, makeControlDirectory } from "./paths.ts";
import { requestHandler } from "./requests.ts";
import { Running } from "./running.ts";
import { ControlServer } from "./server.ts";
import type { Kinds } from "./uri.ts";

export interface ServiceOptions {
  /** Reads the configuration, at the start and at each reload. */
  load(): Promise<Config>;
  createSwitch: CreateSwitch;
  kinds: Kinds;
  log: SwitchLog;
}

export class Service {
  private constructor(
    readonly running: Running,
    readonly server: ControlServer,
    private readonly options: ServiceOptions,
  ) {}

  static async start(options: ServiceOptions): Promise<Service> {
    const config = await options.load();
    checkCpus(config.settings.cpus ?? []);
    const control = config.control ?? defaultControlPath();
    if (config.control === undefined) makeControlDirectory(control);
    const ready = Promise.withResolvers<Handler>();
    ready.promise.catch(() => {}); // Early requests end with their connection.
    const server = await ControlServer.listen(control, async (request) => (await ready.promise)(request), options.log);
    let api: SwitchApi | undefined;
    try {
      api = await options.createSwitch(config.settings, options.log);
      const running = new Running(api, options.kinds, config);
      await running.replace(config);
      ready.resolve(requestHandler(running, () => server.stats()));
      return new Service(running, server, options);
    } catch (error) {
      server.close();
      ready.reject(error);
      await api?.close();
      throw error;
    }
  }

  get control(): string {
    return this.server.path;
  }

  get portCount(): number {
    return this.running.config.ports.size;
  }

  /** Reads the configuration again and applies what changed; throws where it is wrong, and then nothing changed. */
  async reload(): Promise<Difference> {
    const config = await this.options.load();
    return this.running.replace(config);
  }

  /** Drains and removes everything. */
  async close(): Promise<void> {
    this.server.close();
    await this.running.api.close();
  }
}
