// A control socket for a switch that runs in this process, as `ringyard up` has one. Main thread of a test process.

import { join } from "node:path";
import type { SwitchApi } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import { requestHandler } from "../../src/control/requests.ts";
import { Running } from "../../src/control/running.ts";
import { ControlServer } from "../../src/control/server.ts";
import { kinds } from "../../src/control/wiring.ts";
import { useCleanup } from "./cleanup.ts";
import { useDirectories } from "./control.ts";
import { quiet } from "./memory-switch.ts";

/** Returns a function that serves a switch; the socket and its clients go with the surrounding file or describe block. */
export function useServedSwitch(): (api: SwitchApi) => Promise<{ path: string; client(): Promise<ControlClient> }> {
  const defer = useCleanup();
  const directory = useDirectories();
  return async (api) => {
    const path = join(directory(), "control.sock");
    const running = new Running(api, kinds, { settings: {} });
    const handle = requestHandler(running, {
      control: () => server.stats(),
      shutdown: (remove) => api.close({ keep: !remove }),
    });
    const server = await ControlServer.listen(path, handle, quiet);
    defer(() => server.close());
    return {
      path,
      async client() {
        const client = await ControlClient.connect(path);
        defer(() => client.close());
        return client;
      },
    };
  };
}
