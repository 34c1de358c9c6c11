// A control server on a fake switch, and raw connections to it that say what a real client never would.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import { ControlClient } from "../../src/control/client.ts";
import { type ConnectionLimits, LIMITS } from "../../src/control/connection.ts";
import { FrameReader } from "../../src/control/frame.ts";
import type { Reply } from "../../src/control/protocol.ts";
import { requestHandler } from "../../src/control/requests.ts";
import { Running } from "../../src/control/running.ts";
import { ControlServer } from "../../src/control/server.ts";
import { useCleanup } from "./cleanup.ts";
import { fakeKinds } from "./fake-kinds.ts";
import { FakeSwitch, quiet } from "./fake-switch.ts";
import { until } from "./until.ts";

/** Returns a function that makes directories; they go with the surrounding file or describe block. */
export function useDirectories(): () => string {
  const defer = useCleanup();
  return () => {
    const directory = mkdtempSync(join(tmpdir(), "ringyard-test-"));
    defer(() => rmSync(directory, { recursive: true, force: true }));
    return directory;
  };
}

export interface Served {
  path: string;
  fake: FakeSwitch;
  running: Running;
  server: ControlServer;
  client(): Promise<ControlClient>;
  raw(): Promise<RawClient>;
  /** The server's counter of an error. */
  errors(name: string): number;
}

/** Returns a function that serves a fake switch; everything ends with the surrounding file or describe block. */
export function useServed(): (limits?: Partial<ConnectionLimits>) => Promise<Served> {
  const defer = useCleanup();
  const directory = useDirectories();
  return async (limits = {}) => {
    const path = join(directory(), "control.sock");
    const fake = new FakeSwitch({});
    const running = new Running(fake, fakeKinds, { settings: {} });
    const handle = requestHandler(running, {
      control: () => server.stats(),
      shutdown: (remove) => fake.close({ keep: !remove }),
    });
    const server = await ControlServer.listen(path, handle, quiet, { ...LIMITS, ...limits });
    defer(() => server.close());
    return {
      ...{ path, fake, running, server },
      async client() {
        const client = await ControlClient.connect(path);
        defer(() => client.close());
        return client;
      },
      async raw() {
        const raw = await RawClient.connect(path);
        defer(() => raw.socket.terminate());
        return raw;
      },
      errors: (name) => server.stats().errors[name] ?? 0,
    };
  };
}

/** A connection that sends bytes and keeps the replies. */
export class RawClient {
  readonly replies: Reply[] = [];
  closed = false;
  socket!: Socket<undefined>;
  readonly #reader = new FrameReader();

  static async connect(path: string): Promise<RawClient> {
    const raw = new RawClient();
    raw.socket = await Bun.connect<undefined>({
      unix: path,
      socket: {
        data: (_, bytes) => raw.#reader.push(bytes, (item) => raw.replies.push(item as Reply)),
        close: () => {
          raw.closed = true;
        },
      },
    });
    return raw;
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Waits until the switch has hung up; what it said is in `replies`. */
  async ended(): Promise<void> {
    await until("the end of the connection", () => this.closed);
  }

  async reply(count = 1): Promise<Reply> {
    await until(`${count} replies`, () => this.replies.length >= count);
    return this.replies[count - 1];
  }
}
